package cse_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

var updateGolden = flag.Bool("update", false, "rewrite the golden files of this package")

func goldenResource() *cse.Resource {
	return &cse.Resource{
		Type: onem2m.TypeContainer, RI: "cnt3k", PI: "Ca", RN: "temperature",
		Created: 1_795_417_200_000_000, Modified: 1_795_417_201_000_000, Expires: 1_795_417_299_000_000, StateTag: 7, Owner: "Ca",
		Attrs: []cse.Attr{{Name: "lbl", Value: []byte(`["room:1","ü"]`)}, {Name: "mni", Value: []byte(`10`)}},
	}
}

// The stored form of a resource never changes within its version.
func TestResourceGolden(t *testing.T) {
	waking := goldenResource()
	waking.Wake = 1_795_417_250_000_000
	for version, r := range map[string]*cse.Resource{"v1": goldenResource(), "v2": waking} {
		t.Run(version, func(t *testing.T) { testGolden(t, version, r) })
	}
}

func testGolden(t *testing.T, version string, r *cse.Resource) {
	path := filepath.Join("testdata", "resource."+version+".hex")
	encoded := r.AppendBinary(nil)
	text := hex.EncodeToString(encoded) + "\n"
	if *updateGolden {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("encoded %s, want %s", text, want)
	}
	decoded, err := cse.DecodeResource(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, decoded); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	if got := r.AppendBinary([]byte("x")); string(got) != "x"+string(encoded) {
		t.Error("AppendBinary does not append")
	}
}

func TestDecodeResourceRefuses(t *testing.T) {
	good := goldenResource().AppendBinary(nil)
	for i := range good {
		if _, err := cse.DecodeResource(good[:i]); err == nil {
			t.Errorf("the first %d bytes of %d decode", i, len(good))
		}
	}
	disorder := goldenResource()
	disorder.Attrs[0], disorder.Attrs[1] = disorder.Attrs[1], disorder.Attrs[0]
	twice := goldenResource()
	twice.Attrs[1].Name = "lbl"
	nameless := goldenResource()
	nameless.RN = ""
	broken, padded := goldenResource(), goldenResource()
	broken.Attrs[0].Value = []byte(`["room`)
	padded.Attrs[0].Value = []byte(` 1`)
	for name, b := range map[string][]byte{
		"value is no JSON":       broken.AppendBinary(nil),
		"value with blanks":      padded.AppendBinary(nil),
		"another version":        append([]byte{2}, good[1:]...),
		"trailing bytes":         append(bytes.Clone(good), 0),
		"attributes in disorder": disorder.AppendBinary(nil),
		"attribute twice":        twice.AppendBinary(nil),
		"no name":                nameless.AppendBinary(nil),
		"longer than needed":     append([]byte{1, 0x98, 10}, good[2:]...),
		"too long":               append([]byte{1}, make([]byte, 2<<20)...),
	} {
		if _, err := cse.DecodeResource(b); err == nil || !strings.HasPrefix(err.Error(), "decode resource of ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
