package cse

import (
	"github.com/tallystick/tallystick/onem2m"
)

// Resource is any resource but a contentInstance. The universal attributes that the tree and the core need are
// fields; all others are kept as JSON values by short name, in ascending order of name.
type Resource struct {
	Type     onem2m.ResourceType
	RI       string // unstructured resource ID; an AE's is its AE-ID
	PI       string // parent's ID, "" for the CSEBase
	RN       string
	Created  int64 // ct, Unix microseconds
	Modified int64 // lt; a container's Counters override it
	Expires  int64 // et; 0 when it never expires, which is the default of this CSE
	// Wake is when the core has to act on the resource by itself, Unix microseconds; 0 for never. What it does then, the
	// type decides (see Core.Tick).
	Wake     int64
	StateTag uint64 // st; a container's Counters override it
	// Owner is the originator of the CREATE request. It decides default privileges; the cr attribute, which only
	// shows when asked for, is in Attrs.
	Owner string
	Attrs []Attr
}

// Attr is one attribute by short name with its value as compact JSON text.
type Attr struct {
	Name  string
	Value []byte
}

// Due is the first moment at which time alone changes something: the resource expires or has to be acted on; 0 for never.
func (r *Resource) Due() int64 { return earlier(r.Expires, r.Wake) }

// Get returns the JSON text of an attribute, nil when the resource has none.
func (r *Resource) Get(name string) []byte {
	for i := range r.Attrs {
		if r.Attrs[i].Name == name {
			return r.Attrs[i].Value
		}
	}
	return nil
}
