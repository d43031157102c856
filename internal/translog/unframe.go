package translog

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"sort"

	"github.com/klauspost/compress/zstd"

	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// frame is a decoded frame: columns, from which single records are made on demand. It is never changed.
type frame struct {
	first    uint64
	entries  int
	blocks   []blockMeta
	strings  []string
	auths    []proof.Auth
	op       column
	typ      column
	status   column
	resource column
	// The rest of the columns are indexes that were checked at decoding.
	originator, target, auth, salt column
	counters                       []uint32
	slots                          []uint32 // place of a kept salt or commitment in kept; nil when there is none
	kept                           [][32]byte
	signed                         signedColumns
	payloads                       []byte
	ends                           []uint32 // end of each entry's payload or residue in payloads
	memory                         int64    // bytes, for the cache
}

// blockMeta is one block of a frame.
type blockMeta struct {
	height uint64
	time   int64
	start  int // its first entry in the frame
	end    int
	seeds  [][32]byte
}

// newDecoder returns a decompressor for frames; it may be used by many goroutines at once.
func newDecoder() (*zstd.Decoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxRaw), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("translog: set up decompression: %w", err)
	}
	return z, nil
}

// verifyFrame parses the header of the frame that b must hold exactly, and verifies the checksum.
func verifyFrame(b []byte) (header, error) {
	h, err := parseHeader(b)
	if err != nil {
		return h, err
	}
	if h.length() != len(b) {
		return h, fmt.Errorf("frame of %d bytes, %d are there", h.length(), len(b))
	}
	if sum := crc32.Checksum(b[headerFixed:], castagnoli); sum != h.sum {
		return h, fmt.Errorf("frame checksum %08x, the bytes have %08x", h.sum, sum)
	}
	return h, nil
}

// decodeFrame decodes the frame that b must hold exactly. The result keeps no reference to b.
func decodeFrame(z *zstd.Decoder, b []byte) (*frame, error) {
	h, err := verifyFrame(b)
	if err != nil {
		return nil, err
	}
	body := b[h.size+h.plain:]
	if h.body < h.raw {
		// Grown by the decompressor as the data comes, so that a small frame cannot claim much memory.
		body, err = z.DecodeAll(body, make([]byte, 0, min(h.raw, 64*h.body)))
		if err != nil {
			return nil, fmt.Errorf("frame: decompress: %w", err)
		}
	}
	if len(body) != h.raw {
		return nil, fmt.Errorf("frame: %d bytes after decompression, the header says %d", len(body), h.raw)
	}
	f := &frame{first: h.first, entries: h.entries}
	if err := f.decode(&h, b[h.size:h.size+h.plain], body); err != nil {
		return nil, fmt.Errorf("frame: %w", err)
	}
	f.memory = int64(len(f.payloads) + f.signed.memory() + 32*len(f.kept) + 4*(len(f.ends)+len(f.counters)+len(f.slots)) + 256)
	for _, c := range []*column{&f.op, &f.typ, &f.status, &f.resource, &f.originator, &f.target, &f.auth, &f.salt} {
		f.memory += 4 * int64(len(c.values))
	}
	for i := range f.blocks {
		f.memory += 64 + 32*int64(len(f.blocks[i].seeds))
	}
	for _, s := range f.strings {
		f.memory += 16 + int64(len(s))
	}
	return f, nil
}

