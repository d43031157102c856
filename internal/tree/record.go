package tree

import (
	"encoding/binary"
	"errors"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// decoder takes a record apart; bad stays set after the first value that is not there.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	u, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return u
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) string() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

// node is a resource with its place in the order of creation.
type node struct {
	order uint64
	res   *cse.Resource
}

func (n *node) encode(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, n.order)
	return n.res.AppendBinary(dst)
}

func (n *node) size() int64 {
	if n == nil {
		return 100
	}
	size := 250 + len(n.res.RI) + len(n.res.PI) + len(n.res.RN)
	for i := range n.res.Attrs {
		size += 56 + len(n.res.Attrs[i].Name) + len(n.res.Attrs[i].Value)
	}
	return int64(size)
}

// decodeNode decodes the record of the resource ri.
func decodeNode(ri string, b []byte) (*node, error) {
	d := decoder{b: b}
	order := d.uvarint()
	if d.bad {
		return nil, errors.New("malformed resource record")
	}
	r, err := cse.DecodeResource(append([]byte(nil), d.b...))
	if err != nil {
		return nil, err
	}
	if r.RI != ri {
		return nil, errors.New("resource record has another resource's ID")
	}
	return &node{order: order, res: r}, nil
}

// child is one entry of a child list.
type child struct {
	order uint64
	cse.ChildRef
}

func (c *child) encode(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(c.Type))
	dst = binary.AppendUvarint(dst, uint64(len(c.RI)))
	dst = append(dst, c.RI...)
	return append(dst, c.RN...)
}

func decodeChild(order uint64, b []byte) (child, error) {
	d := decoder{b: b}
	c := child{order: order}
	ty := d.uvarint()
	c.RI = d.string()
	c.RN = string(d.b)
	if d.bad || c.RI == "" || ty > 1<<31-1 {
		return child{}, errors.New("malformed child record")
	}
	c.Type = onem2m.ResourceType(ty)
	return c, nil
}

// decodeNumber decodes a record that is one number.
func decodeNumber(b []byte) (uint64, error) {
	d := decoder{b: b}
	n := d.uvarint()
	if d.bad || len(d.b) != 0 {
		return 0, errors.New("malformed number record")
	}
	return n, nil
}
