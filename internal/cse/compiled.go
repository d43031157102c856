package cse

import (
	"sync/atomic"

	"github.com/tallystick/tallystick/onem2m"
)

// compiled is what deciding a request needs of a resource, parsed from its attributes.
type compiled struct {
	res       *Resource
	acpi      []string
	custodian string
	limits    limits   // of a container or timeSeries
	path      string   // structured address, "" until it was asked for
	privs     []rule   // pv of an accessControlPolicy
	self      []rule   // pvs of an accessControlPolicy
	members   []string // mid of a group
	macp      []string // macp of a group
	watch     *watch   // of a subscription
	token     *token   // of a <token>; nil when it cannot be read
}

// cacheSlots is the number of compiled resources kept; a power of two.
const cacheSlots = 1 << 12

// cache keeps compiled resources, one a slot. It can never be stale: resources do not change, so an entry counts
// only for the very resource it was made from. What it holds cannot be seen in any result.
type cache [cacheSlots]atomic.Pointer[compiled]

func cacheSlot(ri string) uint32 {
	h := uint32(2166136261)
	for i := 0; i < len(ri); i++ {
		h = (h ^ uint32(ri[i])) * 16777619
	}
	return h % cacheSlots
}

// compile returns the parsed form of a resource.
func (c *Core) compile(res *Resource) *compiled {
	slot := &c.cache[cacheSlot(res.RI)]
	if got := slot.Load(); got != nil && got.res == res {
		return got
	}
	made := &compiled{
		res:       res,
		acpi:      stringsOf(res.Get("acpi")),
		custodian: c.localID(text(res.Get("cstn"))),
	}
	switch res.Type {
	case onem2m.TypeContainer, onem2m.TypeFlexContainer, onem2m.TypeTimeSeries:
		made.limits = limitsOf(res)
	case onem2m.TypeACP:
		made.privs, made.self = parseRules(res.Get("pv")), parseRules(res.Get("pvs"))
	case onem2m.TypeGroup:
		made.members, made.macp = stringsOf(res.Get("mid")), stringsOf(res.Get("macp"))
	case onem2m.TypeSubscription:
		made.watch = parseWatch(c, res)
	case onem2m.TypeToken:
		made.token, _ = c.parseToken(text(res.Get("tkob"))) // one that cannot be read allows nothing
	}
	slot.Store(made)
	return made
}

// pathOf returns the structured CSE-relative address of a resource: "tally/ae/cnt". Names never change, so the
// address lives as long as the resource.
func (c *Core) pathOf(r Reader, res *Resource) (string, error) {
	made := c.compile(res)
	if made.path != "" {
		return made.path, nil
	}
	path, err := c.structuredPath(r, res)
	if err != nil {
		return "", err
	}
	withPath := *made
	withPath.path = path
	c.cache[cacheSlot(res.RI)].Store(&withPath)
	return path, nil
}

// text returns the string in a JSON text, "" when it is not one.
func text(value []byte) string {
	s, _ := onem2m.Unquote(value)
	return s
}
