package cse

import (
	"fmt"

	"github.com/tallystick/tallystick/onem2m"
)

// Question is what Explain is asked: whether an originator may do something.
type Question struct {
	Originator string
	// Operation is CREATE, RETRIEVE, UPDATE, DELETE, NOTIFY, DISCOVERY, or POLICIES for a change of accessControlPolicyIDs.
	Operation string
	To        string              // address of the resource in any form
	Type      onem2m.ResourceType // of the resource to create
	RoleIDs   []string            // that the request would name
	TokenIDs  []string            // that it would present
	SourceIP  string
	// Viewer is who asks, and is told of no policy and of no resource that he may not retrieve himself; "" is told all.
	Viewer string
}

// Explanation says whether an originator may do something, and which rule decides.
type Explanation struct {
	Originator   string `json:"originator"`
	Organisation string `json:"organisation,omitempty"`
	Operation    string `json:"operation"`
	To           string `json:"to"`
	// Resource is the unstructured ID of what decides, Path its structured address, Type its type; "" when there is nothing at
	// the address, or the viewer may not know.
	Resource string `json:"resource,omitempty"`
	Path     string `json:"path,omitempty"`
	Type     string `json:"type,omitempty"`
	Child    string `json:"child,omitempty"` // type of the resource to create

	Allowed bool              `json:"allowed"`
	Status  onem2m.StatusCode `json:"status"` // of a refusal, or OK
	Because string            `json:"because"`
	Steps   []Step            `json:"steps"`
	Notes   []string          `json:"notes,omitempty"`
}

var operationNames = map[string]onem2m.Operation{
	"CREATE": onem2m.Create, "RETRIEVE": onem2m.Retrieve, "UPDATE": onem2m.Update, "DELETE": onem2m.Delete, "NOTIFY": onem2m.Notify,
	"DISCOVERY": onem2m.Retrieve, "POLICIES": onem2m.Update,
}

// unseen is what a viewer is told who may not know whether there is such a resource.
const unseen = "there is no such resource, or no policy that lets the originator do this"

// Explain decides as for a request of the originator and says why. It is the same decision: the rules are asked by what asks them
// for a request, which notes what it finds. Errors are *onem2m.Error for a question that makes no sense, or failures of the state.
func (c *Core) Explain(r Reader, q *Question, env Env) (*Explanation, error) {
	op, ok := operationNames[q.Operation]
	switch {
	case !ok:
		return nil, refuse(onem2m.StatusBadRequest, "operation %.32q is none of CREATE, RETRIEVE, UPDATE, DELETE, NOTIFY, DISCOVERY and POLICIES", q.Operation)
	case op == onem2m.Create && onem2m.Lookup(q.Type) == nil:
		return nil, refuse(onem2m.StatusBadRequest, "CREATE needs the type of the resource to create, one that is supported, not %d", q.Type)
	case q.Originator == "":
		return nil, refuse(onem2m.StatusBadRequest, "the question names no originator")
	}
	env.Trace = &Trace{}
	req := onem2m.Request{
		Operation: op, From: q.Originator, To: q.To, RoleIDs: q.RoleIDs, TokenIDs: q.TokenIDs, SourceIP: q.SourceIP,
		RequestID: "-", ReleaseVersion: "4", ResultContent: onem2m.ResultContentDefault,
	}
	x := &Explanation{Originator: c.localID(q.Originator), Operation: q.Operation, To: q.To, Steps: []Step{}}
	if op == onem2m.Create {
		req.Type, x.Child = q.Type, q.Type.String()
	}
	var err error
	if x.Organisation, err = c.organisationOf(r, x.Originator); err != nil {
		return nil, err
	}
	t, err := c.resolve(r, q.To, env.Time)
	if err == nil {
		x.Resource, x.Type = t.resource.RI, t.kind().String()
		if x.Path, err = c.pathOf(r, t.resource); err != nil {
			return nil, err
		}
		err = c.decide(r, &req, q.Operation, env, &t)
	}
	refused := asRefusal(err)
	if err != nil && refused == nil {
		return nil, err
	}
	x.Allowed, x.Status, x.Steps = err == nil, onem2m.StatusOK, append(x.Steps, env.Trace.Steps...)
	if refused != nil {
		x.Status = refused.Status
	}
	x.Because = x.because(refused)
	if q.Viewer == "" {
		return x, nil
	}
	return x, c.hideFrom(r, c.localID(q.Viewer), x, &t, env)
}

