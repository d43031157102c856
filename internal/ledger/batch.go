package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// Bounds of a batch, enforced by every validator.
const (
	MaxItems      = 1 << 14 // requests in one batch
	MaxBatchBytes = 2 << 20 // encoded size of one batch
	MaxBlockBytes = 8 << 20 // all batches of one block
)

// The first byte of a transaction says what it is.
const (
	kindBatch = 0x01 // a batch, format version 1
	kindTime  = 0x03 // the proposer's clock and application hash, format version 2; first in every block that has a batch
)

// batchContext separates batch signatures from all other uses of a node's key.
const batchContext = "tallystick/batch/v1\n"

// Item is one request in a batch. It carries everything that can change the outcome, so that every validator
// reaches the same one; what only shapes the answer's envelope (rqi, rvi) stays with the node that waits for it.
type Item struct {
	Operation     proof.Operation
	From, To      string
	Type          onem2m.ResourceType
	Content       []byte
	Key           identity.KeyID // the credential that the accepting node checked
	ResultContent onem2m.ResultContent
	DesiredIDType uint8
	SourceIP      netip.Addr             // zero when unknown
	Filter        *onem2m.FilterCriteria // conditional requests and fan-outs
	Release       string                 // rvi, so that rules that depend on it are the same everywhere
	// Together is the number of items that follow and belong to this one: all of them are executed, or none.
	Together uint16
	// Delivery names the message of a client's session that brought the item, for a transport that may deliver twice.
	Delivery *onem2m.Delivery
	// Assigned is the resource ID that the accepting node chose for a new subscription (cse.Env.Assigned), "" for none.
	Assigned string
	// Signature is the device's own, of the credential that Key names.
	Signature *onem2m.Signature
	// Parameters are set for a non-blocking request, which may be a RETRIEVE or NOTIFY as well.
	Parameters *Parameters
	// RoleIDs and TokenIDs are the roles that the originator wants to act in and the tokens that it presents, at most
	// cse.MaxTokens each.
	RoleIDs, TokenIDs []string
}

// Batch is one transaction: the requests that one node accepted, in order, signed by it.
type Batch struct {
	Node  string   // the member that accepted the requests
	Seq   uint64   // strictly new for that member, so that a batch cannot be replayed
	Seed  [32]byte // the salts of all payloads derive from it
	Items []Item
}

// Check says why no batch can hold the item: a limit of the format, or an address that is no text.
func (it *Item) Check() error {
	switch {
	case len(it.From) > proof.MaxID:
		return fmt.Errorf("an originator of %d bytes, the limit is %d", len(it.From), proof.MaxID)
	case len(it.To) > maxAddress:
		return fmt.Errorf("an address of %d bytes, the limit is %d", len(it.To), maxAddress)
	case len(it.Content) > proof.MaxPayload:
		return fmt.Errorf("a content of %d bytes, the limit is %d", len(it.Content), proof.MaxPayload)
	case len(it.Release) > maxRelease:
		return fmt.Errorf("a release version indicator of %d bytes", len(it.Release))
	case !utf8.ValidString(it.From) || !utf8.ValidString(it.To) || !utf8.ValidString(it.Release):
		return errors.New("an address that is no valid UTF-8")
	}
	if err := checkRights(it); err != nil {
		return err
	}
	if it.Filter != nil {
		f := encodeFilter(it.Filter)
		if len(f) > maxFilter {
			return fmt.Errorf("filter criteria of %d bytes, the limit is %d", len(f), maxFilter)
		}
		if _, err := decodeFilter(f); err != nil {
			return err
		}
	}
	if it.Signature != nil {
		if _, err := it.signedText(nil, "-"); err != nil {
			return err
		}
	}
	if it.Parameters != nil {
		p := encodeParameters(it.Parameters)
		if len(p) > maxParameters {
			return fmt.Errorf("parameters of %d bytes, the limit is %d", len(p), maxParameters)
		}
		if _, err := decodeParameters(p); err != nil {
			return err
		}
	}
	return nil
}

// itemOverhead is more than an item takes besides its strings, content and filter.
const itemOverhead = 96

