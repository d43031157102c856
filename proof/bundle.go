package proof

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The first lines of a bundle and of the proof inside it. A new form of either gets a new line.
const (
	bundleHeader = "tallystick/bundle@v1"
	// signedBundleHeader is the first line of a bundle that shows a device's signature.
	signedBundleHeader = "tallystick/bundle@v2"
	proofHeader        = "c2sp.org/tlog-proof@v1"
)

// Bounds of a bundle.
const (
	MaxHashes = 64      // hashes of an inclusion proof: the log has fewer than 2^64 entries
	MaxBundle = 4 << 20 // bytes of one bundle file
)

// Bundle is the proof that one entry is in the log, as one text file that anybody can check with Policy.Verify and
// nothing else. Nothing in it is to be trusted before that.
//
//	tallystick/bundle@v1
//	entry <base64 of the encoded entry>
//	salt <base64>                           these two lines, or the one line "erased"
//	payload <base64>                        "payload" alone if it is empty
//	key <base64>                            these lines only in tallystick/bundle@v2: the device's public key,
//	signature <base64>                      its signature,
//	signed <base64>                         the text that it signed before the content,
//	content <base64>                        and the content, if that is not the payload ("content" alone if empty)
//	c2sp.org/tlog-proof@v1                  from here on: c2sp.org/tlog-proof without extra data
//	index <decimal>
//	<base64 of a hash>                      one line a hash of the inclusion proof
//
//	<origin>                                the signed checkpoint
//	<size>
//	<base64 of the root>
//
//	— <name> <base64>                       signatures, ordered by name, then by key ID
//
// Base64 is RFC 4648 section 4 with padding. Every line ends with a line feed.
type Bundle struct {
	Entry   []byte   // encoded entry, at most MaxEntry bytes
	Erased  bool     // the payload and its salt are gone
	Salt    [32]byte // zero if erased
	Payload []byte   // nil if erased; at most MaxPayload bytes
	// Signed is the device's signature of an entry with AuthSignature, nil for other entries and if erased; DeviceKey is
	// then the device's public key, which must be the one that the entry names.
	Signed     *Signed
	DeviceKey  [ed25519.PublicKeySize]byte
	Index      uint64     // place of the entry in the log, from 0
	Hashes     [][32]byte // inclusion proof, from the sibling of the leaf up, at most MaxHashes
	Checkpoint SignedCheckpoint
}

// Withhold takes out what is not for everybody who may know of the entry: the payload with its salt, and the signature.
// The bundle is then one of an erased payload.
func (b *Bundle) Withhold() {
	b.Erased, b.Salt, b.Payload, b.Signed, b.DeviceKey = true, [32]byte{}, nil, nil, [ed25519.PublicKeySize]byte{}
}

// Marshal returns the bundle as a file. It sorts no signatures: Policy.Open returns them in order.
func (b *Bundle) Marshal() []byte {
	return b.append(make([]byte, 0, 4096+strict.EncodedLen(len(b.Entry)+len(b.Payload))))
}

func (b *Bundle) append(dst []byte) []byte {
	if b.Signed != nil {
		dst = append(dst, signedBundleHeader+"\n"...)
	} else {
		dst = append(dst, bundleHeader+"\n"...)
	}
	dst = strict.AppendEncode(append(dst, "entry "...), b.Entry)
	if b.Erased {
		dst = append(dst, "\nerased\n"...)
	} else {
		dst = strict.AppendEncode(append(dst, "\nsalt "...), b.Salt[:])
		dst = appendOptional(append(dst, '\n'), "payload", b.Payload)
	}
	if s := b.Signed; s != nil {
		dst = strict.AppendEncode(append(dst, "key "...), b.DeviceKey[:])
		dst = strict.AppendEncode(append(dst, "\nsignature "...), s.Signature[:])
		dst = append(strict.AppendEncode(append(dst, "\nsigned "...), s.Text), '\n')
		if s.Apart {
			dst = appendOptional(dst, "content", s.Content)
		}
	}
	return b.appendTLogProof(dst)
}

// appendOptional appends a line of a keyword and of base64, unless value is empty.
func appendOptional(dst []byte, keyword string, value []byte) []byte {
	dst = append(dst, keyword...)
	if len(value) > 0 {
		dst = strict.AppendEncode(append(dst, ' '), value)
	}
	return append(dst, '\n')
}

// TLogProof returns the part of the bundle that is a C2SP proof (c2sp.org/tlog-proof), for tools that know nothing
// of this project: it proves the leaf whose content is Entry.
func (b *Bundle) TLogProof() []byte {
	return b.appendTLogProof(nil)
}

func (b *Bundle) appendTLogProof(dst []byte) []byte {
	dst = append(dst, proofHeader+"\nindex "...)
	dst = append(strconv.AppendUint(dst, b.Index, 10), '\n')
	for i := range b.Hashes {
		dst = append(strict.AppendEncode(dst, b.Hashes[i][:]), '\n')
	}
	return b.Checkpoint.append(append(dst, '\n'))
}

// ParseBundle parses a bundle file. It accepts only what Marshal writes, with the signatures in order and each key
// once, within the limits above. It verifies nothing.
func ParseBundle(file []byte) (*Bundle, error) {
	b, err := parseBundle(file)
	if err != nil {
		return nil, fmt.Errorf("parse bundle: %w", err)
	}
	return b, nil
}

