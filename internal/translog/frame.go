package translog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"

	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// A frame holds the entries of one or more consecutive blocks. Format version 1:
//
//	"TLF" version=1 | CRC32C of all that follows, 4 bytes little-endian
//	uvarint plain length | uvarint body length | uvarint body length before compression
//	uvarint blocks | uvarint entries | uvarint first index | uvarint height of the first block | varint its time
//	plain part: all seeds (32 bytes each), keys (method byte and 8 bytes each), kept salts (32 bytes each),
//	            commitments of erased payloads (32 bytes each)
//	body, one zstd frame unless that would be no shorter (then both body lengths are equal):
//	  for each block: uvarint height and varint time less those of the block before (not for the first),
//	                  uvarint entries, uvarint seeds
//	  uvarint strings, their uvarint lengths, their bytes; uvarint keys, uvarint kept salts
//	  columns: operation, type, status, originator, target, resource, key, salt, counter, length
//	  uvarint templates, for each: uvarint type, uvarint prefix length, uvarint suffix length, both bytes
//	  what the payloads and residues have beyond prefix and suffix
//
// Version 2 is written when an entry is of a signed request. It has between the columns and the templates what signed.go
// says, and at the end of the plain part the signatures (64 bytes each).
//
// What does not compress stands apart from the body so that it does not spoil the statistics of what does.
// Column resource: 0 is the ID that derives from the index, 1 the target, else a string plus 2. Column salt: 0 a
// kept salt, 1 an erased payload, else a seed of the block plus 2. Column counter: the distance, zigzag-coded, from
// the counter after the last one of the same seed. Column length: 0 for no payload, else bytes in the payload's
// middle plus 1; every payload of a type begins and ends with the prefix and suffix of its type's template.
const (
	frameMagic  = "TLF"
	headerSum   = len(frameMagic) + 1 // where the checksum stands, after the version
	headerFixed = headerSum + 4
	headerMax   = headerFixed + 8*binary.MaxVarintLen64
	maxStrings  = 3 * maxEntries
	// minCompressed is the size of a body below which compression was never seen to help.
	minCompressed = 128
)

const (
	resourceDerived = 0
	resourceTarget  = 1
	resourceString  = 2

	saltKept   = 0
	saltErased = 1
	saltSeed   = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the decoded header of a frame.
type header struct {
	version          byte
	plain, body, raw int // bytes
	blocks, entries  int
	first, height    uint64
	time             int64
	sum              uint32
	size             int // bytes of the header itself
}

// length is that of the whole frame, in bytes.
func (h *header) length() int { return h.size + h.plain + h.body }

// parseHeader decodes the header at the start of b. It trusts nothing: the checksum covers the rest of the frame
// and is for the caller to verify.
func parseHeader(b []byte) (header, error) {
	var h header
	if len(b) < headerFixed {
		return h, errShort
	}
	h.version = b[len(frameMagic)]
	if string(b[:len(frameMagic)]) != frameMagic || h.version != frameVersion && h.version != signedVersion {
		return h, fmt.Errorf("no frame of version %d or %d starts here (%x)", frameVersion, signedVersion, b[:headerSum])
	}
	h.sum = binary.LittleEndian.Uint32(b[headerSum:])
	r := reader{rest: b[headerFixed:min(len(b), headerMax)]}
	before := len(r.rest)
	h.plain = r.count("plain bytes", maxPlain)
	h.body = r.count("body bytes", maxRaw)
	h.raw = r.count("raw bytes", maxRaw)
	h.blocks = r.count("blocks", maxEntries)
	h.entries = r.count("entries", maxEntries)
	h.first = r.uvarint()
	h.height = r.uvarint()
	h.time = r.varint()
	if r.err != nil {
		return h, fmt.Errorf("frame header: %w", r.err)
	}
	if h.blocks == 0 || h.entries < h.blocks || h.body > h.raw || h.first+uint64(h.entries) < h.first {
		return h, fmt.Errorf("frame header: %d blocks, %d entries from index %d, %d bytes for %d", h.blocks, h.entries, h.first, h.body, h.raw)
	}
	h.size = headerFixed + before - len(r.rest)
	return h, nil
}

// encoder turns blocks into frames. It is reused for its buffers and belongs to one goroutine at a time.
type encoder struct {
	zstd       *zstd.Encoder
	version    byte // of the frame
	plain, raw []byte
	packed     []byte
	dict       map[string]uint32
	strings    []string
	auths      map[proof.Auth]uint32
	authList   []proof.Auth
	next       []uint32
	templates  []template
	byType     map[uint32]int // place in templates
	// The columns, in the order of the format.
	op, typ, status, originator, target, resource, auth, salt, counter, length []uint32
}

// template is what all payloads of one resource type of a frame begin and end with.
type template struct {
	typ            uint32
	prefix, suffix []byte
}

func newEncoder(level zstd.EncoderLevel) (*encoder, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("translog: set up compression: %w", err)
	}
	return &encoder{zstd: z, dict: make(map[string]uint32), auths: make(map[proof.Auth]uint32), byType: make(map[uint32]int)}, nil
}

