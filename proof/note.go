package proof

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of a signed checkpoint.
const (
	MaxSignatures = 128       // signatures on one checkpoint
	maxSignature  = 8 << 10   // bytes of one signature; post-quantum ones come near 5 KB (c2sp.org/signed-note, Format)
	maxNote       = 512 << 10 // bytes of one signed checkpoint
)

// Signature is one signature line of a signed note (c2sp.org/signed-note, Signatures).
type Signature struct {
	Name  string // name of the key
	KeyID uint32 // depends on name, type and public key; see VerifierKey.ID
	Bytes []byte // 64 bytes Ed25519; for a cosignature 8 bytes time before them; other algorithms have other sizes
}

// sigStart begins every signature line: an em dash and a space.
const sigStart = "— "

// append appends the line with its line feed.
func (s Signature) append(dst []byte) []byte {
	dst = append(dst, sigStart...)
	dst = append(dst, s.Name...)
	dst = append(dst, ' ')
	b := make([]byte, 4, 4+len(s.Bytes))
	binary.BigEndian.PutUint32(b, s.KeyID)
	dst = strict.AppendEncode(dst, append(b, s.Bytes...))
	return append(dst, '\n')
}

// String returns the signature line without its line feed.
func (s Signature) String() string {
	return strings.TrimSuffix(string(s.append(nil)), "\n")
}

// Time returns the moment at which a cosignature says it was made, to the second; zero if s is no cosignature.
// It is authentic only after the signature is verified.
func (s Signature) Time() time.Time {
	if len(s.Bytes) != cosignatureSize {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint64(s.Bytes)), 0).UTC()
}

// compareSignatures orders signatures by name, then by key ID.
func compareSignatures(a, b Signature) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return cmp.Compare(a.KeyID, b.KeyID)
}

func parseSignature(line string) (s Signature, err error) {
	rest, ok := strings.CutPrefix(line, sigStart)
	if !ok {
		return s, fmt.Errorf("%.32q does not begin with an em dash and a space", line)
	}
	name, encoded, ok := strings.Cut(rest, " ")
	if !ok {
		return s, errors.New("no space after the name of the key")
	}
	if err := checkName(name); err != nil {
		return s, err
	}
	if len(encoded) > strict.EncodedLen(maxSignature) {
		return s, fmt.Errorf("signature by %q: %d characters are too many", name, len(encoded))
	}
	b, err := strict.DecodeString(encoded)
	if err != nil {
		return s, fmt.Errorf("signature by %q: %w", name, err)
	}
	if len(b) <= 4 {
		return s, fmt.Errorf("signature by %q: %d bytes are too few", name, len(b))
	}
	return Signature{Name: name, KeyID: binary.BigEndian.Uint32(b), Bytes: b[4:]}, nil
}

// SignedCheckpoint is a checkpoint and signatures on it: a signed note (c2sp.org/signed-note). Nothing in it is to
// be trusted before Policy.Open.
type SignedCheckpoint struct {
	Checkpoint
	Signatures []Signature
}

// Marshal returns the signed note: the text of the checkpoint, an empty line, the signature lines.
func (s *SignedCheckpoint) Marshal() []byte {
	return s.append(nil)
}

func (s *SignedCheckpoint) append(dst []byte) []byte {
	dst = append(s.Checkpoint.append(dst), '\n')
	for _, sig := range s.Signatures {
		dst = sig.append(dst)
	}
	return dst
}

// ParseSignedCheckpoint parses a signed note whose text is a checkpoint, with 1 to MaxSignatures signatures of any
// algorithm in any order. It accepts only what Marshal writes and verifies no signature.
func ParseSignedCheckpoint(b []byte) (*SignedCheckpoint, error) {
	s, err := parseSignedCheckpoint(b)
	if err != nil {
		return nil, fmt.Errorf("parse signed checkpoint: %w", err)
	}
	return s, nil
}

func parseSignedCheckpoint(b []byte) (*SignedCheckpoint, error) {
	if len(b) > maxNote {
		return nil, fmt.Errorf("%d bytes, the limit is %d", len(b), maxNote)
	}
	text, lines, ok := bytes.Cut(b, []byte("\n\n"))
	if !ok {
		return nil, errors.New("no empty line after the text")
	}
	c, err := parseCheckpoint(b[:len(text)+1])
	if err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	s := &SignedCheckpoint{Checkpoint: c}
	for line := range strings.Lines(string(lines)) {
		if len(s.Signatures) == MaxSignatures {
			return nil, fmt.Errorf("more than %d signatures", MaxSignatures)
		}
		sig, err := parseSignature(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, fmt.Errorf("signature line %d: %w", len(s.Signatures)+1, err)
		}
		s.Signatures = append(s.Signatures, sig)
	}
	if len(s.Signatures) == 0 {
		return nil, errors.New("no signature")
	}
	if !bytes.Equal(s.append(make([]byte, 0, len(b))), b) {
		return nil, errNotCanonical
	}
	return s, nil
}

// sortedOnce reports whether the signatures are in order and no key occurs twice.
func sortedOnce(sigs []Signature) bool {
	for i := 1; i < len(sigs); i++ {
		if compareSignatures(sigs[i-1], sigs[i]) >= 0 {
			return false
		}
	}
	return true
}

// sortSignatures brings signatures into the order that a bundle has.
func sortSignatures(sigs []Signature) {
	slices.SortStableFunc(sigs, compareSignatures)
}