func parseBundle(file []byte) (*Bundle, error) {
	if len(file) > MaxBundle {
		return nil, fmt.Errorf("%d bytes, the limit is %d", len(file), MaxBundle)
	}
	r := bundleReader{rest: file}
	header, err := r.line()
	if err != nil {
		return nil, err
	}
	if header != bundleHeader && header != signedBundleHeader {
		return nil, fmt.Errorf("the first line is %.40q, this program knows %q and %q", header, bundleHeader, signedBundleHeader)
	}
	b := new(Bundle)
	if b.Entry, err = r.value("entry", MaxEntry); err != nil {
		return nil, err
	}
	if b.Erased = r.skip("erased\n"); !b.Erased {
		if err := r.fixed("salt", b.Salt[:]); err != nil {
			return nil, err
		}
		if b.Payload, err = r.optional("payload", MaxPayload); err != nil {
			return nil, err
		}
	}
	if header == signedBundleHeader {
		if err := r.signed(b); err != nil {
			return nil, err
		}
	}
	if err := r.proof(b); err != nil {
		return nil, err
	}
	if !sortedOnce(b.Checkpoint.Signatures) {
		return nil, errors.New("the signatures are not ordered by name and key ID, or a key occurs twice")
	}
	if !bytes.Equal(b.append(make([]byte, 0, len(file))), file) {
		return nil, errNotCanonical
	}
	return b, nil
}

// bundleReader reads a bundle line by line; rest is what is not read yet.
type bundleReader struct {
	rest []byte
	n    int // lines read
}

// line returns the next line without its line feed.
func (r *bundleReader) line() (string, error) {
	line, rest, ok := bytes.Cut(r.rest, []byte("\n"))
	if !ok {
		return "", fmt.Errorf("line %d: the file ends too early", r.n+1)
	}
	r.rest = rest
	r.n++
	return string(line), nil
}

// skip reads the given line if it is the next one.
func (r *bundleReader) skip(line string) bool {
	rest, ok := bytes.CutPrefix(r.rest, []byte(line))
	if ok {
		r.rest = rest
		r.n++
	}
	return ok
}

// value reads a line of a keyword, a space and the base64 of 1 to limit bytes.
func (r *bundleReader) value(keyword string, limit int) ([]byte, error) {
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	encoded, ok := strings.CutPrefix(line, keyword+" ")
	if !ok || encoded == "" {
		return nil, fmt.Errorf("line %d: %.32q, want %q and base64", r.n, line, keyword)
	}
	if len(encoded) > strict.EncodedLen(limit) {
		return nil, fmt.Errorf("line %d: %s: %d characters, the limit is %d bytes as base64", r.n, keyword, len(encoded), limit)
	}
	b, err := strict.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("line %d: %s: %w", r.n, keyword, err)
	}
	if len(b) > limit {
		return nil, fmt.Errorf("line %d: %s: %d bytes, the limit is %d", r.n, keyword, len(b), limit)
	}
	return b, nil
}

// fixed reads a line of a keyword and the base64 of as many bytes as dst has.
func (r *bundleReader) fixed(keyword string, dst []byte) error {
	b, err := r.value(keyword, len(dst))
	if err == nil && len(b) != len(dst) {
		err = fmt.Errorf("%s: %d bytes, want %d", keyword, len(b), len(dst))
	}
	copy(dst, b)
	return err
}

// optional reads a line of a keyword alone, for nothing, or of a keyword and the base64 of up to limit bytes.
func (r *bundleReader) optional(keyword string, limit int) ([]byte, error) {
	if r.skip(keyword + "\n") {
		return nil, nil
	}
	return r.value(keyword, limit)
}

// signed reads the device's signature.
func (r *bundleReader) signed(b *Bundle) (err error) {
	if b.Erased {
		return errors.New("erased, and with a device's signature")
	}
	s := new(Signed)
	if err := r.fixed("key", b.DeviceKey[:]); err != nil {
		return err
	}
	if err := r.fixed("signature", s.Signature[:]); err != nil {
		return err
	}
	if s.Text, err = r.value("signed", MaxSignedText); err != nil {
		return err
	}
	if s.Apart = !bytes.HasPrefix(r.rest, []byte(proofHeader+"\n")); s.Apart {
		if s.Content, err = r.optional("content", MaxPayload); err != nil {
			return err
		}
	}
	b.Signed = s
	return nil
}

// proof reads the embedded proof up to the end of the file (c2sp.org/tlog-proof, Format).
func (r *bundleReader) proof(b *Bundle) error {
	line, err := r.line()
	if err != nil {
		return err
	}
	if line != proofHeader {
		return fmt.Errorf("line %d: %.40q, want %q", r.n, line, proofHeader)
	}
	if line, err = r.line(); err != nil {
		return err
	}
	index, ok := strings.CutPrefix(line, "index ")
	if !ok {
		return fmt.Errorf("line %d: %.32q, want an index", r.n, line)
	}
	if b.Index, err = parseDecimal(index); err != nil {
		return fmt.Errorf("line %d: index: %w", r.n, err)
	}
	for {
		if line, err = r.line(); err != nil {
			return err
		}
		if line == "" {
			break
		}
		if len(b.Hashes) == MaxHashes {
			return fmt.Errorf("line %d: more than %d hashes", r.n, MaxHashes)
		}
		h, err := parseHash(line)
		if err != nil {
			return fmt.Errorf("line %d: hash: %w", r.n, err)
		}
		b.Hashes = append(b.Hashes, h)
	}
	s, err := parseSignedCheckpoint(r.rest)
	if err != nil {
		return fmt.Errorf("checkpoint after line %d: %w", r.n, err)
	}
	b.Checkpoint = *s
	return nil
}
