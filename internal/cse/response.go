package cse

import (
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// writeResponse completes the response to a CREATE, UPDATE or DELETE with the content that the request asks for
// (TS-0001 clause 8.1.2, table 8.1.2-1). For DELETE the resource and its children must still be in the state.
func (c *Core) writeResponse(r Reader, req *onem2m.Request, env Env, ch *change, rsp *onem2m.Response) error {
	rcn, err := resultContent(req)
	if err != nil {
		return err
	}
	if ch.kind == changeCreated {
		if rsp.Location, err = c.location(r, ch); err != nil {
			return err
		}
	}
	switch rcn {
	case onem2m.ResultContentNothing:
		return nil
	case onem2m.ResultContentHierarchicalAddress:
		rsp.Content = onem2m.AppendQuote([]byte(`{"m2m:uri":`), rsp.Location)
		rsp.Content = append(rsp.Content, '}')
		return nil
	}
	it, err := itemOfChange(r, ch)
	if err != nil {
		return err
	}
	if ch.kind == changeUpdated && !ch.countsAnew() {
		it.statistics = env.statistics(ch.after)
	}
	switch rcn {
	case onem2m.ResultContentAttributes:
		rsp.Content = appendRepresentation(nil, &it, ch.shown)
	case onem2m.ResultContentModifiedAttributes:
		assigned := it // it escapes, and only here
		rsp.Content = appendAssigned(&assigned, req, ch)
	case onem2m.ResultContentHierarchicalAddressAndAttr:
		w := objectWriter{dst: []byte(`{"m2m:rce":{`)}
		w.text("uri", rsp.Location)
		w.key(it.tag())
		inner := objectWriter{dst: append(w.dst, '{'), keep: ch.shown}
		inner.attributes(&it)
		rsp.Content = append(inner.dst, '}', '}', '}')
	default:
		top := it // it escapes, and only here
		return c.withChildren(r, req, env, &top, rcn, rsp)
	}
	return nil
}

// location is the structured CSE-relative address of a created resource.
func (c *Core) location(r Reader, ch *change) (string, error) {
	path, err := c.pathOf(r, ch.parent)
	if err != nil {
		return "", err
	}
	if ch.instance != nil {
		return path + "/" + ch.instance.name(), nil
	}
	return path + "/" + ch.after.RN, nil
}

// itemOfChange is the resource of a change: as it is now, or as it was when it is being deleted.
func itemOfChange(r Reader, ch *change) (item, error) {
	switch {
	case ch.instance != nil:
		return item{instance: ch.instance}, nil
	case ch.after != nil:
		return newItem(r, ch.after)
	}
	return newItem(r, ch.before)
}

// appendAssigned makes result content 9: the attributes that the CSE created or changed beyond what the request
// carried, or set to other values than the request had; those that it removed are null (TS-0004 clause 7.3.3.12).
func appendAssigned(it *item, req *onem2m.Request, ch *change) []byte {
	var sent []onem2m.Member
	// The request was executed, so its content is well formed; a DELETE has none and no result content 9 either.
	if _, members, err := onem2m.ParseContent(req.Content); err == nil {
		sent = members
	}
	w := openRepresentation(it)
	w.keep = func(name string) bool {
		i := slices.IndexFunc(sent, func(m onem2m.Member) bool { return m.Name == name })
		switch {
		case i >= 0:
			return !sameValue(sent[i].Value, it.attribute(name))
		case ch.kind == changeCreated || name == "lt" || name == "st":
			return true
		case holds(ch.after) && (name == "cni" || name == "cbs"):
			return true // they may have changed with a limit
		case name == "et":
			return ch.before.Expires != ch.after.Expires
		}
		return string(ch.before.Get(name)) != string(ch.after.Get(name))
	}
	w.attributes(it)
	if ch.kind == changeUpdated {
		for _, a := range ch.before.Attrs {
			if ch.after.Get(a.Name) == nil && !hidden(a.Name) && !slices.ContainsFunc(sent, func(m onem2m.Member) bool { return m.Name == a.Name }) {
				w.raw(a.Name, []byte("null"))
			}
		}
	}
	return append(w.dst, '}', '}')
}

// sameValue says whether an attribute has the value that the request gave it: the same JSON text but for blanks, or the
// same time written otherwise.
func sameValue(sent, have []byte) bool {
	if string(compact(sent)) == string(have) {
		return true
	}
	a, errA := onem2m.ParseTime(text(sent))
	b, errB := onem2m.ParseTime(text(have))
	return errA == nil && errB == nil && a == b
}