func (f *frame) decode(h *header, plain, body []byte) error {
	p, r := reader{rest: plain}, reader{rest: body}
	if err := f.decodeBlocks(h, &p, &r); err != nil {
		return err
	}
	n := r.count("strings", min(maxStrings, len(r.rest)))
	lengths := make([]int, n)
	for i := range lengths {
		lengths[i] = r.count("string length", proof.MaxID)
	}
	f.strings = make([]string, n)
	for i, l := range lengths {
		f.strings[i] = string(r.bytes(l))
	}
	f.auths = make([]proof.Auth, r.count("keys", len(p.rest)/9))
	for i := range f.auths {
		k := p.bytes(9)
		if p.err != nil {
			return p.err
		}
		f.auths[i].Method = proof.AuthMethod(k[0])
		copy(f.auths[i].Key[:], k[1:])
	}
	salts := r.count("kept salts", len(p.rest)/32)
	if r.err != nil || p.err != nil {
		return errors.Join(r.err, p.err)
	}
	if len(f.strings) == 0 || len(f.auths) == 0 {
		return errors.New("no strings or no keys")
	}
	last := uint32(len(f.strings) - 1)
	f.op = r.column("operation", f.entries, math.MaxUint8)
	f.typ = r.column("type", f.entries, math.MaxUint32)
	f.status = r.column("status", f.entries, math.MaxUint32)
	f.originator = r.column("originator", f.entries, last)
	f.target = r.column("target", f.entries, last)
	f.resource = r.column("resource", f.entries, last+resourceString)
	f.auth = r.column("key", f.entries, uint32(len(f.auths)-1))
	f.salt = r.column("salt", f.entries, maxSeeds+saltSeed)
	counter := r.column("counter", f.entries, math.MaxUint32)
	length := r.column("length", f.entries, proof.MaxPayload+1)
	if r.err != nil {
		return r.err
	}
	if err := f.decodeSigned(h, &p, &r); err != nil {
		return err
	}
	if len(p.rest)%32 != 0 {
		return fmt.Errorf("plain part: %d bytes left", len(p.rest)%32)
	}
	f.kept = make([][32]byte, len(p.rest)/32)
	for i := range f.kept {
		copy(f.kept[i][:], p.bytes(32))
	}
	if err := f.decodeSalts(&counter, salts); err != nil {
		return err
	}
	return f.decodePayloads(&r, &length)
}

func (f *frame) decodeBlocks(h *header, p, r *reader) error {
	if h.blocks > len(r.rest) {
		return errShort
	}
	f.blocks = make([]blockMeta, h.blocks)
	height, time, start := h.height, h.time, 0
	for i := range f.blocks {
		if i > 0 {
			step := r.uvarint()
			time += r.varint()
			if r.err == nil && (step == 0 || height+step < height) {
				return fmt.Errorf("block %d: height %d after %d", i, height+step, height)
			}
			height += step
		}
		entries := r.count("entries of a block", f.entries-start)
		seeds := r.count("seeds of a block", min(maxSeeds, len(p.rest)/32))
		if r.err != nil {
			return fmt.Errorf("block %d: %w", i, r.err)
		}
		if entries == 0 {
			return fmt.Errorf("block %d has no entries", i)
		}
		m := blockMeta{height: height, time: time, start: start, end: start + entries}
		if seeds > 0 {
			m.seeds = make([][32]byte, seeds)
			for s := range m.seeds {
				copy(m.seeds[s][:], p.bytes(32))
			}
		}
		f.blocks[i] = m
		start += entries
	}
	if start != f.entries {
		return fmt.Errorf("%d entries in blocks, %d in the header", start, f.entries)
	}
	return nil
}

// decodeSalts checks the salt column and turns the counter column into counters.
func (f *frame) decodeSalts(counter *column, salts int) error {
	f.counters = make([]uint32, f.entries)
	keptSalts, erased := 0, 0
	var next []uint32
	for i := range f.blocks {
		m := &f.blocks[i]
		next = append(next[:0], make([]uint32, len(m.seeds))...)
		for e := m.start; e < m.end; e++ {
			switch s := f.salt.at(e); s {
			case saltKept, saltErased:
				if f.slots == nil {
					f.slots = make([]uint32, f.entries)
				}
				if s == saltKept {
					f.slots[e] = uint32(keptSalts)
					keptSalts++
				} else {
					f.slots[e] = uint32(salts + erased)
					erased++
				}
			default:
				s -= saltSeed
				if int(s) >= len(m.seeds) {
					return fmt.Errorf("entry %d: seed %d of %d", e, s, len(m.seeds))
				}
				z := counter.at(e)
				f.counters[e] = next[s] + (z>>1 ^ -(z & 1))
				next[s] = f.counters[e] + 1
			}
		}
	}
	if keptSalts != salts || keptSalts+erased != len(f.kept) {
		return fmt.Errorf("%d kept salts and %d erased entries, the plain part has %d and %d", keptSalts, erased, salts, len(f.kept)-salts)
	}
	return nil
}

