package cse

import (
	"slices"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// retrieve answers a RETRIEVE: of a resource, a contentInstance, la, ol, a fanOutPoint, or a discovery
// (TS-0004 clauses 7.2.2.2, 7.3.3.5 and 7.3.3.14). It changes nothing.
func (c *Core) retrieve(r Reader, req *onem2m.Request, env Env, t target) Result {
	switch t.virtual {
	case onem2m.TypeFanOutPoint:
		return c.fanOutRead(r, req, env, t)
	case onem2m.TypePollingChannelURI:
		return c.failed(req, notPolled(req)) // as the member of a group
	}
	rsp, err := c.read(r, req, env, &t)
	if err != nil {
		err = c.conceal(r, req, env, &t, err)
	}
	events, failure := c.observed(r, req, env, &t, err)
	if failure != nil {
		return c.failed(req, failure)
	}
	result := Result{Response: rsp}
	if err != nil {
		result = c.failed(req, err)
	}
	result.Events = events
	return result
}

// withTime gives the CSEBase with currentTime (ctm), which it has when it is retrieved only (TS-0001 clause 9.6.3).
func withTime(base *Resource, now int64) *Resource {
	base = base.clone()
	base.set("ctm", onem2m.AppendQuote(nil, onem2m.FormatTime(now)))
	return base
}

func (c *Core) read(r Reader, req *onem2m.Request, env Env, t *target) (onem2m.Response, error) {
	rcn, err := resultContent(req)
	if err != nil {
		return onem2m.Response{}, err
	}
	if err := checkFilterUsage(req); err != nil {
		return onem2m.Response{}, err
	}
	if discovers(req) {
		return c.discover(r, req, env, t, rcn)
	}
	if err := c.mayRetrieve(r, req, env, t); err != nil {
		return onem2m.Response{}, err
	}
	it, err := c.itemOf(r, env, t)
	if err != nil {
		return onem2m.Response{}, err
	}
	if it.instance == nil && it.resource.Type == onem2m.TypeGroup {
		if it.resource, err = c.withoutGoneMembers(r, env, it.resource); err != nil {
			return onem2m.Response{}, err
		}
	}
	if it.instance == nil && it.resource.Type == onem2m.TypeCSEBase {
		it.resource = withTime(it.resource, env.Time)
	}
	rsp := c.response(req, onem2m.StatusOK)
	switch rcn {
	case onem2m.ResultContentAttributes:
		keep, err := partial(req, &it)
		if err != nil {
			return rsp, err
		}
		if err := c.checkCondition(r, withoutTypes(req), env, &it); err != nil {
			return rsp, err
		}
		rsp.Content = appendRepresentation(nil, &it, keep)
		return rsp, nil
	case onem2m.ResultContentOriginalResource:
		return rsp, refuse(onem2m.StatusBadRequest, "%s is not an announced resource, so it has no original resource", it.ri())
	}
	if len(req.Attributes) > 0 {
		return rsp, refuse(onem2m.StatusBadRequest, "an attribute list (atrl) goes with result content (rcn) 1 only, not %d", rcn)
	}
	top := it // it escapes, and only here
	err = c.withChildren(r, req, env, &top, rcn, &rsp)
	return rsp, err
}

// withoutTypes leaves out the resource types that a generic RETRIEVE without filterUsage asks for: they choose among
// child resources, of which result content 1 has none, and are no condition on the target.
func withoutTypes(req *onem2m.Request) *onem2m.Request {
	if req.Filter == nil || req.Filter.Usage != 0 || len(req.Filter.Types) == 0 {
		return req
	}
	r, f := *req, *req.Filter
	f.Types = nil
	r.Filter = &f
	return &r
}

// checkFilterUsage refuses the usages of filterCriteria that this CSE has no function for.
func checkFilterUsage(req *onem2m.Request) error {
	if req.Filter == nil {
		return nil
	}
	switch u := req.Filter.Usage; u {
	case 0, onem2m.FilterUsageDiscovery, onem2m.FilterUsageConditional:
		return nil
	case onem2m.FilterUsageIPEOnDemand, onem2m.FilterUsageDiscoveryRet:
		return refuse(onem2m.StatusNotImplemented, "filterUsage (fu) %d is not supported", u)
	default:
		return refuse(onem2m.StatusBadRequest, "filterUsage (fu) %d is not one of 1 to 4", u)
	}
}

// mayRetrieve refuses a RETRIEVE for which the originator has no privilege, and one of the contentInstances of a
// container that disables retrieval (TS-0001 clause 9.6.6, disableRetrieval).
func (c *Core) mayRetrieve(r Reader, req *onem2m.Request, env Env, t *target) error {
	if err := c.requireAccess(r, req, env, t, accessRetrieve); err != nil {
		return err
	}
	return checkRetrievable(t)
}

// checkRetrievable refuses to RETRIEVE or DELETE a contentInstance whose container disables retrieval (TS-0004 clauses
// 7.4.7.2.2, 7.4.7.2.4, 7.4.27.2 and 7.4.28.2).
func checkRetrievable(t *target) error {
	if t.typ().IsInstance() && trueValue(t.resource.Get("disr")) {
		return refuse(onem2m.StatusOperationNotAllowed, "container %s disables the retrieval and deletion of its contentInstances", t.resource.RI)
	}
	return nil
}

// itemOf fetches what a target names; la and ol become the contentInstance that they stand for at the time.
func (c *Core) itemOf(r Reader, env Env, t *target) (item, error) {
	ref := t.instance
	switch {
	case t.virtual == onem2m.TypeLatest || t.virtual == onem2m.TypeOldest:
		var ok bool
		var err error
		if ref, ok, err = c.endInstance(r, t.resource, t.virtual == onem2m.TypeLatest, env.Time); err != nil {
			return item{}, err
		}
		if !ok {
			return item{}, refuse(onem2m.StatusNotFound, "%s has no instance", t.resource.RI)
		}
	case !t.isInstance:
		it, err := newItem(r, t.resource)
		if err != nil {
			return it, err
		}
		it.statistics = env.statistics(t.resource)
		return it, c.discount(r, &it, env.Time)
	}
	in, err := readInstance(r, t.resource, ref)
	return item{instance: in}, err
}

// wholeTarget turns a RETRIEVE of one attribute, named behind a '#' in the target, into one with an attribute list
// (TS-0004 clause 7.3.3.6, case 2).
func wholeTarget(req *onem2m.Request) *onem2m.Request {
	to, name, ok := strings.Cut(req.To, "#")
	if !ok || req.Operation != onem2m.Retrieve || len(req.Attributes) > 0 {
		return req
	}
	whole := *req
	whole.To, whole.Attributes = to, []string{name}
	return &whole
}

// partial chooses the attributes that a request asks for with atrl; nil when it asks for all.
// A name that the resource type does not have is refused (TS-0004 clause 7.3.3.6).
func partial(req *onem2m.Request, it *item) (attributeSet, error) {
	if len(req.Attributes) == 0 {
		return nil, nil
	}
	def := onem2m.Lookup(it.typ())
	for _, name := range req.Attributes {
		if def.Attribute(name) == nil && !definitionOf(it.policy()).Custom(name) {
			return nil, refuse(onem2m.StatusBadRequest, "attribute %q in the attribute list (atrl): a %s has none such", name, def.Name)
		}
	}
	return func(name string) bool { return slices.Contains(req.Attributes, name) }, nil
}

// checkWriteFilter checks the filterCriteria of an UPDATE or DELETE before anything is written: as conditions on the
// target, or, when the response is to carry children, as a filter on those.
func (c *Core) checkWriteFilter(r Reader, req *onem2m.Request, env Env, t *target) error {
	if req.Filter == nil {
		return nil
	}
	if err := checkFilterUsage(req); err != nil {
		return err
	}
	if req.Filter.Usage == onem2m.FilterUsageDiscovery {
		return refuse(onem2m.StatusBadRequest, "filterUsage (fu) 1, discovery, goes with RETRIEVE only")
	}
	switch req.ResultContent {
	case onem2m.ResultContentAttributesAndChildren, onem2m.ResultContentAttributesAndChildRefs,
		onem2m.ResultContentChildRefs, onem2m.ResultContentChildResources:
		_, err := c.newSearch(r, req, env, accessRetrieve)
		return err
	}
	it, err := c.itemOf(r, env, t)
	if err != nil {
		return err
	}
	return c.checkCondition(r, req, env, &it)
}

// checkCondition refuses a conditional request whose target does not meet the conditions of its filterCriteria
// (filterUsage 2 or none, TS-0001 clause 8.1.2).
func (c *Core) checkCondition(r Reader, req *onem2m.Request, env Env, it *item) error {
	if req.Filter == nil {
		return nil
	}
	s, err := c.newSearch(r, req, env, accessRetrieve)
	if err != nil {
		return err
	}
	target := *it // it escapes, and only here
	ok, err := s.filter.matches(s.visit, &target)
	if err != nil {
		return err
	}
	if !ok {
		return refuse(onem2m.StatusNotFound, "%s does not meet the filter criteria of the request", it.ri())
	}
	return nil
}

// statistics is what a node knows of the notifications of a subscription that has them counted, or had
// (TS-0001 clause 10.2.10.8).
func (e *Env) statistics(res *Resource) []byte {
	if e.Statistics == nil || res.Type != onem2m.TypeSubscription || res.Get("nse") == nil {
		return nil
	}
	return e.Statistics(res.RI, stringsOf(res.Get("nu")))
}
