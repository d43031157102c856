package cse

import (
	"strconv"

	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of one result. What goes beyond is left for a further request with an offset: the response is then marked
// as partial (contentStatus) and says where to go on (contentOffset).
const (
	maxResults     = 1000
	maxResultBytes = 4 << 20
)

// collector counts the items of a result against limit and offset (TS-0001 clause 8.1.2).
type collector struct {
	skip, limit int64
	offset      int64 // of the first item that is taken, counted from 1
	taken       int64
	bytes       int // that the result may still grow by
	partial     bool
}

func newCollector(fc *onem2m.FilterCriteria, share int) (collector, error) {
	k := collector{limit: maxResults, offset: 1, bytes: maxResultBytes / max(share, 1)}
	if fc == nil {
		return k, nil
	}
	if fc.Limit != nil {
		if *fc.Limit < 0 {
			return k, refuse(onem2m.StatusBadRequest, "limit (lim) is negative: %d", *fc.Limit)
		}
		k.limit = min(k.limit, *fc.Limit)
	}
	if fc.Offset != nil {
		if *fc.Offset < 1 {
			return k, refuse(onem2m.StatusBadRequest, "offset (ofst) %d is not positive", *fc.Offset)
		}
		k.offset = *fc.Offset
		k.skip = k.offset - 1
	}
	return k, nil
}

// take decides about the next match: whether it is in the result, and whether the result is full without it.
func (k *collector) take(bytes int) (in, full bool) {
	if k.skip > 0 {
		k.skip--
		return false, false
	}
	if k.taken >= k.limit || k.taken > 0 && bytes > k.bytes {
		k.partial = true
		return false, true
	}
	k.taken++
	k.bytes -= bytes
	return true, false
}

// finish marks the response when the result is not all there is. A search that finds nothing before it has to give
// up is refused, as a further request would not get any further. A DELETE cannot be refused any more by then.
func (k *collector) finish(v *visit, req *onem2m.Request, rsp *onem2m.Response) error {
	if !k.partial && !v.spent {
		return nil
	}
	if v.spent && k.taken == 0 && req.Operation == onem2m.Retrieve {
		return refuse(onem2m.StatusNotAcceptable, "nothing matches among the first %d resources below %s: start further down or ask for less", maxVisited, req.To)
	}
	rsp.ContentStatus = 1
	rsp.ContentOffset = k.offset + k.taken
	return nil
}

// levels gives the number of levels below the target that a request covers, 0 for all.
func levels(fc *onem2m.FilterCriteria) (int, error) {
	if fc == nil || fc.Level == nil {
		return 0, nil
	}
	if *fc.Level < 1 {
		return 0, refuse(onem2m.StatusBadRequest, "level (lvl) %d is not positive", *fc.Level)
	}
	return int(min(*fc.Level, maxSegments+1)), nil
}

// reference is one resource in a list of references.
type reference struct {
	name, ri, path string
	typ            onem2m.ResourceType
}

func appendReference(dst []byte, ref *reference, drt uint8) []byte {
	if drt == 2 {
		return onem2m.AppendQuote(dst, ref.ri)
	}
	return onem2m.AppendQuote(dst, ref.path)
}

// appendChildRefs appends a list of m2m:childResourceRef (TS-0004 clause 6.3.5.29).
func appendChildRefs(dst []byte, refs []reference, drt uint8) []byte {
	dst = append(dst, '[')
	for i := range refs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"nm":`...)
		dst = onem2m.AppendQuote(dst, refs[i].name)
		dst = append(dst, `,"typ":`...)
		dst = strconv.AppendInt(dst, int64(refs[i].typ), 10)
		dst = append(dst, `,"val":`...)
		dst = appendReference(dst, &refs[i], drt)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendReferenceList appends the result content of a discovery or of rcn 6.
func appendReferenceList(dst []byte, refs []reference, rcn onem2m.ResultContent, drt uint8) []byte {
	if rcn == onem2m.ResultContentChildRefs {
		dst = append(dst, `{"m2m:rrl":{"rrf":`...)
		dst = appendChildRefs(dst, refs, drt)
		return append(dst, '}', '}')
	}
	dst = append(dst, `{"m2m:uril":[`...)
	for i := range refs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendReference(dst, &refs[i], drt)
	}
	return append(dst, ']', '}')
}

// search is the common part of a discovery and of a retrieval with children: which descendants match and may be seen.
type search struct {
	visit    *visit
	filter   *filter
	collect  collector
	maxLevel int
	access   access
	req      *onem2m.Request
	asserts  *onem2m.Request
	tokens   *tokenSet
	// The decision about the last container, as all its instances share it.
	container *Resource
	allowed   bool
}

func (c *Core) newSearch(r Reader, req *onem2m.Request, env Env, op access) (*search, error) {
	f, err := newFilter(req.Filter)
	if err != nil {
		return nil, err
	}
	k, err := newCollector(req.Filter, env.share)
	if err != nil {
		return nil, err
	}
	maxLevel, err := levels(req.Filter)
	if err != nil {
		return nil, err
	}
	if env.Work != nil && *env.Work <= 0 {
		return nil, refuse(onem2m.StatusInternalServerError, "the requests of this block have too much to look at; try again")
	}
	s := &search{visit: c.newVisit(r, env), filter: f, collect: k, maxLevel: maxLevel, access: op, req: req}
	s.visit.visible = s.sees
	var ctx accessContext
	ctx.assert(req, env)
	s.asserts, s.tokens = ctx.asserts, ctx.tokens
	return s, nil
}

// finds says whether an item matches and the originator may see it.
func (s *search) finds(it *item) (bool, error) {
	ok, err := s.filter.matches(s.visit, it)
	if !ok || err != nil {
		return false, err
	}
	return s.sees(it)
}

func (s *search) sees(it *item) (bool, error) {
	ctx := accessContext{time: s.visit.now, sourceIP: s.req.SourceIP, asserts: s.asserts, tokens: s.tokens}
	if it.instance == nil {
		return s.visit.c.authorize(s.visit.r, it.resource, s.req.From, s.access, ctx)
	}
	if s.container != it.instance.container {
		ctx.object = it.instance.typ()
		ok, err := s.visit.c.authorize(s.visit.r, it.instance.container, s.req.From, s.access, ctx)
		if err != nil {
			return false, err
		}
		s.container, s.allowed = it.instance.container, ok
	}
	return s.allowed, nil
}

// walk shows the descendants of an item that match and may be seen. With an applyRelativePath it shows what that leads
// to from each of them.
func (s *search) walk(it *item, path string, show shown) error {
	if it.instance != nil {
		return nil
	}
	relative := ""
	if s.req.Filter != nil {
		relative = s.req.Filter.ApplyRelPath
	}
	_, err := s.visit.walk(it.resource, path, 1, s.maxLevel, s.filter.canMatch,
		func(it *item, path string, level int) (step, error) {
			ok, err := s.finds(it)
			if err != nil {
				return stepStop, err
			}
			if !ok {
				return stepInto, nil
			}
			if relative == "" {
				return show(it, path, level)
			}
			path += "/" + relative
			if it, err = s.follow(path); err != nil || it == nil {
				return stepInto, err
			}
			return show(it, path, level)
		})
	return err
}

// follow fetches what an applyRelativePath leads to, nil when it leads nowhere that the originator may see.
func (s *search) follow(path string) (*item, error) {
	c, env := s.visit.c, Env{Time: s.visit.now}
	t, err := c.resolve(s.visit.r, path, env.Time)
	if err == nil && (t.virtual == onem2m.TypeFanOutPoint || checkRetrievable(&t) != nil) {
		return nil, nil
	}
	var it item
	if err == nil {
		it, err = c.itemOf(s.visit.r, env, &t)
	}
	if asRefusal(err) != nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ok, err := s.sees(&it)
	if !ok || err != nil {
		return nil, err
	}
	return &it, nil
}

// discover answers a discovery: references to the descendants of the target that match the filter and for which the
// originator has the DISCOVERY privilege (TS-0001 clause 10.2.6, TS-0004 clause 7.3.3.14). The target itself is not
// among them, and no privilege on it is needed. The order is that of visit.
func (c *Core) discover(r Reader, req *onem2m.Request, env Env, t *target, rcn onem2m.ResultContent) (onem2m.Response, error) {
	rsp := c.response(req, onem2m.StatusOK)
	s, err := c.newSearch(r, req, env, accessDiscover)
	if err != nil {
		return rsp, err
	}
	var refs []reference
	if !t.typ().IsInstance() {
		if refs, err = c.references(s, t.resource); err != nil {
			return rsp, err
		}
	}
	rsp.Content = appendReferenceList(nil, refs, rcn, req.DesiredIDType)
	return rsp, s.collect.finish(s.visit, req, &rsp)
}

func (c *Core) references(s *search, top *Resource) ([]reference, error) {
	path, err := c.pathOf(s.visit.r, top)
	if err != nil {
		return nil, err
	}
	var refs []reference
	err = s.walk(&item{resource: top}, path, func(it *item, path string, _ int) (step, error) {
		ref := reference{name: it.rn(), ri: it.ri(), path: path, typ: it.typ()}
		in, full := s.collect.take(len(ref.path) + len(ref.name) + 32)
		if full {
			return stepStop, nil
		}
		if in {
			refs = append(refs, ref)
		}
		return stepInto, nil
	})
	return refs, err
}
