package cse

import (
	"math"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// unknownIndex is the log index of a request that was not ordered yet.
const unknownIndex = math.MaxUint64

// draft is a CREATE that has been checked completely and only needs to be written.
type draft struct {
	parent     *Resource
	originator string // in its local form
	resource   *Resource
	// For an instance, which is not a Resource.
	isInstance bool
	instance   instance
	name       string
	counters   Counters // of the container

	shown   attributeSet // what the originator may see of the resource; nil for all
	grant   grant
	outcome outcome
}

// outcome is what a request does: one change and its effect, made in one piece because every reading makes one.
type outcome struct {
	change  change
	effects [1]Effect
	notices notices
	used    usage // where the request is on its own
}

func (c *Core) create(st State, req *onem2m.Request, env Env, t *target) (Result, error) {
	var d draft
	if err := c.prepareCreate(st, req, env, t, &d); err != nil {
		return Result{}, err
	}
	if d.isInstance {
		return c.createInstance(st, req, env, &d)
	}
	if err := st.Put(d.resource); err != nil {
		return Result{}, err
	}
	if err := c.linkHosted(st, nil, d.resource, env.Time); err != nil {
		return Result{}, err
	}
	if err := c.linkRights(st, d.resource); err != nil {
		return Result{}, err
	}
	made, err := c.recordCreated(st, d.resource, d.originator, env)
	if err != nil {
		return Result{}, err
	}
	o := &d.outcome
	o.change = change{kind: changeCreated, originator: d.originator, parent: d.parent, after: d.resource, shown: d.shown}
	o.effects[0] = Effect{
		Operation:  onem2m.Create,
		Originator: d.originator,
		Target:     d.parent.RI,
		Resource:   d.resource.RI,
		Type:       d.resource.Type,
		Status:     onem2m.StatusCreated,
		Payload:    req.Content,
	}
	return c.committedWith(st, req, env, o, made)
}

// committed finishes a request: response, notifications and effect. The resource of a CREATE or UPDATE is in the
// state by then; that of a DELETE still is. The response comes first, since it may be what refuses a DELETE, and
// notifying may write.
func (c *Core) committed(st State, req *onem2m.Request, env Env, o *outcome) (Result, error) {
	rsp := c.response(req, o.effects[0].Status)
	if err := c.writeResponse(st, req, env, &o.change, &rsp); err != nil {
		return Result{}, err
	}
	o.notices.used = &o.used
	if env.used != nil {
		o.notices.used = env.used
	}
	if err := c.matchSubscriptions(st, &o.change, env, &o.notices); err != nil {
		return Result{}, err
	}
	return Result{Response: rsp, Effects: o.effects[:], Events: o.notices.events}, nil
}

// prepareCreate checks a CREATE in the order of TS-0004 clause 7.2.2.2 (authorization, resource type, representation)
// and fills d with what is to be written.
func (c *Core) prepareCreate(r Reader, req *onem2m.Request, env Env, t *target, d *draft) error {
	def := onem2m.Lookup(req.Type)
	switch {
	case req.Type == 0:
		return refuse(onem2m.StatusBadRequest, "the request has no resource type (ty)")
	case !req.Type.Assigned():
		return refuse(onem2m.StatusBadRequest, "resource type (ty) %d does not exist", req.Type)
	case def == nil:
		return refuse(onem2m.StatusNotImplemented, "resource type (ty) %d is not supported", req.Type)
	case !def.Creatable:
		return refuse(onem2m.StatusOperationNotAllowed, "a %s cannot be created by a request", def.Name)
	case t.virtual != 0:
		return refuse(onem2m.StatusOperationNotAllowed, "nothing can be created below %s", t.virtual)
	case req.Type == onem2m.TypeAE && t.resource.Type != onem2m.TypeCSEBase:
		// A registration needs no privilege, so there is nothing to be asked for before this.
		return invalidChild(req.Type, t.typ())
	}
	if _, err := resultContent(req); err != nil {
		return err
	}
	d.parent = t.resource
	d.originator = c.localID(req.From)
	if err := c.authorizeCreate(r, req, env, t, d); err != nil {
		return err
	}
	if err := c.guardCreate(r, req, env); err != nil {
		return err
	}
	if t.isInstance || !onem2m.Lookup(t.resource.Type).AllowsChild(req.Type) {
		return invalidChild(req.Type, t.typ())
	}
	members, def, err := c.parseContent(req, def)
	if err != nil {
		return err
	}
	if req.Type.IsInstance() {
		return c.prepareInstance(r, req, env, d, members)
	}
	return c.prepareResource(r, req, env, d, def, members)
}

// authorizeCreate requires CREATE on the parent, and for a subscription RETRIEVE on it too: it reveals what happens
// there (TS-0004 clause 7.4.8.2.1). An AE whose credential is bound to its AE-ID may register itself. The privilege on
// the CSEBase takes the place of the service subscription profile (clauses 7.3.2.7 and 7.4.5.2.1), and a registration
// is refused with the status code of that check.
func (c *Core) authorizeCreate(r Reader, req *onem2m.Request, env Env, t *target, d *draft) error {
	if req.Type == onem2m.TypeAE && env.MayRegister && t.resource.Type == onem2m.TypeCSEBase && c.mayBeAE(d.originator) {
		env.Trace.registers()
		return nil
	}
	if req.Type == onem2m.TypeToken && d.originator == c.cfg.CSEID {
		return nil // what a consultation granted; completeToken sees to it
	}
	if req.Type == onem2m.TypeRemoteCSE && t.resource.Type == onem2m.TypeCSEBase {
		return c.authorizeRemote(r, req, env, t, d.originator)
	}
	var err error
	if d.shown, err = c.requireAccessTo(r, req, env, t, accessCreate, &d.grant); err != nil {
		switch {
		case asRefusal(err) == nil || req.Type != onem2m.TypeAE || t.resource.Type != onem2m.TypeCSEBase:
		case d.originator == c.cfg.CSEID[1:]:
			err = refuse(onem2m.StatusSecurityAssociationRequired, "originator %q may not register: that is this CSE's name", req.From)
		default:
			err = refuse(onem2m.StatusAppRuleValidationFailed, "originator %q may not register: its credential is not bound to an AE-ID, and it has no CREATE privilege on the CSEBase", req.From)
		}
		return err
	}
	switch req.Type {
	case onem2m.TypeSubscription:
		return c.requireAccess(r, req, env, t, accessRetrieve)
	case onem2m.TypePollingChannel:
		return c.checkChannelOwner(t, d.originator)
	}
	return nil
}

// mayBeAE says whether an originator may register itself as an AE. In a lab network one who has no ID gets one.
func (c *Core) mayBeAE(originator string) bool {
	return isAEID(originator) || c.cfg.Lab && (originator == "" || isForeignAEID(originator))
}

// invalidChild refuses a child type that the parent does not have: for a subscription the parent is not
// subscribable (TS-0004 clause 7.4.8.2.1), for others it is an invalid child (TS-0004 clause 7.3.3.5).
func invalidChild(child, parent onem2m.ResourceType) error {
	if child == onem2m.TypeSubscription {
		return refuse(onem2m.StatusTargetNotSubscribable, "a %s cannot be subscribed to", parent)
	}
	return refuse(onem2m.StatusInvalidChildResourceType, "a %s cannot be created below a %s", child, parent)
}

// prepareResource checks the representation of anything but an instance and makes the resource.
func (c *Core) prepareResource(r Reader, req *onem2m.Request, env Env, d *draft, def *onem2m.TypeDef, members []onem2m.Member) error {
	res := &Resource{
		Type:     def.Type,
		PI:       d.parent.RI,
		Created:  env.Time,
		Modified: env.Time,
		Owner:    d.originator,
		Attrs:    make([]Attr, 0, len(members)+3),
	}
	for _, m := range members {
		switch m.Name {
		case "rn":
			res.RN = text(m.Value)
		case "et":
			expires, err := expirationOf(m.Value, env.Time)
			if err != nil {
				return err
			}
			res.Expires = expires
		case "cr":
			res.set("cr", onem2m.AppendQuote(nil, d.originator))
		default:
			res.set(m.Name, compact(m.Value))
		}
	}
	res.Expires = c.lifetime(res.Expires, env.Time)
	if def.Type.Specialized() {
		res.set(specializationName, onem2m.AppendQuote(nil, def.Tag))
	}
	if !env.Agreed && def.Type == onem2m.TypeAE {
		if err := c.checkAppID(req, res); err != nil {
			return err
		}
	}
	// No resource outlives its parent (TS-0004 clause 7.3.3.3).
	res.Expires = earlier(res.Expires, d.parent.Expires)
	if err := checkSupported(def.Type, members); err != nil {
		return err
	}
	if err := c.checkPolicies(r, res, "acpi", env.Time); err != nil {
		return err
	}
	if err := c.checkConsultations(r, req, res, env); err != nil {
		return err
	}
	if err := c.assignID(r, req, env, def, res); err != nil {
		return err
	}
	if err := c.checkName(r, env, d.parent, res); err != nil {
		return err
	}
	if err := c.completeResource(r, req, env, nil, res); err != nil {
		return err
	}
	d.resource = res
	return nil
}

// completeResource applies the rules of one resource type to a resource about to be stored: it checks what the
// attribute tables cannot say and sets what the CSE assigns. before is nil for CREATE.
func (c *Core) completeResource(r Reader, req *onem2m.Request, env Env, before, after *Resource) error {
	switch after.Type {
	case onem2m.TypeACP:
		return completePolicy(after)
	case onem2m.TypeAE:
		if err := completeEntity(after); err != nil {
			return err
		}
		return c.checkHosted(r, before, after)
	case onem2m.TypeRemoteCSE:
		return completeEntity(after)
	case onem2m.TypeNode:
		return checkHosts(after)
	case onem2m.TypeMgmtObj:
		return completeMgmtObj(req, before, after)
	case onem2m.TypeRole:
		return c.completeRole(r, req, env, before, after)
	case onem2m.TypeToken:
		return c.completeToken(r, req, env, before, after)
	case onem2m.TypeDAC:
		return completeConsultation(after)
	case onem2m.TypePollingChannel:
		return c.completePollingChannel(r, before, after)
	case onem2m.TypeGroup:
		return c.completeGroup(r, req, env, before, after)
	case onem2m.TypeSubscription:
		return c.completeSubscription(r, req, env, before, after)
	case onem2m.TypeFlexContainer:
		return completeFlexContainer(req, before, after)
	case onem2m.TypeTimeSeries:
		return completeTimeSeries(req, before, after)
	}
	return nil
}

// assignID gives a new resource its resource ID, which derives from the log index of its creation. An AE's is its
// AE-ID, and the AE is its own creator; that of a remoteCSE derives from its CSE-ID.
func (c *Core) assignID(r Reader, req *onem2m.Request, env Env, def *onem2m.TypeDef, res *Resource) error {
	switch def.Type {
	case onem2m.TypeAE:
		return c.assignAEID(r, req, env, res)
	case onem2m.TypeRemoteCSE:
		return c.assignRemoteID(r, c.localID(req.From), res)
	}
	chosen, err := chosenID(r, env, def)
	if res.RI = chosen; chosen == "" {
		res.RI = onem2m.ResourceRI(def.Type, env.NextIndex)
	}
	return err
}

// checkName refuses a resource name that its parent already has, and gives a resource that came without a name
// its resource ID as name (TS-0004 clause 7.3.3.5).
func (c *Core) checkName(r Reader, env Env, parent, res *Resource) error {
	given := res.RN != ""
	if !given {
		res.RN = res.RI
	}
	for {
		taken, err := nameTaken(r, parent.RI, res.RN)
		if err != nil {
			return err
		}
		if !taken {
			break
		}
		if given {
			return nameConflict(parent.RI, res.RN)
		}
		res.RN += "-"
	}
	if given && env.NextIndex != unknownIndex && reservedName(res.RN, env.NextIndex) {
		return nameConflict(parent.RI, res.RN)
	}
	path, err := c.pathOf(r, parent)
	if err != nil {
		return err
	}
	if strings.Count(path, "/")+2 > maxSegments || len(path)+1+len(res.RN) > maxAddress-len(c.cfg.SPID)-len(c.cfg.CSEID)-1 {
		return refuse(onem2m.StatusNotAcceptable, "a child of %s would be deeper than %d levels or have an address over %d bytes", parent.RI, maxSegments, maxAddress)
	}
	return nil
}

func nameConflict(parent, name string) error {
	return refuse(onem2m.StatusConflict, "resource %s already has a child named %q", parent, name)
}

// nameTaken says whether a parent has a child of that name. An instance without a name of its own has its
// resource ID as name, which the name index does not hold.
func nameTaken(r Reader, parent, name string) (bool, error) {
	ri, err := r.Child(parent, name)
	if err != nil || ri != "" {
		return ri != "", err
	}
	typ, index, ok := onem2m.ParseInstanceRI(name)
	if !ok {
		return false, nil
	}
	container, _, ok, err := r.LookupInstance(index)
	if err != nil || !ok || container != parent {
		return false, err
	}
	res, err := r.Resource(parent)
	return res != nil && res.Type.InstanceType() == typ, err
}

// reservedName says whether a name is the resource ID of an instance still to come, which will need it.
func reservedName(name string, next uint64) bool {
	_, index, ok := onem2m.ParseInstanceRI(name)
	return ok && index >= next
}

// set replaces or adds an attribute of a resource that is still being made, and keeps Attrs in order.
func (r *Resource) set(name string, value []byte) {
	i, found := slices.BinarySearchFunc(r.Attrs, name, func(a Attr, name string) int { return strings.Compare(a.Name, name) })
	if found {
		r.Attrs[i].Value = value
		return
	}
	r.Attrs = slices.Insert(r.Attrs, i, Attr{Name: name, Value: value})
}

// unset removes an attribute of a resource that is still being made.
func (r *Resource) unset(name string) {
	r.Attrs = slices.DeleteFunc(r.Attrs, func(a Attr) bool { return a.Name == name })
}

// checkPolicies refuses links to accessControlPolicies that do not exist: a policy that is believed to protect a
// resource must be there (TS-0001 clause 9.6.1.3.2).
func (c *Core) checkPolicies(r Reader, res *Resource, attribute string, now int64) error {
	ids := stringsOf(res.Get(attribute))
	if len(ids) > maxPolicies {
		return refuse(onem2m.StatusNotAcceptable, "%s: %d links; the limit is %d", attribute, len(ids), maxPolicies)
	}
	for _, id := range ids {
		acp, err := c.policy(r, id, now)
		if err != nil {
			return err
		}
		if acp == nil {
			return refuse(onem2m.StatusBadRequest, "%s: %q is no accessControlPolicy of this CSE", attribute, id)
		}
	}
	return nil
}