// Size is how many bytes an item takes at most in a batch.
func (it *Item) Size() int {
	size := itemOverhead + len(it.From) + len(it.To) + len(it.Content) + len(it.Release) + sizeOfRights(it)
	if it.Filter != nil {
		size += len(encodeFilter(it.Filter))
	}
	if it.Signature != nil {
		size += signatureOverhead
	}
	if it.Parameters != nil {
		size += len(encodeParameters(it.Parameters))
	}
	return size
}

const (
	flagResult = 1 << iota
	flagSource
	flagFilter
	flagRelease
	flagTogether
	flagDelivery
	flagAssigned
	flagParameters
	flagRights
	flagSignature
	flagsEnd
)

// defaultRelease is the rvi left out of an item to keep it small.
const defaultRelease = "4"

func encodeFilter(f *onem2m.FilterCriteria) []byte {
	b, err := json.Marshal(f)
	if err != nil { // a struct of strings and integers always marshals
		panic(err)
	}
	return b
}

// decodeFilter takes no other text than the one that encodeFilter makes.
func decodeFilter(b []byte) (*onem2m.FilterCriteria, error) {
	f := new(onem2m.FilterCriteria)
	if err := json.Unmarshal(b, f); err != nil {
		return nil, fmt.Errorf("filter criteria: %w", err)
	}
	if !bytes.Equal(encodeFilter(f), b) {
		return nil, errors.New("filter criteria that are no valid UTF-8, or not in their one encoding")
	}
	return f, nil
}