// appendFrame appends the frame of blocks, the first entry of which has the index first, and returns the extended
// slice. The blocks must have passed check and hold at least one entry each.
func (c *encoder) appendFrame(dst []byte, first uint64, blocks []*Block) ([]byte, error) {
	entries := c.collect(first, blocks)
	if len(c.raw) > maxRaw || len(c.plain) > maxPlain || entries > maxEntries {
		return dst, fmt.Errorf("translog: encode the block of height %d: %d entries in %d and %d bytes, the limits are %d, %d and %d",
			blocks[0].Height, entries, len(c.raw), len(c.plain), maxEntries, maxRaw, maxPlain)
	}
	body := c.raw
	if len(body) >= minCompressed {
		c.packed = c.zstd.EncodeAll(c.raw, c.packed[:0])
		if len(c.packed) < len(c.raw) {
			body = c.packed
		}
	}
	start := len(dst)
	dst = append(dst, frameMagic...)
	dst = append(dst, c.version, 0, 0, 0, 0)
	dst = binary.AppendUvarint(dst, uint64(len(c.plain)))
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	dst = binary.AppendUvarint(dst, uint64(len(c.raw)))
	dst = binary.AppendUvarint(dst, uint64(len(blocks)))
	dst = binary.AppendUvarint(dst, uint64(entries))
	dst = binary.AppendUvarint(dst, first)
	dst = binary.AppendUvarint(dst, blocks[0].Height)
	dst = binary.AppendVarint(dst, blocks[0].Time)
	dst = append(dst, c.plain...)
	dst = append(dst, body...)
	sum := crc32.Checksum(dst[start+headerFixed:], castagnoli)
	binary.LittleEndian.PutUint32(dst[start+headerSum:], sum)
	return dst, nil
}

// collect fills raw and plain from the blocks and returns the number of entries.
func (c *encoder) collect(first uint64, blocks []*Block) int {
	c.reset()
	var salts, erased []byte
	index := first
	for i, b := range blocks {
		if i > 0 {
			c.raw = binary.AppendUvarint(c.raw, b.Height-blocks[i-1].Height)
			c.raw = binary.AppendVarint(c.raw, b.Time-blocks[i-1].Time)
		}
		c.raw = binary.AppendUvarint(c.raw, uint64(len(b.Records)))
		c.raw = binary.AppendUvarint(c.raw, uint64(len(b.Seeds)))
		c.next = append(c.next[:0], make([]uint32, len(b.Seeds))...)
		for s := range b.Seeds {
			c.plain = append(c.plain, b.Seeds[s][:]...)
		}
		for j := range b.Records {
			r := &b.Records[j]
			c.entry(index, r)
			switch {
			case r.Erased:
				c.salt, c.counter = append(c.salt, saltErased), append(c.counter, 0)
				erased = append(erased, r.Entry.Commitment[:]...)
			case r.Seed == NoSeed:
				c.salt, c.counter = append(c.salt, saltKept), append(c.counter, 0)
				salts = append(salts, r.Salt[:]...)
			default:
				delta := int32(r.Counter - c.next[r.Seed])
				c.next[r.Seed] = r.Counter + 1
				c.salt, c.counter = append(c.salt, saltSeed+r.Seed), append(c.counter, uint32(delta<<1)^uint32(delta>>31))
			}
			index++
		}
	}
	for i := range c.authList {
		c.plain = append(append(c.plain, byte(c.authList[i].Method)), c.authList[i].Key[:]...)
	}
	c.plain = append(append(c.plain, salts...), erased...)
	c.signatures(blocks)
	c.raw = binary.AppendUvarint(c.raw, uint64(len(c.strings)))
	for _, s := range c.strings {
		c.raw = binary.AppendUvarint(c.raw, uint64(len(s)))
	}
	for _, s := range c.strings {
		c.raw = append(c.raw, s...)
	}
	c.raw = binary.AppendUvarint(c.raw, uint64(len(c.authList)))
	c.raw = binary.AppendUvarint(c.raw, uint64(len(salts)/32))
	c.payloads(blocks)
	return int(index - first)
}

func (c *encoder) reset() {
	c.version = frameVersion
	c.plain, c.raw = c.plain[:0], c.raw[:0]
	clear(c.dict)
	clear(c.auths)
	clear(c.byType)
	clear(c.strings)
	clear(c.templates)
	c.strings, c.authList, c.templates = c.strings[:0], c.authList[:0], c.templates[:0]
	for _, col := range []*[]uint32{&c.op, &c.typ, &c.status, &c.originator, &c.target, &c.resource, &c.auth, &c.salt, &c.counter, &c.length} {
		*col = (*col)[:0]
	}
}

