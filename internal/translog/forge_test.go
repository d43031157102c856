package translog

import (
	"encoding/binary"
	"hash/crc32"
)

// setSum puts the right checksum into a frame.
func setSum(b []byte) {
	binary.LittleEndian.PutUint32(b[headerSum:], crc32.Checksum(b[headerFixed:], castagnoli))
}

// storedFrame is the frame b with its body stored as it is; the encoder has just collected the same blocks.
func storedFrame(b []byte, enc *encoder) []byte {
	h, err := parseHeader(b)
	if err != nil {
		panic(err)
	}
	out := append([]byte(nil), b[:headerFixed]...)
	for _, v := range []uint64{uint64(h.plain), uint64(len(enc.raw)), uint64(len(enc.raw)), uint64(h.blocks), uint64(h.entries), h.first, h.height} {
		out = binary.AppendUvarint(out, v)
	}
	out = binary.AppendVarint(out, h.time)
	out = append(append(out, enc.plain...), enc.raw...)
	setSum(out)
	return out
}

// setFooterSums puts the right checksums into a footer and trailer.
func setFooterSums(b []byte) {
	at := len(b) - trailerSize
	if n := int(binary.LittleEndian.Uint32(b[at+24:])); n <= at {
		binary.LittleEndian.PutUint32(b[at+28:], crc32.Checksum(b[at-n:at], castagnoli))
	}
	binary.LittleEndian.PutUint32(b[at+32:], crc32.Checksum(b[at:at+32], castagnoli))
}
