package cse

import (
	"bytes"
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// maxHosted bounds hostedAELinks (hael) of a node: every AE that comes or goes writes all of them anew.
const maxHosted = 1000

// hostedBy returns the node on this CSE that nodeLink (nl) of an AE names; nil when it names none (TS-0001 clauses 9.6.5
// and 9.6.18).
func (c *Core) hostedBy(r Reader, ae *Resource) (*Resource, error) {
	if ae == nil || ae.Get("nl") == nil {
		return nil, nil
	}
	t, err := c.resolve(r, text(ae.Get("nl")), 0)
	switch {
	case asRefusal(err) != nil:
		return nil, nil
	case err != nil:
		return nil, err
	case t.virtual != 0 || t.isInstance || t.resource.Type != onem2m.TypeNode:
		return nil, nil
	}
	return t.resource, nil
}

// mayHost is hostedBy, but nil for a node of another organisation that the AE may not retrieve: it would write there.
func (c *Core) mayHost(r Reader, ae *Resource, now int64) (*Resource, error) {
	node, err := c.hostedBy(r, ae)
	if err != nil || node == nil {
		return nil, err
	}
	theirs, err := c.organisationOf(r, node.Owner)
	if err != nil {
		return nil, err
	}
	ours, err := c.organisationOf(r, ae.Owner)
	if err != nil || ours == theirs {
		return node, err
	}
	ok, err := c.authorize(r, node, ae.Owner, accessRetrieve, accessContext{time: now})
	if err != nil || !ok {
		return nil, err
	}
	return node, nil
}

// checkHosted refuses an AE that links a node which cannot list any more.
func (c *Core) checkHosted(r Reader, before, after *Resource) error {
	if before != nil && bytes.Equal(before.Get("nl"), after.Get("nl")) {
		return nil
	}
	node, err := c.mayHost(r, after, after.Modified)
	if err != nil || node == nil {
		return err
	}
	listed := stringsOf(node.Get("hael"))
	if !slices.Contains(listed, after.RI) && (len(listed) >= maxHosted || node.size()+len(after.RI)+len(`"",`) > maxContent-1<<10) {
		return refuse(onem2m.StatusNotAcceptable, "nodeLink (nl): node %s lists %d AEs, or has attributes of %d bytes, and takes no more", node.RI, len(listed), node.size())
	}
	return nil
}

// checkHosts bounds what a request puts into hostedAELinks of a node.
func checkHosts(node *Resource) error {
	if n := len(stringsOf(node.Get("hael"))); n > maxHosted {
		return refuse(onem2m.StatusNotAcceptable, "hostedAELinks (hael): %d links; the limit is %d", n, maxHosted)
	}
	return nil
}

// linkHosted keeps hostedAELinks of nodes in step with a change of an AE: the node that it linked before loses it, the one
// that it links now gets it. It does nothing for other types. after is nil for an AE that goes. What it writes follows from
// the change of the AE and has no effect of its own.
func (c *Core) linkHosted(st State, before, after *Resource, now int64) error {
	ae := after
	if ae == nil {
		ae = before
	}
	if ae.Type != onem2m.TypeAE || before != nil && after != nil && bytes.Equal(before.Get("nl"), after.Get("nl")) {
		return nil
	}
	was, err := c.hostedBy(st, before)
	if err != nil {
		return err
	}
	is, err := c.mayHost(st, after, now)
	switch {
	case err != nil:
		return err
	case was != nil && is != nil && was.RI == is.RI:
		return nil
	}
	if was != nil && slices.Contains(stringsOf(was.Get("hael")), ae.RI) {
		listed := slices.DeleteFunc(stringsOf(was.Get("hael")), func(id string) bool { return id == ae.RI })
		if err := putHosted(st, was, listed, now); err != nil {
			return err
		}
	}
	if is == nil || slices.Contains(stringsOf(is.Get("hael")), ae.RI) {
		return nil
	}
	return putHosted(st, is, append(stringsOf(is.Get("hael")), ae.RI), now)
}

// putHosted stores a node with other hostedAELinks; it has none rather than an empty list.
func putHosted(st State, node *Resource, listed []string, now int64) error {
	node = node.clone()
	node.Modified = now
	if len(listed) == 0 {
		node.unset("hael")
		return st.Put(node)
	}
	list := []byte{'['}
	for i, id := range listed {
		if i > 0 {
			list = append(list, ',')
		}
		list = onem2m.AppendQuote(list, id)
	}
	node.set("hael", append(list, ']'))
	return st.Put(node)
}

// unlinkHosted does what follows from the removal of an AE or a node: the node does not list the AE any more, the AEs that
// the node lists have no nodeLink to it any more.
func (c *Core) unlinkHosted(st State, gone *Resource, now int64) error {
	switch gone.Type {
	case onem2m.TypeAE:
		return c.linkHosted(st, gone, nil, now)
	case onem2m.TypeNode:
	default:
		return nil
	}
	for _, id := range stringsOf(gone.Get("hael")) {
		ae, err := st.Resource(id)
		if err != nil {
			return err
		}
		if ae == nil || ae.Type != onem2m.TypeAE {
			continue
		}
		node, err := c.hostedBy(st, ae)
		if err != nil {
			return err
		}
		if node == nil || node.RI != gone.RI {
			continue
		}
		ae = ae.clone()
		ae.Modified = now
		ae.unset("nl")
		if err := st.Put(ae); err != nil {
			return err
		}
	}
	return nil
}