// entry adds what columns keep of an entry, all but salt and payload.
func (c *encoder) entry(index uint64, r *Record) {
	e := &r.Entry
	c.op = append(c.op, uint32(e.Operation))
	c.typ = append(c.typ, e.Type)
	c.status = append(c.status, e.Status)
	c.originator = append(c.originator, c.str(e.Originator))
	c.target = append(c.target, c.str(e.Target))
	if t, derived, ok := onem2m.ParseInstanceRI(e.Resource); ok && derived == index && t == instanceType(e.Type) {
		c.resource = append(c.resource, resourceDerived)
	} else if e.Resource == e.Target {
		c.resource = append(c.resource, resourceTarget)
	} else {
		c.resource = append(c.resource, resourceString+c.str(e.Resource))
	}
	auth := proof.Auth{Method: e.Auth.Method, Key: e.Auth.Key}
	id, ok := c.auths[auth]
	if !ok {
		id = uint32(len(c.authList))
		c.auths[auth] = id
		c.authList = append(c.authList, auth)
	}
	if r.signed() {
		c.version = signedVersion
	}
	c.auth = append(c.auth, id)
}

// instanceType is the type of instances whose ID an entry of some type may have derived from its index.
func instanceType(entryType uint32) onem2m.ResourceType {
	if t := onem2m.ResourceType(entryType); t.IsInstance() {
		return t
	}
	return onem2m.TypeContentInstance
}

func (c *encoder) str(s string) uint32 {
	id, ok := c.dict[s]
	if !ok {
		id = uint32(len(c.strings))
		c.dict[s] = id
		c.strings = append(c.strings, s)
	}
	return id
}

// payloads appends the columns, the templates and the middles of the payloads to raw.
func (c *encoder) payloads(blocks []*Block) {
	c.eachPayload(blocks, (*template).narrowPrefix)
	c.eachPayload(blocks, (*template).narrowSuffix)
	for _, b := range blocks {
		for i := range b.Records {
			p := b.Records[i].kept()
			if len(p) == 0 {
				c.length = append(c.length, 0)
				continue
			}
			t := c.template(b.Records[i].Entry.Type)
			c.length = append(c.length, uint32(len(p)-len(t.prefix)-len(t.suffix))+1)
		}
	}
	for _, col := range [][]uint32{c.op, c.typ, c.status, c.originator, c.target, c.resource, c.auth, c.salt, c.counter, c.length} {
		c.raw = appendColumn(c.raw, col)
	}
	c.signed(blocks)
	c.raw = binary.AppendUvarint(c.raw, uint64(len(c.templates)))
	for i := range c.templates {
		t := &c.templates[i]
		c.raw = binary.AppendUvarint(c.raw, uint64(t.typ))
		c.raw = binary.AppendUvarint(c.raw, uint64(len(t.prefix)))
		c.raw = binary.AppendUvarint(c.raw, uint64(len(t.suffix)))
		c.raw = append(append(c.raw, t.prefix...), t.suffix...)
	}
	c.eachPayload(blocks, func(t *template, p []byte) {
		c.raw = append(c.raw, p[len(t.prefix):len(p)-len(t.suffix)]...)
	})
}

// eachPayload calls f with every payload or residue and the template of its type.
func (c *encoder) eachPayload(blocks []*Block, f func(*template, []byte)) {
	for _, b := range blocks {
		for i := range b.Records {
			if p := b.Records[i].kept(); len(p) > 0 {
				f(c.template(b.Records[i].Entry.Type), p)
			}
		}
	}
}

// kept is the part of a record that is stored as it is: the payload, or the residue of an erased one.
func (r *Record) kept() []byte {
	if r.Erased {
		return r.Residue
	}
	return r.Payload
}

// template returns the template of a type, a new one at its first payload.
func (c *encoder) template(typ uint32) *template {
	i, ok := c.byType[typ]
	if !ok {
		i = len(c.templates)
		c.byType[typ] = i
		c.templates = append(c.templates, template{typ: typ})
	}
	return &c.templates[i]
}

// narrowPrefix shortens the prefix to what p begins with, too.
func (t *template) narrowPrefix(p []byte) {
	if t.prefix == nil {
		t.prefix = p
		return
	}
	n := 0
	for n < len(t.prefix) && n < len(p) && t.prefix[n] == p[n] {
		n++
	}
	t.prefix = t.prefix[:n]
}

// narrowSuffix shortens the suffix to what p ends with, too, beyond the prefix, which is final.
func (t *template) narrowSuffix(p []byte) {
	p = p[len(t.prefix):]
	if t.suffix == nil {
		t.suffix = p
		return
	}
	n := 0
	for n < len(t.suffix) && n < len(p) && t.suffix[len(t.suffix)-1-n] == p[len(p)-1-n] {
		n++
	}
	t.suffix = t.suffix[len(t.suffix)-n:]
}