func (f *frame) decodePayloads(r *reader, length *column) error {
	templates := make([]template, r.count("templates", len(r.rest)/3))
	byType := make(map[uint32]*template, len(templates))
	for i := range templates {
		t := &templates[i]
		t.typ = r.value("template type", math.MaxUint32)
		prefix, suffix := r.count("prefix", proof.MaxPayload), r.count("suffix", proof.MaxPayload)
		t.prefix, t.suffix = r.bytes(prefix), r.bytes(suffix)
		byType[t.typ] = t
	}
	if r.err != nil {
		return fmt.Errorf("templates: %w", r.err)
	}
	f.ends = make([]uint32, f.entries)
	total, middle := 0, 0
	for e := range f.ends {
		if l := int(length.at(e)); l > 0 {
			t := byType[f.typ.at(e)]
			if t == nil {
				return fmt.Errorf("entry %d: type %d has no template", e, f.typ.at(e))
			}
			n := l - 1 + len(t.prefix) + len(t.suffix)
			if n > proof.MaxPayload {
				return fmt.Errorf("entry %d: payload of %d bytes, the limit is %d", e, n, proof.MaxPayload)
			}
			total += n
			middle += l - 1
			if total > maxRaw {
				return fmt.Errorf("payloads of more than %d bytes", maxRaw)
			}
		}
		f.ends[e] = uint32(total)
	}
	if middle != len(r.rest) {
		return fmt.Errorf("payloads of %d bytes, %d are there", middle, len(r.rest))
	}
	f.payloads = make([]byte, 0, total)
	for e := range f.ends {
		if l := int(length.at(e)); l > 0 {
			t := byType[f.typ.at(e)]
			f.payloads = append(append(append(f.payloads, t.prefix...), r.bytes(l-1)...), t.suffix...)
		}
	}
	return nil
}

// block returns the place of the block that holds an entry of the frame.
func (f *frame) block(entry int) int {
	return sort.Search(len(f.blocks), func(i int) bool { return f.blocks[i].end > entry })
}

// record makes the record of an entry of the frame, complete with salt and commitment.
func (f *frame) record(entry int) Record {
	m := &f.blocks[f.block(entry)]
	r := f.bare(entry)
	r.complete(&Block{Height: m.height, Time: m.time, Seeds: m.seeds})
	return r
}

// bare makes the record of an entry without what derives from its block.
func (f *frame) bare(entry int) Record {
	r := Record{Seed: NoSeed, Entry: proof.Entry{
		Operation:  proof.Operation(f.op.at(entry)),
		Originator: f.strings[f.originator.at(entry)],
		Target:     f.strings[f.target.at(entry)],
		Type:       f.typ.at(entry),
		Status:     f.status.at(entry),
		Auth:       f.auths[f.auth.at(entry)],
	}}
	switch s := f.resource.at(entry); s {
	case resourceDerived:
		r.Entry.Resource = onem2m.ResourceRI(instanceType(r.Entry.Type), f.first+uint64(entry))
	case resourceTarget:
		r.Entry.Resource = r.Entry.Target
	default:
		r.Entry.Resource = f.strings[s-resourceString]
	}
	r.Entry.Auth.Counter, r.Signed = f.signed.at(entry)
	start := uint32(0)
	if entry > 0 {
		start = f.ends[entry-1]
	}
	var kept []byte
	if end := f.ends[entry]; end > start {
		kept = f.payloads[start:end:end]
	}
	switch s := f.salt.at(entry); s {
	case saltErased:
		r.Erased, r.Residue, r.Entry.Commitment = true, kept, f.kept[f.slots[entry]]
	case saltKept:
		r.Payload, r.Salt = kept, f.kept[f.slots[entry]]
	default:
		r.Payload, r.Seed, r.Counter = kept, s-saltSeed, f.counters[entry]
	}
	return r
}

// materialise makes the block with number i of the frame, complete with salts and commitments when wanted.
func (f *frame) materialise(i int, complete bool) *Block {
	m := &f.blocks[i]
	b := &Block{Height: m.height, Time: m.time, Seeds: m.seeds, First: f.first + uint64(m.start), Records: make([]Record, m.end-m.start)}
	for e := m.start; e < m.end; e++ {
		b.Records[e-m.start] = f.bare(e)
		if complete {
			b.Records[e-m.start].complete(b)
		}
	}
	return b
}
