package proof

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The first lines of a bundle and of the proof inside it. A new form of either gets a new line.
const (
	bundleHeader = "tallystick/bundle@v1"
	proofHeader  = "c2sp.org/tlog-proof@v1"
)

// Bounds of a bundle.
const (
	MaxHashes = 64      // hashes of an inclusion proof: the log has fewer than 2^64 entries
	MaxBundle = 2 << 20 // bytes of one bundle file
)

// Bundle is the proof that one entry is in the log, as one text file that anybody can check with Policy.Verify and
// nothing else. Nothing in it is to be trusted before that.
//
//	tallystick/bundle@v1
//	entry <base64 of the encoded entry>
//	salt <base64>                           these two lines, or the one line "erased"
//	payload <base64>                        "payload" alone if it is empty
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
	Entry      []byte     // encoded entry, at most MaxEntry bytes
	Erased     bool       // the payload and its salt are gone
	Salt       [32]byte   // zero if erased
	Payload    []byte     // nil if erased; at most MaxPayload bytes
	Index      uint64     // place of the entry in the log, from 0
	Hashes     [][32]byte // inclusion proof, from the sibling of the leaf up, at most MaxHashes
	Checkpoint SignedCheckpoint
}

// Marshal returns the bundle as a file. It sorts no signatures: Policy.Open returns them in order.
func (b *Bundle) Marshal() []byte {
	return b.append(make([]byte, 0, 2048+strict.EncodedLen(len(b.Entry)+len(b.Payload))))
}

func (b *Bundle) append(dst []byte) []byte {
	dst = append(dst, bundleHeader+"\n"...)
	dst = strict.AppendEncode(append(dst, "entry "...), b.Entry)
	if b.Erased {
		dst = append(dst, "\nerased\n"...)
	} else {
		dst = strict.AppendEncode(append(dst, "\nsalt "...), b.Salt[:])
		dst = append(dst, "\npayload"...)
		if len(b.Payload) > 0 {
			dst = strict.AppendEncode(append(dst, ' '), b.Payload)
		}
		dst = append(dst, '\n')
	}
	return b.appendTLogProof(dst)
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
	if header != bundleHeader {
		return nil, fmt.Errorf("the first line is %.40q, this program knows %q", header, bundleHeader)
	}
	b := new(Bundle)
	if b.Entry, err = r.value("entry", MaxEntry); err != nil {
		return nil, err
	}
	if b.Erased = r.skip("erased\n"); !b.Erased {
		salt, err := r.value("salt", len(b.Salt))
		if err != nil {
			return nil, err
		}
		if len(salt) != len(b.Salt) {
			return nil, fmt.Errorf("salt: %d bytes, want %d", len(salt), len(b.Salt))
		}
		b.Salt = [32]byte(salt)
		if !r.skip("payload\n") {
			if b.Payload, err = r.value("payload", MaxPayload); err != nil {
				return nil, err
			}
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
