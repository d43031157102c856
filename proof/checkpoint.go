package proof

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// MaxName is the largest size of an origin and of a key name, in bytes.
const MaxName = 255

// strict is the base64 of every format here (RFC 4648 section 4). Strict refuses set bits in the padding; that no
// line feed hides inside is ensured by writing what was read again and comparing.
var strict = base64.StdEncoding.Strict()

// Checkpoint is the head of a log at one moment (c2sp.org/tlog-checkpoint).
type Checkpoint struct {
	Origin string   // names the log; for this project, the network
	Size   uint64   // number of leaves
	Root   [32]byte // root of the RFC 6962 tree of that size
}

// Marshal returns the text that is signed: origin, size and root, a line each (c2sp.org/tlog-checkpoint, note text).
func (c Checkpoint) Marshal() []byte {
	return c.append(make([]byte, 0, len(c.Origin)+1+20+1+44+1))
}

func (c Checkpoint) append(dst []byte) []byte {
	dst = append(dst, c.Origin...)
	dst = append(dst, '\n')
	dst = strconv.AppendUint(dst, c.Size, 10)
	dst = append(dst, '\n')
	dst = strict.AppendEncode(dst, c.Root[:])
	return append(dst, '\n')
}

// ParseCheckpoint parses the text of a checkpoint, without signatures. It accepts only what Marshal writes: extension
// lines, which c2sp.org/tlog-checkpoint allows but does not recommend, are refused. The origin must be usable as the
// name of a key: 1 to MaxName bytes of UTF-8 without spaces, plus signs and control characters.
func ParseCheckpoint(b []byte) (Checkpoint, error) {
	c, err := parseCheckpoint(b)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("parse checkpoint: %w", err)
	}
	return c, nil
}

func parseCheckpoint(b []byte) (c Checkpoint, err error) {
	if len(b) > MaxName+128 {
		return c, fmt.Errorf("%d bytes are too many", len(b))
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) != 4 || lines[3] != "" {
		return c, errors.New("want exactly three lines: origin, size, root")
	}
	if err := checkName(lines[0]); err != nil {
		return c, fmt.Errorf("origin: %w", err)
	}
	c.Origin = lines[0]
	if c.Size, err = parseDecimal(lines[1]); err != nil {
		return c, fmt.Errorf("size: %w", err)
	}
	if c.Root, err = parseHash(lines[2]); err != nil {
		return c, fmt.Errorf("root: %w", err)
	}
	if !bytes.Equal(c.append(nil), b) {
		return c, errNotCanonical
	}
	return c, nil
}

var errNotCanonical = errors.New("not in the canonical form")

// parseDecimal parses a decimal without sign and without leading zeroes.
func parseDecimal(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("%.32q is not a decimal of 64 bits without leading zeroes", s)
	}
	return n, nil
}

// parseHash parses the base64 of 32 bytes.
func parseHash(s string) (h [32]byte, err error) {
	b, err := strict.DecodeString(s)
	if err != nil {
		return h, fmt.Errorf("%.64q: %w", s, err)
	}
	if len(b) != len(h) {
		return h, fmt.Errorf("%d bytes, want %d", len(b), len(h))
	}
	return [32]byte(b), nil
}

// checkName reports why s cannot be the name of a key (c2sp.org/signed-note, Format).
func checkName(s string) error {
	switch {
	case s == "":
		return errors.New("empty name")
	case len(s) > MaxName:
		return fmt.Errorf("name of %d bytes, the limit is %d", len(s), MaxName)
	case !utf8.ValidString(s):
		return fmt.Errorf("name %q is not valid UTF-8", s)
	}
	for _, r := range s {
		if r == '+' || unicode.IsSpace(r) || unicode.IsControl(r) {
			return fmt.Errorf("name %q contains %q", s, r)
		}
	}
	return nil
}

// VerifyInclusion checks that a leaf is in the log at the given index, with the hashes of an inclusion proof from
// the sibling of the leaf up to the child of the root (RFC 6962 section 2.1.1).
func (c Checkpoint) VerifyInclusion(index uint64, leaf [32]byte, hashes [][32]byte) error {
	err := merkle.VerifyInclusion(rfc6962.DefaultHasher, index, c.Size, leaf[:], slices32(hashes), c.Root[:])
	if err != nil {
		return fmt.Errorf("leaf %d of %d is not proved: %w", index, c.Size, err)
	}
	return nil
}

// VerifyConsistency checks that the log of the new checkpoint begins with the whole log of the old one, unchanged,
// with the hashes of a consistency proof (RFC 6962 section 2.1.2). Two checkpoints of one size need no hashes and
// must have one root; anything is consistent with an empty log. Signatures are not looked at: see Policy.Open.
func VerifyConsistency(old, new Checkpoint, hashes [][32]byte) error {
	if old.Origin != new.Origin {
		return fmt.Errorf("consistency: checkpoints of two logs, %q and %q", old.Origin, new.Origin)
	}
	if old.Size == 0 && old.Root != [32]byte(rfc6962.DefaultHasher.EmptyRoot()) {
		return errors.New("consistency: the old checkpoint is of size 0 but its root is not that of an empty log")
	}
	err := merkle.VerifyConsistency(rfc6962.DefaultHasher, old.Size, new.Size, slices32(hashes), old.Root[:], new.Root[:])
	if err != nil {
		return fmt.Errorf("consistency of size %d with size %d: %w", new.Size, old.Size, err)
	}
	return nil
}

// slices32 gives hashes the shape that the Merkle library wants.
func slices32(hashes [][32]byte) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}
