// Package qr makes QR codes (ISO/IEC 18004) of short texts for a terminal: byte mode, error correction level L,
// versions 1 to 10.
package qr

import (
	"fmt"
	"strings"
)

// Code is a QR code.
type Code struct {
	Size    int // modules in a row, and rows
	modules []bool
	fixed   []bool // function patterns, which no mask touches
}

// Dark says whether the module in column x of row y is dark. Modules outside of the code are light.
func (c *Code) Dark(x, y int) bool {
	return x >= 0 && y >= 0 && x < c.Size && y < c.Size && c.modules[y*c.Size+x]
}

// version is what ISO/IEC 18004 tables 7, 9 and E.1 say of a version at level L.
type version struct {
	ecc   int   // error correction codewords of each block
	data  []int // data codewords of each block
	align []int // centres of alignment patterns
}

var versions = []version{
	1:  {7, []int{19}, nil},
	2:  {10, []int{34}, []int{6, 18}},
	3:  {15, []int{55}, []int{6, 22}},
	4:  {20, []int{80}, []int{6, 26}},
	5:  {26, []int{108}, []int{6, 30}},
	6:  {18, []int{68, 68}, []int{6, 34}},
	7:  {20, []int{78, 78}, []int{6, 22, 38}},
	8:  {24, []int{97, 97}, []int{6, 24, 42}},
	9:  {30, []int{116, 116}, []int{6, 26, 46}},
	10: {18, []int{68, 68, 69, 69}, []int{6, 28, 50}},
}

func (v *version) capacity() (n int) {
	for _, d := range v.data {
		n += d
	}
	return n
}

// Encode makes the smallest code that holds text, of at most 271 bytes.
func Encode(text string) (*Code, error) {
	for n := 1; n < len(versions); n++ {
		v := &versions[n]
		countBits := 8
		if n >= 10 {
			countBits = 16
		}
		if 4+countBits+8*len(text) <= 8*v.capacity() {
			return build(n, interleave(v, pack(text, countBits, v.capacity()))), nil
		}
	}
	return nil, fmt.Errorf("a text of %d bytes is too long for a QR code", len(text))
}

// pack makes the data codewords of a text in byte mode (clause 7.4.5), filled up to n (clause 7.4.10).
func pack(text string, countBits, n int) []byte {
	var b bits
	b.add(0b0100, 4)
	b.add(len(text), countBits)
	for _, c := range []byte(text) {
		b.add(int(c), 8)
	}
	b.add(0, min(4, 8*n-b.n))
	b.add(0, (8-b.n%8)%8)
	for pad := 0xEC; len(b.bytes) < n; pad ^= 0xEC ^ 0x11 {
		b.add(pad, 8)
	}
	return b.bytes
}

type bits struct {
	bytes []byte
	n     int
}

func (b *bits) add(v, width int) {
	for i := width - 1; i >= 0; i-- {
		if b.n%8 == 0 {
			b.bytes = append(b.bytes, 0)
		}
		b.bytes[b.n/8] |= byte(v>>i&1) << (7 - b.n%8)
		b.n++
	}
}

// interleave splits data into blocks, adds their error correction and takes codewords of all of them in turn (clause 7.6).
func interleave(v *version, data []byte) []byte {
	var blocks, checks [][]byte
	longest := 0
	for _, n := range v.data {
		blocks = append(blocks, data[:n])
		checks = append(checks, correction(data[:n], v.ecc))
		data = data[n:]
		longest = max(longest, n)
	}
	var out []byte
	for _, set := range [][][]byte{blocks, checks} {
		for i := range longest {
			for _, b := range set {
				if i < len(b) {
					out = append(out, b[i])
				}
			}
		}
	}
	return out
}

// build lays codewords out and applies the mask that gives the best code (clauses 7.7 to 7.9).
func build(n int, codewords []byte) *Code {
	base := &Code{Size: 17 + 4*n}
	base.modules, base.fixed = make([]bool, base.Size*base.Size), make([]bool, base.Size*base.Size)
	base.patterns(n)
	base.place(codewords)
	var best *Code
	least := 0
	for mask := range masks {
		c := &Code{Size: base.Size, modules: append([]bool(nil), base.modules...), fixed: base.fixed}
		c.mask(mask)
		c.format(mask)
		if p := c.penalty(); best == nil || p < least {
			best, least = c, p
		}
	}
	return best
}

func (c *Code) set(x, y int, dark bool) {
	if x < 0 || y < 0 || x >= c.Size || y >= c.Size {
		return
	}
	c.modules[y*c.Size+x], c.fixed[y*c.Size+x] = dark, true
}

// patterns draws what is the same for all texts of a version.
func (c *Code) patterns(n int) {
	for i := range c.Size { // timing
		c.set(i, 6, i%2 == 0)
		c.set(6, i, i%2 == 0)
	}
	for _, at := range [][2]int{{3, 3}, {c.Size - 4, 3}, {3, c.Size - 4}} { // finders with their separators
		for dy := -4; dy <= 4; dy++ {
			for dx := -4; dx <= 4; dx++ {
				far := max(dx, -dx, dy, -dy)
				c.set(at[0]+dx, at[1]+dy, far != 2 && far != 4)
			}
		}
	}
	align := versions[n].align
	for i, y := range align {
		for j, x := range align {
			last := len(align) - 1
			if i == 0 && j == 0 || i == 0 && j == last || i == last && j == 0 {
				continue // a finder is there
			}
			for dy := -2; dy <= 2; dy++ {
				for dx := -2; dx <= 2; dx++ {
					c.set(x+dx, y+dy, max(dx, -dx, dy, -dy) != 1)
				}
			}
		}
	}
	c.format(0) // reserves the place
	if n >= 7 {
		v := versionBits(n)
		for i := range 18 {
			dark := v>>i&1 == 1
			c.set(c.Size-11+i%3, i/3, dark)
			c.set(i/3, c.Size-11+i%3, dark)
		}
	}
}