// appendItem encodes one item; the batch is a concatenation of them, so that ingress can encode on arrival.
func appendItem(dst []byte, it *Item) []byte {
	var flags uint64
	if it.ResultContent != onem2m.ResultContentDefault || it.DesiredIDType != 0 {
		flags |= flagResult
	}
	if it.SourceIP.IsValid() {
		flags |= flagSource
	}
	if it.Filter != nil {
		flags |= flagFilter
	}
	if it.Release != defaultRelease {
		flags |= flagRelease
	}
	if it.Together != 0 {
		flags |= flagTogether
	}
	if it.Delivery != nil {
		flags |= flagDelivery
	}
	if it.Assigned != "" {
		flags |= flagAssigned
	}
	if it.Parameters != nil {
		flags |= flagParameters
	}
	if len(it.RoleIDs)+len(it.TokenIDs) > 0 {
		flags |= flagRights
	}
	if it.Signature != nil {
		flags |= flagSignature
	}
	dst = binary.AppendUvarint(append(dst, byte(it.Operation)), flags)
	dst = appendString(dst, it.From)
	dst = appendString(dst, it.To)
	dst = binary.AppendUvarint(dst, uint64(it.Type))
	dst = append(dst, it.Key[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(it.Content)))
	dst = append(dst, it.Content...)
	if flags&flagResult != 0 {
		dst = append(dst, byte(it.ResultContent), it.DesiredIDType)
	}
	if flags&flagSource != 0 {
		ip := it.SourceIP.AsSlice()
		dst = append(dst, byte(len(ip)))
		dst = append(dst, ip...)
	}
	if flags&flagFilter != 0 {
		f := encodeFilter(it.Filter)
		dst = binary.AppendUvarint(dst, uint64(len(f)))
		dst = append(dst, f...)
	}
	if flags&flagRelease != 0 {
		dst = appendString(dst, it.Release)
	}
	if flags&flagTogether != 0 {
		dst = binary.AppendUvarint(dst, uint64(it.Together))
	}
	if d := it.Delivery; d != nil {
		dst = appendDelivery(dst, d)
	}
	if it.Assigned != "" {
		dst = appendString(dst, it.Assigned)
	}
	if it.Parameters != nil {
		p := encodeParameters(it.Parameters)
		dst = binary.AppendUvarint(dst, uint64(len(p)))
		dst = append(dst, p...)
	}
	if flags&flagRights != 0 {
		dst = appendRights(dst, it)
	}
	if it.Signature != nil {
		dst = appendSignature(dst, it.Signature)
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// EncodeBatch encodes and signs a batch for the network chainID.
func EncodeBatch(b *Batch, chainID string, key ed25519.PrivateKey) []byte {
	size := 128 + len(b.Node)
	for i := range b.Items {
		it := &b.Items[i]
		size += 64 + len(it.From) + len(it.To) + len(it.Content)
	}
	tx := make([]byte, 0, size)
	tx = append(tx, kindBatch)
	tx = appendString(tx, b.Node)
	tx = binary.AppendUvarint(tx, b.Seq)
	tx = append(tx, b.Seed[:]...)
	tx = binary.AppendUvarint(tx, uint64(len(b.Items)))
	for i := range b.Items {
		tx = appendItem(tx, &b.Items[i])
	}
	return append(tx, ed25519.Sign(key, batchMessage(chainID, tx))...)
}

func batchMessage(chainID string, body []byte) []byte {
	m := make([]byte, 0, len(batchContext)+len(chainID)+1+len(body))
	m = append(m, batchContext...)
	m = append(m, chainID...)
	m = append(m, '\n')
	return append(m, body...)
}

// VerifyBatch checks the signature of an encoded batch.
func VerifyBatch(tx []byte, chainID string, key ed25519.PublicKey) bool {
	n := len(tx) - ed25519.SignatureSize
	return n > 0 && ed25519.Verify(key, batchMessage(chainID, tx[:n]), tx[n:])
}

var (
	errTruncated = errors.New("truncated")
	errNotShort  = errors.New("a default value is written out") // it would make a second encoding of the same item
)

type decoder struct {
	b       []byte
	strings *interner
	err     error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail(errTruncated)
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

// uvarint reads a number of at most max in its shortest form; a longer form would make two transactions of one batch.
func (d *decoder) uvarint(max uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || (n > 1 && d.b[n-1] == 0) {
		d.fail(errTruncated)
		return 0
	}
	if v > max {
		d.fail(fmt.Errorf("%d is over the limit of %d", v, max))
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes(n int) []byte {
	if n > len(d.b) {
		d.fail(errTruncated)
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// string reads text. The log's entries could not be decoded if it was no valid UTF-8.
func (d *decoder) string(max uint64) string {
	b := d.bytes(int(d.uvarint(max)))
	if s, ok := d.strings.known(b); ok {
		return s
	}
	if !utf8.Valid(b) {
		d.fail(errors.New("text that is no valid UTF-8"))
		return ""
	}
	return d.strings.intern(b)
}

// DecodeBatch decodes a batch without checking its signature. Contents alias tx. The result's strings come from
// in, which may be nil.
func DecodeBatch(tx []byte, in *interner) (*Batch, error) {
	if len(tx) > MaxBatchBytes {
		return nil, fmt.Errorf("decode batch: %d bytes are over the limit of %d", len(tx), MaxBatchBytes)
	}
	if len(tx) < 1+ed25519.SignatureSize || tx[0] != kindBatch {
		return nil, errors.New("decode batch: not a batch of version 1")
	}
	d := &decoder{b: tx[1 : len(tx)-ed25519.SignatureSize], strings: in}
	b := &Batch{Node: d.string(maxName), Seq: d.uvarint(1<<63 - 1)}
	copy(b.Seed[:], d.bytes(32))
	n := d.uvarint(MaxItems)
	if d.err == nil && n*13 > uint64(len(d.b)) { // an item has at least 13 bytes
		d.fail(errTruncated)
	}
	if d.err == nil {
		b.Items = make([]Item, n)
	}
	for i := range b.Items {
		d.item(&b.Items[i])
		if d.err != nil {
			return nil, fmt.Errorf("decode batch: item %d: %w", i, d.err)
		}
	}
	if d.err == nil && len(d.b) != 0 {
		d.fail(fmt.Errorf("%d bytes too many", len(d.b)))
	}
	if d.err != nil {
		return nil, fmt.Errorf("decode batch: %w", d.err)
	}
	return b, nil
}

// batchNumber gives the member and the number of a batch that DecodeBatch decodes.
func batchNumber(tx []byte) (node string, seq uint64) {
	d := &decoder{b: tx[1:]}
	return d.string(maxName), d.uvarint(1<<63 - 1)
}

// Bounds of the fields of a batch, in bytes.
const (
	maxName    = 64 // of a member's name
	maxAddress = 4 * proof.MaxID
	maxFilter  = 1 << 14
	maxRelease = 8
)

func (d *decoder) item(it *Item) {
	it.Operation = proof.Operation(d.byte())
	flags := d.uvarint(flagsEnd - 1)
	it.From = d.string(proof.MaxID)
	it.To = d.string(maxAddress)
	it.Type = onem2m.ResourceType(d.uvarint(1<<31 - 1))
	copy(it.Key[:], d.bytes(8))
	it.Content = d.bytes(int(d.uvarint(proof.MaxPayload)))
	if len(it.Content) == 0 {
		it.Content = nil
	}
	it.ResultContent = onem2m.ResultContentDefault
	if flags&flagResult != 0 {
		it.ResultContent = onem2m.ResultContent(int8(d.byte()))
		it.DesiredIDType = d.byte()
		if it.ResultContent == onem2m.ResultContentDefault && it.DesiredIDType == 0 {
			d.fail(errNotShort)
		}
	}
	if flags&flagSource != 0 {
		ip, ok := netip.AddrFromSlice(d.bytes(int(d.uvarint(16))))
		if !ok && d.err == nil {
			d.fail(errors.New("the source address has neither 4 nor 16 bytes"))
		}
		it.SourceIP = ip
	}
	if flags&flagFilter != 0 {
		if f := d.bytes(int(d.uvarint(maxFilter))); d.err == nil {
			var err error
			if it.Filter, err = decodeFilter(f); err != nil {
				d.fail(err)
			}
		}
	}
	it.Release = defaultRelease
	if flags&flagRelease != 0 {
		if it.Release = d.string(maxRelease); it.Release == defaultRelease {
			d.fail(errNotShort)
		}
	}
	if flags&flagTogether != 0 {
		if it.Together = uint16(d.uvarint(MaxItems - 1)); it.Together == 0 {
			d.fail(errNotShort)
		}
	}
	if flags&flagDelivery != 0 {
		d.delivery(it)
	}
	if flags&flagAssigned != 0 {
		if it.Assigned = d.string(uint64(cse.AssignedLength)); it.Assigned == "" {
			d.fail(errNotShort)
		}
	}
	if flags&flagParameters != 0 {
		if p := d.bytes(int(d.uvarint(maxParameters))); d.err == nil {
			var err error
			if it.Parameters, err = decodeParameters(p); err != nil {
				d.fail(err)
			}
		}
	}
	if flags&flagRights != 0 {
		d.rights(it)
	}
	if flags&flagSignature != 0 {
		d.signature(it)
	}
}

// addressText is ip.String(); devices have the same address in every block.
func (a *App) addressText(ip netip.Addr) string {
	if s, ok := a.addresses[ip]; ok {
		return s
	}
	if a.addresses == nil || len(a.addresses) >= maxAddresses {
		a.addresses = make(map[netip.Addr]string)
	}
	s := ip.String()
	a.addresses[ip] = s
	return s
}

const maxAddresses = 1 << 12

// interner returns the same string for the same bytes, so that originators and addresses, which recur in every
// block, are not allocated again. It forgets everything when full. One goroutine owns it.
type interner struct{ m map[string]string }

const (
	maxInterned    = 1 << 16
	maxInternedLen = 128 // longer ones are rare, and not worth the memory that somebody could fill with them
)

func (in *interner) known(b []byte) (string, bool) {
	if in == nil {
		return "", false
	}
	s, ok := in.m[string(b)]
	return s, ok
}

func (in *interner) intern(b []byte) string {
	if in == nil {
		return string(b)
	}
	if in.m == nil || len(in.m) >= maxInterned {
		in.m = make(map[string]string)
	}
	s := string(b)
	if len(s) <= maxInternedLen {
		in.m[s] = s
	}
	return s
}

// opening is what a block with a batch begins with: what its proposer says of the moment before the block.
type opening struct {
	time    int64    // the proposer's clock, Unix microseconds
	appHash [32]byte // the application hash after the block before
}

// encodeTime encodes the first transaction of a block.
func encodeTime(t int64, appHash [32]byte) []byte {
	b := make([]byte, 0, timeSize)
	b = binary.BigEndian.AppendUint64(append(b, kindTime), uint64(t))
	return append(b, appHash[:]...)
}

const timeSize = 1 + 8 + 32

func decodeTime(tx []byte) (o opening, err error) {
	if len(tx) != timeSize || tx[0] != kindTime {
		return o, errors.New("decode time: not a time transaction of version 2")
	}
	o.time = int64(binary.BigEndian.Uint64(tx[1:]))
	copy(o.appHash[:], tx[9:])
	if o.time <= 0 || o.time > 253402300799999999 { // the end of the year 9999, the last that oneM2M timestamps can name
		return o, fmt.Errorf("decode time: %d is out of range", o.time)
	}
	return o, nil
}