// decide asks what a request of that kind is asked, and for nothing else.
func (c *Core) decide(r Reader, req *onem2m.Request, operation string, env Env, t *target) error {
	ctx := newAccessContext(req, env, t)
	switch {
	case t.virtual == onem2m.TypePollingChannelURI:
		if !env.Trace.channel(t.resource, c.localID(req.From)) {
			return noPrivilege(req, t.ri()+"/pcu")
		}
		return nil
	case t.virtual == onem2m.TypeFanOutPoint:
		ok, err := c.authorizeMembers(r, t.resource, req.From, accessOf(req.Operation), ctx)
		if err == nil && !ok {
			err = noPrivilege(req, t.ri()+"/fopt")
		}
		return err
	case operation == "POLICIES":
		ok, err := c.mayUpdatePolicies(r, t.resource, req.From, ctx)
		if err == nil && !ok {
			err = noPrivilege(req, t.ri())
		}
		return err
	case operation == "DISCOVERY":
		ok, err := c.authorize(r, t.resource, req.From, accessDiscover, ctx)
		if err == nil && !ok {
			err = noPrivilege(req, t.ri())
		}
		return err
	case req.Operation == onem2m.Create:
		return c.authorizeCreate(r, req, env, t, &draft{originator: c.localID(req.From)})
	}
	return c.requireAccess(r, req, env, t, accessOf(req.Operation))
}

// because sums up the steps.
func (x *Explanation) because(refused *onem2m.Error) string {
	rules, policies, missing, holder := 0, 0, 0, ""
	last := ""
	for _, s := range x.Steps {
		switch {
		case s.Allows && s.Rule > 0:
			last = fmt.Sprintf("rule %d of %s (%s) %s", s.Rule, s.Set, s.name(), s.Why)
		case s.Allows:
			last = s.Why
		case s.Rule > 0:
			rules++
		case s.Set != "":
			policies++
		case s.missing:
			missing++
		case s.holder:
			holder = s.Why
		}
	}
	switch {
	case refused == nil && last == "":
		return "the operation needs no privilege"
	case refused == nil:
		return last
	case refused.Status == onem2m.StatusNotFound:
		return refused.Message
	case holder != "":
		return holder
	case policies > 0:
		return fmt.Sprintf("none of the %d rules that were asked allows it", rules)
	case missing > 0:
		return "all policies that it links are gone"
	}
	return refused.Message
}

// name is what a step's resource is called.
func (s *Step) name() string {
	if s.Path != "" {
		return s.Path
	}
	return s.About
}

// hideFrom takes out of an explanation what its viewer may not know: rules of policies, and the resource itself, that he may not
// retrieve.
func (c *Core) hideFrom(r Reader, viewer string, x *Explanation, t *target, env Env) error {
	see := func(res *Resource) (bool, error) {
		for _, op := range [...]access{accessRetrieve, accessDiscover} {
			if ok, err := c.authorize(r, res, viewer, op, accessContext{time: env.Time}); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	}
	if !x.Allowed {
		ok := false
		var err error
		if t.resource != nil {
			ok, err = see(t.resource)
		}
		if err != nil {
			return err
		}
		if !ok {
			x.Resource, x.Path, x.Type, x.Status, x.Because, x.Steps = "", "", "", onem2m.StatusOriginatorHasNoPrivilege, unseen, []Step{}
			return nil
		}
	}
	for i := range x.Steps {
		s := &x.Steps[i]
		if s.Set == "" {
			continue
		}
		acp, err := r.Resource(s.About)
		if err != nil {
			return err
		}
		ok := false
		if acp != nil {
			if ok, err = see(acp); err != nil {
				return err
			}
		}
		if !ok {
			s.Path, s.Says = "", ""
		}
	}
	if x.Allowed {
		x.Because = x.because(nil)
	}
	return nil
}
