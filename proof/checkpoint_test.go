package proof

import (
	"bytes"
	"strings"
	"testing"
)

const testRoot = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="

// exampleCheckpoint is the example of c2sp.org/tlog-checkpoint.
const exampleCheckpoint = "example.com/behind-the-sofa\n20852163\n" + testRoot + "\n"

func TestCheckpointExample(t *testing.T) {
	c, err := ParseCheckpoint([]byte(exampleCheckpoint))
	if err != nil {
		t.Fatal(err)
	}
	if c.Origin != "example.com/behind-the-sofa" || c.Size != 20852163 || c.Root[0] != 0x0a {
		t.Errorf("parsed %+v", c)
	}
	if got := string(c.Marshal()); got != exampleCheckpoint {
		t.Errorf("marshalled %q", got)
	}
}

// TestParseCheckpointRefuses: c2sp.org/tlog-checkpoint, note text, and c2sp.org/signed-note, Format.
func TestParseCheckpointRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                   "",
		"no last line feed":       "a\n1\n" + testRoot,
		"two lines":               "a\n1\n",
		"extension line":          "a\n1\n" + testRoot + "\nextension\n",
		"empty origin":            "\n1\n" + testRoot + "\n",
		"space in the origin":     "a b\n1\n" + testRoot + "\n",
		"plus in the origin":      "a+b\n1\n" + testRoot + "\n",
		"no-break space":          "a\u00a0b\n1\n" + testRoot + "\n",
		"control character":       "a\x01\n1\n" + testRoot + "\n",
		"origin not UTF-8":        "a\xff\n1\n" + testRoot + "\n",
		"origin too long":         strings.Repeat("a", 256) + "\n1\n" + testRoot + "\n",
		"leading zero":            "a\n01\n" + testRoot + "\n",
		"signed size":             "a\n+1\n" + testRoot + "\n",
		"negative size":           "a\n-1\n" + testRoot + "\n",
		"size over 64 bits":       "a\n18446744073709551616\n" + testRoot + "\n",
		"no size":                 "a\n\n" + testRoot + "\n",
		"root without padding":    "a\n1\n" + strings.TrimSuffix(testRoot, "=") + "\n",
		"bits in the padding":     "a\n1\n" + strings.Replace(testRoot, "2I=", "2J=", 1) + "\n",
		"carriage return in root": "a\n1\n" + strings.Replace(testRoot, "Y", "Y\r", 1) + "\n",
		"carriage return at end":  "a\r\n1\r\n" + testRoot + "\r\n",
		"root of 31 bytes":        "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==\n",
		"URL alphabet":            "a\n1\n" + strings.ReplaceAll(testRoot, "/", "_") + "\n",
	} {
		if c, err := ParseCheckpoint([]byte(text)); err == nil {
			t.Errorf("%s: accepted as %+v", name, c)
		}
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add([]byte(exampleCheckpoint))
	f.Add(testBundle().Checkpoint.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseCheckpoint(b); err == nil && !bytes.Equal(c.Marshal(), b) {
			t.Errorf("%q was accepted but is not canonical", b)
		}
		if s, err := ParseSignedCheckpoint(b); err == nil && !bytes.Equal(s.Marshal(), b) {
			t.Errorf("%q was accepted but is not canonical", b)
		}
	})
}

// TestInclusion proves every leaf of every small tree with the definition of RFC 6962 section 2.1.1.
func TestInclusion(t *testing.T) {
	for n := 1; n <= 33; n++ {
		d := leaves(n, 0, nil)
		c := Checkpoint{testOrigin, uint64(n), treeHash(d)}
		for m := range n {
			path := auditPath(m, d)
			if err := c.VerifyInclusion(uint64(m), d[m], path); err != nil {
				t.Errorf("leaf %d of %d: %v", m, n, err)
			}
			if err := c.VerifyInclusion(uint64(m), LeafHash([]byte("another")), path); err == nil {
				t.Errorf("leaf %d of %d: another leaf was accepted", m, n)
			}
			if err := c.VerifyInclusion(uint64(m+1), d[m], path); err == nil {
				t.Errorf("leaf %d of %d: accepted as leaf %d", m, n, m+1)
			}
			if err := c.VerifyInclusion(uint64(m), d[m], append(path, [32]byte{})); err == nil {
				t.Errorf("leaf %d of %d: one hash too many was accepted", m, n)
			}
		}
	}
}

// TestConsistency proves every pair of small trees with the definition of RFC 6962 section 2.1.2.
func TestConsistency(t *testing.T) {
	d := leaves(24, 0, nil)
	checkpoint := func(n int) Checkpoint { return Checkpoint{testOrigin, uint64(n), treeHash(d[:n])} }
	for n := range len(d) + 1 {
		for m := range n + 1 {
			var hashes [][32]byte
			if m > 0 {
				hashes = subProof(m, d[:n], true)
			}
			old, new := checkpoint(m), checkpoint(n)
			if err := VerifyConsistency(old, new, hashes); err != nil {
				t.Errorf("%d to %d: %v", m, n, err)
			}
			if m < n && VerifyConsistency(new, old, hashes) == nil {
				t.Errorf("%d to %d: accepted backwards", m, n)
			}
			for i := range hashes {
				hashes[i][0] ^= 1
				if VerifyConsistency(old, new, hashes) == nil {
					t.Errorf("%d to %d: changed hash %d was accepted", m, n, i)
				}
				hashes[i][0] ^= 1
			}
			old.Root[5] ^= 1
			if VerifyConsistency(old, new, hashes) == nil {
				t.Errorf("%d to %d: changed old root was accepted", m, n)
			}
			old.Root[5] ^= 1
			new.Root[5] ^= 1
			if m > 0 && VerifyConsistency(old, new, hashes) == nil {
				t.Errorf("%d to %d: changed new root was accepted", m, n)
			}
			new.Root[5] ^= 1
			new.Origin = "another.example/log"
			if VerifyConsistency(old, new, hashes) == nil {
				t.Errorf("%d to %d: another log was accepted", m, n)
			}
		}
	}
}
