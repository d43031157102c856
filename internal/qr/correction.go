package qr

// Arithmetic in GF(2^8) modulo x^8+x^4+x^3+x^2+1 (clause 7.5.2).
func times(a, b byte) (p byte) {
	for ; b > 0; b >>= 1 {
		if b&1 == 1 {
			p ^= a
		}
		carry := a & 0x80
		a <<= 1
		if carry != 0 {
			a ^= 0x1D
		}
	}
	return p
}

// correction returns the n Reed-Solomon codewords of a block.
func correction(data []byte, n int) []byte {
	// The generator is the product of (x - 2^i) for i below n, its leading 1 left out.
	generator := make([]byte, n)
	generator[n-1] = 1
	root := byte(1)
	for range n {
		for j := range generator {
			generator[j] = times(generator[j], root)
			if j+1 < n {
				generator[j] ^= generator[j+1]
			}
		}
		root = times(root, 2)
	}
	rest := make([]byte, n)
	for _, d := range data {
		factor := d ^ rest[0]
		copy(rest, rest[1:])
		rest[n-1] = 0
		for j, g := range generator {
			rest[j] ^= times(g, factor)
		}
	}
	return rest
}
