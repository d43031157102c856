package cse

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// branch is one resource of a nested result with the branches below it.
type branch struct {
	item  item
	below []*branch
}

// withChildren makes the result contents 4, 5, 6 and 8: a resource with its descendants or references to them, as
// far as they match the filter and the originator may RETRIEVE them (TS-0001 clause 8.1.2, TS-0004 clause 7.5.2).
//
// In the nested forms (4 and 8) a descendant shows below its nearest ancestor that shows. When an offset skips such an
// ancestor but not all that is below it, the ancestor shows again, so that no page loses anything.
func (c *Core) withChildren(r Reader, req *onem2m.Request, env Env, it *item, rcn onem2m.ResultContent, rsp *onem2m.Response) error {
	s, err := c.newSearch(r, req, env, accessRetrieve)
	if err != nil {
		return err
	}
	switch rcn {
	case onem2m.ResultContentAttributesAndChildRefs, onem2m.ResultContentChildRefs:
		var refs []reference
		if it.instance == nil {
			if refs, err = c.references(s, it.resource); err != nil {
				return err
			}
		}
		if rcn == onem2m.ResultContentChildRefs {
			rsp.Content = appendReferenceList(nil, refs, rcn, req.DesiredIDType)
			break
		}
		w := openRepresentation(it)
		w.attributes(it)
		if w.key("ch") {
			w.dst = appendChildRefs(w.dst, refs, req.DesiredIDType)
		}
		rsp.Content = append(w.dst, '}', '}')
	default:
		path := ""
		if it.instance == nil {
			if path, err = c.pathOf(r, it.resource); err != nil {
				return err
			}
		}
		root, err := s.branches(it, path)
		if err != nil {
			return err
		}
		w := openRepresentation(it)
		if rcn == onem2m.ResultContentAttributesAndChildren {
			w.attributes(it)
		}
		w.branches(root.below)
		rsp.Content = append(w.dst, '}', '}')
	}
	return s.collect.finish(s.visit, req, rsp)
}

// openRepresentation starts {"m2m:cnt":{ for the members to follow.
func openRepresentation(it *item) objectWriter {
	dst := append([]byte(`{"`), it.tag()...)
	return objectWriter{dst: append(dst, `":{`...)}
}

// branches collects the nested result below an item.
func (s *search) branches(top *item, path string) (*branch, error) {
	root := &branch{}
	// open holds the branches last shown, each below the one before it; taken says whether one is in the result yet.
	type opened struct {
		branch *branch
		path   string
		taken  bool
	}
	open := []opened{{root, path + "/", true}}
	err := s.walk(top, path, func(it *item, path string, _ int) (step, error) {
		for len(open) > 1 && !strings.HasPrefix(path, open[len(open)-1].path) {
			open = open[:len(open)-1]
		}
		open = append(open, opened{branch: &branch{item: *it}, path: path + "/"})
		in, full := s.collect.take(it.weight())
		if full {
			return stepStop, nil
		}
		if !in {
			return stepInto, nil
		}
		for i := 1; i < len(open); i++ {
			if !open[i].taken {
				open[i].taken = true
				open[i-1].branch.below = append(open[i-1].branch.below, open[i].branch)
			}
		}
		return stepInto, nil
	})
	return root, err
}

// weight estimates the bytes of an item's representation.
func (it *item) weight() int {
	const universal = 256
	if it.instance != nil {
		return universal + int(it.instance.ref.Size)
	}
	return universal + it.resource.size()
}

// branches writes child resources, those with one tag together in an array under it, in ascending order of type and
// tag (TS-0004 clause 8.4.2).
func (w *objectWriter) branches(below []*branch) {
	type group struct {
		typ onem2m.ResourceType // the lowest that has the tag: flexContainers share theirs with their instances
		tag string
	}
	var groups []group
	for _, b := range below {
		of := group{b.item.typ(), b.item.tag()}
		if i := slices.IndexFunc(groups, func(g group) bool { return g.tag == of.tag }); i >= 0 {
			groups[i].typ = min(groups[i].typ, of.typ)
		} else {
			groups = append(groups, of)
		}
	}
	slices.SortFunc(groups, func(a, b group) int {
		return cmp.Or(cmp.Compare(a.typ, b.typ), cmp.Compare(a.tag, b.tag))
	})
	for _, g := range groups {
		w.key(g.tag)
		open := byte('[')
		for _, b := range below {
			if b.item.tag() != g.tag {
				continue
			}
			child := objectWriter{dst: append(w.dst, open, '{')}
			child.attributes(&b.item)
			child.branches(b.below)
			w.dst = append(child.dst, '}')
			open = ','
		}
		w.dst = append(w.dst, ']')
	}
}