// place puts codewords in columns of two, from the right, upwards and downwards in turn (clause 7.7.3).
func (c *Code) place(codewords []byte) {
	bit := 0
	for right := c.Size - 1; right >= 1; right -= 2 {
		if right == 6 {
			right--
		}
		for i := range c.Size {
			y := i
			if (right+1)&2 == 0 {
				y = c.Size - 1 - i
			}
			for _, x := range []int{right, right - 1} {
				if at := y*c.Size + x; !c.fixed[at] {
					if bit < 8*len(codewords) {
						c.modules[at] = codewords[bit/8]>>(7-bit%8)&1 == 1
					}
					bit++
				}
			}
		}
	}
}

// masks are those of table 10.
var masks = []func(x, y int) bool{
	func(x, y int) bool { return (x+y)%2 == 0 },
	func(_, y int) bool { return y%2 == 0 },
	func(x, _ int) bool { return x%3 == 0 },
	func(x, y int) bool { return (x+y)%3 == 0 },
	func(x, y int) bool { return (x/3+y/2)%2 == 0 },
	func(x, y int) bool { return x*y%2+x*y%3 == 0 },
	func(x, y int) bool { return (x*y%2+x*y%3)%2 == 0 },
	func(x, y int) bool { return ((x+y)%2+x*y%3)%2 == 0 },
}

func (c *Code) mask(m int) {
	for at := range c.modules {
		if !c.fixed[at] && masks[m](at%c.Size, at/c.Size) {
			c.modules[at] = !c.modules[at]
		}
	}
}

// format writes level and mask, twice (clause 7.9).
func (c *Code) format(mask int) {
	v := formatBits(mask)
	dark := func(i int) bool { return v>>i&1 == 1 }
	for i := range 6 {
		c.set(8, i, dark(i))
		c.set(14-9-i, 8, dark(9+i))
	}
	c.set(8, 7, dark(6))
	c.set(8, 8, dark(7))
	c.set(7, 8, dark(8))
	for i := range 8 {
		c.set(c.Size-1-i, 8, dark(i))
	}
	for i := 8; i < 15; i++ {
		c.set(8, c.Size-15+i, dark(i))
	}
	c.set(8, c.Size-8, true)
}

// formatBits is level L and a mask with their check bits (annex C).
func formatBits(mask int) int {
	data := 0b01<<3 | mask
	return (data<<10 | remainder(data<<10, 0x537)) ^ 0x5412
}

// versionBits is a version with its check bits (annex D).
func versionBits(n int) int { return n<<12 | remainder(n<<12, 0x1F25) }

// remainder divides polynomials over GF(2).
func remainder(v, by int) int {
	width := func(v int) (n int) {
		for ; v > 0; v >>= 1 {
			n++
		}
		return n
	}
	for w := width(by); width(v) >= w; {
		v ^= by << (width(v) - w)
	}
	return v
}

// penalty rates a masked code by the rules of clause 7.8.3.
func (c *Code) penalty() (sum int) {
	dark := 0
	for y := range c.Size {
		sum += linePenalty(c.Size, func(i int) bool { return c.Dark(i, y) })
		sum += linePenalty(c.Size, func(i int) bool { return c.Dark(y, i) })
		for x := range c.Size {
			if c.Dark(x, y) {
				dark++
			}
			if x > 0 && y > 0 && c.Dark(x, y) == c.Dark(x-1, y) && c.Dark(x, y) == c.Dark(x, y-1) && c.Dark(x, y) == c.Dark(x-1, y-1) {
				sum += 3
			}
		}
	}
	percent := dark * 100 / (c.Size * c.Size)
	return sum + max(percent-50, 50-percent)/5*10
}

func linePenalty(size int, at func(int) bool) (sum int) {
	run := 0
	for i := range size {
		if i > 0 && at(i) == at(i-1) {
			run++
		} else {
			run = 1
		}
		switch {
		case run == 5:
			sum += 3
		case run > 5:
			sum++
		}
	}
	for i := 0; i+11 <= size; i++ {
		pattern := 0
		for j := range 11 {
			pattern <<= 1
			if at(i + j) {
				pattern |= 1
			}
		}
		if pattern == 0b10111010000 || pattern == 0b00001011101 {
			sum += 40
		}
	}
	return sum
}

// String draws the code for a terminal, two modules in a character, with the light margin that scanners need. It sets the
// colours by ANSI sequences, so that dark is dark whatever the terminal's own are.
func (c *Code) String() string {
	const quiet = 2
	var s strings.Builder
	for y := -quiet; y < c.Size+quiet; y += 2 {
		s.WriteString("\x1b[30;107m")
		for x := -quiet; x < c.Size+quiet; x++ {
			switch upper, lower := c.Dark(x, y), c.Dark(x, y+1); {
			case upper && lower:
				s.WriteRune('█')
			case upper:
				s.WriteRune('▀')
			case lower:
				s.WriteRune('▄')
			default:
				s.WriteByte(' ')
			}
		}
		s.WriteString("\x1b[0m\n")
	}
	return s.String()
}
