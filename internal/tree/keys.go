package tree

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// formatVersion is the version of all keys and values below. It only grows; Open refuses what it does not know.
const formatVersion = 1

// The key spaces. Keys from "z" on are not used.
//
//	a/<name>                            aux value
//	c/<parent>\x00<order u64>           child: type, ID, name
//	g/<timeSeries>\x00<first u64>        page of times of generation, none below first
//	i/<container>\x00<name>             instance with a name of its own: log index
//	j/<container>\x00<index u64>        the name of that instance
//	k/<container>                       counters and tail chunk
//	l/<name>                            node-local record
//	m/format, m/height                  format version; height and time of the last block
//	n/<parent>\x00<name>                resource ID
//	o/                                  next creation order
//	p/<container>\x00<name u64>         full chunk; its name is the log index of its first posting when it was begun
//	r/<ID>                              creation order, resource
//	s/<parent>\x00<order u64>           ID of a subscription
//	x/<expires u64><ID>                 expiry index
//
// Integers in keys are big-endian, so that keys sort by value.
const (
	spaceAux       = 'a'
	spaceChild     = 'c'
	spaceTimes     = 'g'
	spaceInstName  = 'i'
	spaceInstIndex = 'j'
	spaceContainer = 'k'
	spaceLocal     = 'l'
	spaceMeta      = 'm'
	spaceName      = 'n'
	spaceOrder     = 'o'
	spaceChunk     = 'p'
	spaceResource  = 'r'
	spaceSub       = 's'
	spaceDue       = 'x'
)

// replicated lists the key spaces that are the same on every node.
const replicated = "acgijknoprsx"

var (
	keyFormat = []byte("m/format")
	keyHeight = []byte("m/height")
	keyOrder  = []byte("o/")
)

func appendKey(dst []byte, space byte, id string) []byte {
	dst = append(dst, space, '/')
	return append(dst, id...)
}

func appendPairKey(dst []byte, space byte, id, rest string) []byte {
	dst = appendKey(dst, space, id)
	dst = append(dst, 0)
	return append(dst, rest...)
}

func appendNumberKey(dst []byte, space byte, id string, n uint64) []byte {
	dst = appendKey(dst, space, id)
	dst = append(dst, 0)
	return binary.BigEndian.AppendUint64(dst, n)
}

func appendDueKey(dst []byte, at int64, ri string) []byte {
	dst = append(dst, spaceDue, '/')
	dst = binary.BigEndian.AppendUint64(dst, uint64(at))
	return append(dst, ri...)
}

// rangeOf gives the bounds of all keys of id in a space of pair or number keys.
func rangeOf(space byte, id string) (lower, upper []byte) {
	lower = append(appendKey(make([]byte, 0, len(id)+3), space, id), 0)
	upper = append(appendKey(make([]byte, 0, len(id)+3), space, id), 1)
	return lower, upper
}

// splitPair takes the key of a pair apart, without its space.
func splitPair(key []byte) (id, rest string, ok bool) {
	if len(key) < 2 {
		return "", "", false
	}
	return strings.Cut(string(key[2:]), "\x00")
}

// splitNumber takes a key that ends in a number apart.
func splitNumber(key []byte) (id string, n uint64, ok bool) {
	if len(key) < 2+1+8 || key[len(key)-9] != 0 {
		return "", 0, false
	}
	return string(key[2 : len(key)-9]), binary.BigEndian.Uint64(key[len(key)-8:]), true
}

func splitDue(key []byte) (at int64, ri string, ok bool) {
	if len(key) < 2+8 {
		return 0, "", false
	}
	return int64(binary.BigEndian.Uint64(key[2:10])), string(key[10:]), true
}

// maxID bounds the bytes of an ID or a name in a key.
const maxID = 4096

func checkID(what, id string) error {
	if len(id) > maxID {
		return fmt.Errorf("tree: %s of %d bytes is longer than %d", what, len(id), maxID)
	}
	if strings.IndexByte(id, 0) >= 0 {
		return fmt.Errorf("tree: %s %q contains a NUL byte", what, id)
	}
	return nil
}
