package qr

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestCorrection: the worked example of ISO/IEC 18004 annex I, version 1-M.
func TestCorrection(t *testing.T) {
	data, _ := hex.DecodeString("10200c566180ec11ec11ec11ec11ec11")
	if got := hex.EncodeToString(correction(data, 10)); got != "a524d4c1ed36c7872c55" {
		t.Error(got)
	}
}

// TestCheckBits: rows of tables C.1 and D.1.
func TestCheckBits(t *testing.T) {
	for mask, want := range []int{0x77c4, 0x72f3, 0x7daa, 0x789d, 0x662f, 0x6318, 0x6c41, 0x6976} {
		if got := formatBits(mask); got != want {
			t.Errorf("mask %d: %#x, want %#x", mask, got, want)
		}
	}
	for n, want := range map[int]int{7: 0x07c94, 8: 0x085bc, 9: 0x09a99, 10: 0x0a4d3} {
		if got := versionBits(n); got != want {
			t.Errorf("version %d: %#x, want %#x", n, got, want)
		}
	}
}

// TestCapacity: byte mode at level L holds what table 7 says, and no byte more.
func TestCapacity(t *testing.T) {
	for i, n := range []int{17, 32, 53, 78, 106, 134, 154, 192, 230, 271} {
		for extra := range 2 {
			c, err := Encode(strings.Repeat("x", n+extra))
			switch want := 21 + 4*(i+extra); {
			case i == 9 && extra == 1:
				if err == nil {
					t.Error("a text that is too long has a code")
				}
			case err != nil || c.Size != want:
				t.Errorf("%d bytes: %+v, %v; want a size of %d", n+extra, c, err, want)
			}
		}
	}
}

// TestRead: a reader that shares nothing with the encoder but the tables reads back what was written: finders, timing,
// format, version, mask, order of the codewords, error correction, text.
func TestRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOfN(rapid.Byte(), 0, 271).Draw(t, "text"))
		c, err := Encode(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, c); got != text {
			t.Fatalf("%q reads as %q", text, got)
		}
	})
}

func read(t *rapid.T, c *Code) string {
	n := (c.Size - 17) / 4
	finder := []string{"1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111"}
	for _, at := range [][2]int{{0, 0}, {c.Size - 7, 0}, {0, c.Size - 7}} {
		for y, row := range finder {
			for x, want := range row {
				if c.Dark(at[0]+x, at[1]+y) != (want == '1') {
					t.Fatalf("finder at %v differs in row %d", at, y)
				}
			}
		}
	}
	for i := 8; i < c.Size-8; i++ {
		if c.Dark(i, 6) != (i%2 == 0) || c.Dark(6, i) != (i%2 == 0) {
			t.Fatal("the timing pattern is broken")
		}
	}
	// Format, most significant bit first: left to right along row 8, then up column 8; and the copy.
	var places, copies [][2]int
	for _, x := range []int{0, 1, 2, 3, 4, 5, 7, 8} {
		places = append(places, [2]int{x, 8})
	}
	for _, y := range []int{7, 5, 4, 3, 2, 1, 0} {
		places = append(places, [2]int{8, y})
	}
	for y := c.Size - 1; y > c.Size-8; y-- {
		copies = append(copies, [2]int{8, y})
	}
	for x := c.Size - 8; x < c.Size; x++ {
		copies = append(copies, [2]int{x, 8})
	}
	value := func(at [][2]int) (v int) {
		for _, p := range at {
			v <<= 1
			if c.Dark(p[0], p[1]) {
				v |= 1
			}
		}
		return v
	}
	format := value(places)
	if format != value(copies) || !c.Dark(8, c.Size-8) {
		t.Fatalf("format %015b and %015b", format, value(copies))
	}
	mask := -1
	for m := range 8 {
		if formatBits(m) == format {
			mask = m
		}
	}
	if mask < 0 {
		t.Fatalf("format %015b is none of level L", format)
	}
	if n >= 7 {
		var a, b int
		for i := 17; i >= 0; i-- {
			a, b = a<<1, b<<1
			if c.Dark(c.Size-11+i%3, i/3) {
				a |= 1
			}
			if c.Dark(i/3, c.Size-11+i%3) {
				b |= 1
			}
		}
		if a != versionBits(n) || b != a {
			t.Fatalf("version bits %x and %x", a, b)
		}
	}
	taken := func(x, y int) bool { // what holds no data
		switch {
		case x < 9 && y < 9, x >= c.Size-8 && y < 9, x < 9 && y >= c.Size-8, x == 6, y == 6:
			return true
		case n >= 7 && (x >= c.Size-11 && y < 6 || y >= c.Size-11 && x < 6):
			return true
		}
		for _, ax := range versions[n].align {
			for _, ay := range versions[n].align {
				corner := ax < 9 && ay < 9 || ax >= c.Size-9 && ay < 9 || ax < 9 && ay >= c.Size-9
				if !corner && x >= ax-2 && x <= ax+2 && y >= ay-2 && y <= ay+2 {
					return true
				}
			}
		}
		return false
	}
	var raw []byte
	count := 0
	up := true
	for x := c.Size - 1; x > 0; x -= 2 {
		if x == 6 {
			x = 5
		}
		for i := range c.Size {
			y := i
			if up {
				y = c.Size - 1 - i
			}
			for _, col := range []int{x, x - 1} {
				if taken(col, y) {
					continue
				}
				if count%8 == 0 {
					raw = append(raw, 0)
				}
				if c.Dark(col, y) != masks[mask](col, y) {
					raw[count/8] |= 0x80 >> (count % 8)
				}
				count++
			}
		}
		up = !up
	}
	v := versions[n]
	blocks := make([][]byte, len(v.data))
	at := 0
	take := func(longest int, room func(block int) int) {
		for i := range longest {
			for b := range blocks {
				if i < room(b) {
					blocks[b] = append(blocks[b], raw[at])
					at++
				}
			}
		}
	}
	take(v.data[len(v.data)-1], func(b int) int { return v.data[b] })
	take(v.ecc, func(int) int { return v.ecc })
	var data []byte
	for b, block := range blocks {
		root := byte(1)
		for range v.ecc { // a codeword has every root of the generator
			sum := byte(0)
			for _, w := range block {
				sum = times(sum, root) ^ w
			}
			if sum != 0 {
				t.Fatalf("block %d does not check", b)
			}
			root = times(root, 2)
		}
		data = append(data, block[:v.data[b]]...)
	}
	bit := func(from, width int) (v int) {
		for i := from; i < from+width; i++ {
			v = v<<1 | int(data[i/8]>>(7-i%8)&1)
		}
		return v
	}
	width := 8
	if n >= 10 {
		width = 16
	}
	if bit(0, 4) != 4 {
		t.Fatal("not in byte mode")
	}
	var out bytes.Buffer
	for i := range bit(4, width) {
		out.WriteByte(byte(bit(4+width+8*i, 8)))
	}
	return out.String()
}

// TestString: every line has the width of the code and its margin, and all modules are drawn.
func TestString(t *testing.T) {
	c, err := Encode("https://node.example/-/enrol#00000")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(c.String(), "\n"), "\n")
	if len(lines) != (c.Size+4+1)/2 {
		t.Errorf("%d lines for a size of %d", len(lines), c.Size)
	}
	for _, l := range lines {
		l = strings.TrimSuffix(strings.TrimPrefix(l, "\x1b[30;107m"), "\x1b[0m")
		if len([]rune(l)) != c.Size+4 {
			t.Errorf("%q has %d characters", l, len([]rune(l)))
		}
	}
}
