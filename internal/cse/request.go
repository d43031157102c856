package cse

import (
	"encoding/binary"
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// The values of requestStatus (rs; m2m:requestStatus, TS-0004 clause 6.3.4.2). FORWARDED and PARTIALLY_COMPLETED are
// not used: what has to be done outside of this CSE is done before the <request> is made. So no operation is ever half
// way, and deleting a pending <request> always cancels its operation (clause 7.4.12.2.4).
const (
	requestCompleted = 1
	requestFailed    = 2
	requestPending   = 3
)

// Bounds of a non-blocking request. Its <request> is one payload of the log.
const (
	maxRequestContent    = maxContent / 2 // bytes of its own content
	maxRequestParameters = maxContent / 8 // bytes of all else in it; the result echoes some of that
	maxRequestBytes      = maxContent     // bytes of the <request>, the result included
	maxLaterFanOut       = 8 << 10        // bytes of the content of a request that is fanned out later: each member gets it
)

// maxRequests bounds the <request> resources of one originator: who has no privilege at all could make them without end.
const maxRequests = 1024

// requestsKey is where the number of the <request> resources of an originator is kept, 8 bytes big-endian.
const requestsKey = "requests/"

// countRequests gives the number of <request> resources that an originator has.
func countRequests(r Reader, originator string) (uint64, error) {
	b, err := r.Aux(requestsKey + originator)
	if err != nil || len(b) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

// setRequests keeps that number.
func setRequests(st State, originator string, n uint64) error {
	if n == 0 {
		return st.SetAux(requestsKey+originator, nil)
	}
	return st.SetAux(requestsKey+originator, binary.BigEndian.AppendUint64(nil, n))
}

// forgetRequest counts a <request> that is removed.
func forgetRequest(st State, res *Resource) error {
	n, err := countRequests(st, res.Owner)
	if err != nil || n == 0 {
		return err
	}
	return setRequests(st, res.Owner, n-1)
}

// How long a <request> is kept, in microseconds (TS-0004 table 7.3.2.2-1: within the constraints of the CSE's policy).
const (
	defaultPersistence = 10 * 60 * second
	maxPersistence     = 7 * 24 * 3600 * second
)

// NonBlocking says whether the response to a request is a reference to a <request> resource (TS-0001 clause 8.2.2).
// flexBlocking counts as blocking.
func NonBlocking(req *onem2m.Request) bool {
	return req.ResponseType == onem2m.ResponseTypeNonBlockingSync || req.ResponseType == onem2m.ResponseTypeNonBlockingAsync
}

// pending is a non-blocking request that may be accepted.
type pending struct {
	later   bool  // it is to be executed at its operation execution time
	expires int64 // of its <request>
}

// prepareNonBlocking refuses a non-blocking request that cannot become a <request> resource (TS-0004 clauses 7.3.2.2
// and 7.4.12.2).
func (c *Core) prepareNonBlocking(r Reader, req *onem2m.Request, env Env) (pending, error) {
	var p pending
	times, err := parseTimes(req, env.Time)
	if err != nil {
		return p, err
	}
	p.later = times.execution > env.Time && env.Outcome == nil
	if p.later && times.execution-env.Time > maxPersistence {
		return p, refuse(onem2m.StatusNotAcceptable, "operation execution time (oet) %s is more than 7 days ahead", req.OperationExecution)
	}
	if p.expires, err = times.persistence(env.Time); err != nil {
		return p, err
	}
	originator := c.localID(req.From)
	if originator == "" || originator == "C" || originator == "S" {
		return p, refuse(onem2m.StatusBadRequest, "a request of an originator (fr) without an ID of its own cannot be non-blocking")
	}
	if n, err := countRequests(r, originator); err != nil {
		return p, err
	} else if n >= maxRequests {
		return p, refuse(onem2m.StatusNotAcceptable, "originator %q has %d <request> resources; the limit is %d: delete some, or let them expire sooner (rp)", originator, n, maxRequests)
	}
	if len(req.Content) > maxRequestContent {
		return p, refuse(onem2m.StatusNotAcceptable, "the content of a non-blocking request has %d bytes; the limit is %d", len(req.Content), maxRequestContent)
	}
	if n := len(onem2m.AppendRequest(nil, req)) - len(req.Content); n > maxRequestParameters {
		return p, refuse(onem2m.StatusNotAcceptable, "the parameters of a non-blocking request have %d bytes; the limit is %d", n, maxRequestParameters)
	}
	if err := checkTargets("rt.nu", req.NotificationURIs); err != nil {
		return p, err
	}
	return p, c.checkNonBlockingTarget(r, req, p.later, env.Time)
}

// checkNonBlockingTarget refuses what only a blocking request can do with its target. That there is no target is left to
// the result to say.
func (c *Core) checkNonBlockingTarget(r Reader, req *onem2m.Request, later bool, now int64) error {
	t, err := c.resolve(r, wholeTarget(req).To, now)
	switch {
	case asRefusal(err) != nil:
		return nil
	case err != nil:
		return err
	case t.virtual == onem2m.TypePollingChannelURI || t.resource.Type == onem2m.TypeRequest && !t.isInstance:
		return refuse(onem2m.StatusBadRequest, "a request to a %s must be a blocking one", t.kind())
	case t.virtual == onem2m.TypeFanOutPoint && later && len(req.Content) > maxLaterFanOut:
		return refuse(onem2m.StatusNotAcceptable, "the content of a request that is fanned out later has %d bytes; the limit is %d", len(req.Content), maxLaterFanOut)
	}
	return nil
}

// executeNonBlocking does the operation and makes the <request> resource with its result, or only makes the <request>
// when the operation is to be executed later (TS-0004 clauses 7.3.2.2 to 7.3.2.5). The effects are those of the
// operation, and then the CREATE of the <request> with all its attributes as payload.
func (c *Core) executeNonBlocking(st State, req *onem2m.Request, env Env) (Result, error) {
	p, err := c.prepareNonBlocking(st, req, env)
	if err != nil {
		return Result{}, err
	}
	var result Result
	var outcome *onem2m.Response
	if !p.later {
		if result, err = c.operate(st, req, env); err != nil {
			return Result{}, err
		}
		outcome = &result.Response
	}
	env.NextIndex += uint64(len(result.Effects))
	content := c.requestContent(req, &p, outcome, env)
	if outcome != nil && !keepable(content, 0) {
		c.cut(req, outcome)
		content = c.requestContent(req, &p, outcome, env)
	}
	created, err := c.keepRequest(st, c.localID(req.From), content, env)
	if err != nil {
		return Result{}, err
	}
	ri := created.Effects[0].Resource
	for i := range result.Events {
		if e := &result.Events[i]; e.Subscription == "" {
			e.Subscription = ri // a forwarded notification is tried as long as its <request> is kept
		}
	}
	if outcome != nil {
		result.Events = append(slices.Clip(result.Events), c.resultNotice(req, ri, outcome)...)
	}
	result.Effects = append(slices.Clip(result.Effects), created.Effects...)
	ack := Accepted(req.ResponseType, ri)
	result.Response = c.response(req, ack.Status)
	result.Response.Content = ack.Content
	return result, nil
}

// Accepted is the response to a non-blocking request of that response type: a reference to its <request> (TS-0004 clause
// 7.3.2.3).
func Accepted(responseType uint8, ri string) onem2m.Response {
	rsp := onem2m.Response{Status: onem2m.StatusAcceptedNonBlockingRequestSync}
	if responseType == onem2m.ResponseTypeNonBlockingAsync {
		rsp.Status = onem2m.StatusAcceptedNonBlockingRequestAsync
	}
	rsp.Content = append(onem2m.AppendQuote([]byte(`{"m2m:uri":`), ri), '}')
	return rsp
}

// operate does what a non-blocking request asks for, as if it was a blocking one. The error is a failure of the state,
// or a refusal after the first write, which undoes everything.
func (c *Core) operate(st State, req *onem2m.Request, env Env) (Result, error) {
	if env.Outcome != nil {
		return Result{Response: *env.Outcome}, nil
	}
	env.Statistics = nil // a node's own, and the result is everybody's
	now := *req
	now.ResponseType, now.NotificationURIs, now.ResultPersistence = 0, nil, ""
	now.RequestExpiration, now.ResultExpiration, now.OperationExecution = "", "", ""
	if now.Operation == onem2m.Retrieve || now.Operation == onem2m.Notify {
		result := c.Read(st, &now, env)
		return result, result.Err
	}
	result, err := c.execute(st, &now, env)
	if asRefusal(err) != nil && !isOverflow(err) {
		return c.failed(&now, err), nil
	}
	return result, err
}

// keepable says whether a <request> may have that content, besides more bytes: that it is not too large, nor nested too
// deeply to be read again.
func keepable(content []byte, more int) bool {
	if len(content)+more > maxRequestBytes {
		return false
	}
	_, _, err := onem2m.ParseContent(content)
	return err == nil
}

// cut takes a result that a <request> cannot hold out of a response. What was to be read is lost by that, what was
// written is not.
func (c *Core) cut(req *onem2m.Request, outcome *onem2m.Response) {
	status := outcome.Status
	if req.Operation == onem2m.Retrieve {
		status = onem2m.StatusNotAcceptable
	}
	*outcome = c.refusal(req, onem2m.Errorf(status, "the result is larger than a <request> holds, %d bytes in all, or nested too deeply", maxRequestBytes))
}

// requestContent is the representation of a <request> as it is logged. outcome is nil while the operation is pending.
func (c *Core) requestContent(req *onem2m.Request, p *pending, outcome *onem2m.Response, env Env) []byte {
	originator := c.localID(req.From)
	w := objectWriter{dst: []byte(`{"m2m:req":{`)}
	w.time("et", p.expires)
	w.raw("lbl", appendStrings(nil, []string{originator}))
	w.number("op", uint64(req.Operation))
	w.text("tg", req.To)
	w.text("org", originator)
	w.text("rid", req.RequestID)
	meta := []byte{'{'}
	for name, value := range onem2m.Fields(onem2m.AppendRequest(nil, req)) {
		switch name {
		case "op", "to", "fr", "rqi", "tkns":
			continue
		case "pc":
			w.raw("pc", value)
			continue
		}
		if len(meta) > 1 {
			meta = append(meta, ',')
		}
		meta = append(append(onem2m.AppendQuote(meta, name), ':'), value...)
	}
	w.raw("mi", append(meta, '}'))
	c.appendStatus(&w, req, outcome, env)
	return append(w.dst, '}', '}')
}

// appendStatus writes requestStatus and operationResult (TS-0004 tables 7.3.2.2-2 and 7.3.2.5-2).
func (c *Core) appendStatus(w *objectWriter, req *onem2m.Request, outcome *onem2m.Response, env Env) {
	if outcome == nil {
		w.number("rs", requestPending)
		w.raw("ors", onem2m.AppendResponse(nil, &onem2m.Response{Status: onem2m.StatusAccepted, RequestID: req.RequestID}))
		return
	}
	status := uint64(requestFailed)
	if outcome.Status.Success() {
		status = requestCompleted
	}
	w.number("rs", status)
	c.complete(req, outcome, env)
	w.raw("ors", onem2m.AppendResponse(nil, outcome))
}

// complete fills in what the response to a non-blocking request says besides its result.
func (c *Core) complete(req *onem2m.Request, outcome *onem2m.Response, env Env) {
	outcome.RequestID, outcome.ReleaseVersion = req.RequestID, req.ReleaseVersion
	outcome.To, outcome.From = c.localID(req.From), c.cfg.CSEID
	outcome.OriginatingTimestamp = onem2m.FormatTime(env.Time)
	outcome.ResultExpiration, outcome.EventCategory = req.ResultExpiration, req.EventCategory
}

// resultNotice is the notification that carries the result of a nonBlockingRequestAsynch: to the targets that the
// request names, or to its originator (TS-0001 clause 8.2.2.3, TS-0004 clause 7.5.1.2.5).
func (c *Core) resultNotice(req *onem2m.Request, ri string, outcome *onem2m.Response) []Event {
	if req.ResponseType != onem2m.ResponseTypeNonBlockingAsync {
		return nil
	}
	targets := unique(req.NotificationURIs)
	if req.NotificationURIs == nil {
		targets = []string{c.localID(req.From)}
	}
	if len(targets) == 0 {
		return nil
	}
	content := onem2m.AppendResponse([]byte(`{"m2m:rsp":`), outcome)
	return []Event{{Subscription: ri, Targets: targets, Content: append(content, '}'), Originator: c.cfg.CSEID}}
}

// keepRequest makes a <request> resource of its logged representation, when it is accepted and when it is repeated from
// the log. Nobody is notified: only the originator may know of it (TS-0001 clause 9.6.12).
func (c *Core) keepRequest(st State, originator string, content []byte, env Env) (Result, error) {
	tag, members, err := onem2m.ParseContent(content)
	if err != nil {
		return Result{}, err
	}
	base, err := st.Resource(c.cfg.BaseRI)
	if err != nil {
		return Result{}, err
	}
	if tag != tagOf(onem2m.TypeRequest) || base == nil {
		return Result{}, refuse(onem2m.StatusBadRequest, "the content is a %.64q, not a m2m:req", tag)
	}
	res := &Resource{
		Type: onem2m.TypeRequest, RI: onem2m.ResourceRI(onem2m.TypeRequest, env.NextIndex), PI: base.RI,
		Created: env.Time, Modified: env.Time, Owner: originator,
	}
	for _, m := range members {
		if m.Name != "et" {
			res.set(m.Name, compact(m.Value))
		} else if res.Expires, err = onem2m.ParseTime(text(m.Value)); err != nil {
			return Result{}, refuse(onem2m.StatusBadRequest, "expirationTime (et): %v", err)
		}
	}
	if status, _ := onem2m.Int(res.Get("rs")); status == requestPending {
		req, err := requestIn(res)
		if err != nil {
			return Result{}, err
		}
		times, err := parseTimes(req, env.Time)
		if err != nil {
			return Result{}, err
		}
		res.Wake = times.execution
	}
	if err := c.checkName(st, env, base, res); err != nil {
		return Result{}, err
	}
	if err := st.Put(res); err != nil {
		return Result{}, err
	}
	n, err := countRequests(st, originator)
	if err != nil {
		return Result{}, err
	}
	if err := setRequests(st, originator, n+1); err != nil {
		return Result{}, err
	}
	return Result{Effects: []Effect{{
		Operation: onem2m.Create, Originator: originator, Target: base.RI, Resource: res.RI,
		Type: res.Type, Status: onem2m.StatusCreated, Payload: content,
	}}}, nil
}

// requestIn gives the request primitive that a <request> resource keeps.
func requestIn(res *Resource) (*onem2m.Request, error) {
	w := objectWriter{dst: []byte{'{'}}
	w.raw("op", res.Get("op"))
	w.raw("to", res.Get("tg"))
	w.raw("fr", res.Get("org"))
	w.raw("rqi", res.Get("rid"))
	for name, value := range onem2m.Fields(res.Get("mi")) {
		w.raw(name, value)
	}
	if pc := res.Get("pc"); pc != nil {
		w.raw("pc", pc)
	}
	return onem2m.ParseRequest(append(w.dst, '}'))
}

// executeLater does the operation of a <request> whose time has come, and gives the <request> its result. The UPDATE
// of the <request> is an effect of its own, with the changed attributes as payload.
func (c *Core) executeLater(st State, res *Resource, env Env) (Result, error) {
	req, err := requestIn(res)
	if err != nil {
		return Result{}, &corruption{"the request that " + res.RI + " keeps cannot be read: " + err.Error()}
	}
	// Nobody is there to be refused, and many may be due in one block.
	env.used = &usage{lossy: true, events: maxEventBytes - maxTickBytes}
	if env.Authentic != nil {
		ok, err := env.Authentic(req.From)
		if err != nil {
			return Result{}, err
		}
		if !ok {
			rsp := c.refusal(req, onem2m.Errorf(onem2m.StatusOriginatorHasNoPrivilege, "the originator %q has no valid credential any more", req.From))
			env.Outcome = &rsp
		}
	}
	if env.Outcome == nil {
		if env.Outcome, err = c.refusedLater(st, req, env); err != nil {
			return Result{}, err
		}
	}
	result, err := c.operate(st, req, env)
	if err != nil {
		return Result{}, err
	}
	if still, err := st.Resource(res.RI); err != nil || still == nil {
		return result, err // it was a member of a group that the operation deleted
	}
	env.NextIndex += uint64(len(result.Effects))
	content := c.statusContent(req, &result.Response, env)
	if !keepable(content, len(res.Get("pc"))) {
		c.cut(req, &result.Response)
		content = c.statusContent(req, &result.Response, env)
	}
	for i := range result.Events {
		if e := &result.Events[i]; e.Subscription == "" {
			e.Subscription = res.RI
		}
	}
	updated, err := c.updateRequest(st, res, content, env)
	if err != nil {
		return Result{}, err
	}
	result.Effects = append(slices.Clip(result.Effects), updated.Effects...)
	result.Events = append(append(slices.Clip(result.Events), updated.Events...), c.resultNotice(req, res.RI, &result.Response)...)
	return result, nil
}

// refusedLater gives the refusal of an operation that cannot be executed at its time, nil when it can. Its target may be
// another one than when the request was accepted, and nobody can be asked in the middle of a block.
func (c *Core) refusedLater(r Reader, req *onem2m.Request, env Env) (*onem2m.Response, error) {
	now := *req
	now.ResponseType, now.RequestExpiration, now.ResultExpiration, now.OperationExecution = 0, "", "", ""
	err := c.checkNonBlockingTarget(r, req, true, env.Time)
	if err == nil && (req.Operation == onem2m.Create || req.Operation == onem2m.Update) && c.Check(r, &now, env) == nil {
		err = c.unasked(r, &now, env)
	}
	if e := asRefusal(err); e != nil {
		rsp := c.refusal(req, e)
		return &rsp, nil
	}
	return nil, err
}

// unasked refuses an operation that others have to agree to.
func (c *Core) unasked(r Reader, req *onem2m.Request, env Env) error {
	if len(c.VerificationRequest(r, req, env)) > 0 {
		return refuse(onem2m.StatusSubscriptionVerificationInitiationFailed, "targets cannot be asked at the operation execution time")
	}
	if _, ask := c.BlockingUpdate(r, req, env); ask != nil {
		return refuse(onem2m.StatusOperationDeniedByRemoteEntity, "who has to agree to the update cannot be asked at the operation execution time")
	}
	return nil
}

func (c *Core) statusContent(req *onem2m.Request, outcome *onem2m.Response, env Env) []byte {
	w := objectWriter{dst: []byte(`{"m2m:req":{`)}
	c.appendStatus(&w, req, outcome, env)
	return append(w.dst, '}', '}')
}

// updateRequest writes the result of an operation into its <request> (TS-0004 clause 7.3.2.5), when it is executed and
// when that is repeated from the log. Subscriptions to the <request> are told.
func (c *Core) updateRequest(st State, res *Resource, content []byte, env Env) (Result, error) {
	_, members, err := onem2m.ParseContent(content)
	if err != nil {
		return Result{}, err
	}
	base, err := st.Resource(res.PI)
	if err != nil {
		return Result{}, err
	}
	after := res.clone()
	after.Modified, after.Wake = env.Time, 0
	var modified []string
	for _, m := range members {
		after.set(m.Name, compact(m.Value))
		modified = append(modified, m.Name)
	}
	if err := st.Put(after); err != nil {
		return Result{}, err
	}
	own := onem2m.Request{Operation: onem2m.Update, From: c.cfg.CSEID, To: res.RI, ResultContent: onem2m.ResultContentNothing}
	return c.committed(st, &own, env, &outcome{
		change: change{kind: changeUpdated, originator: c.cfg.CSEID, parent: base, before: res, after: after, modified: modified},
		effects: [1]Effect{{
			Operation: onem2m.Update, Originator: c.cfg.CSEID, Target: res.RI, Resource: res.RI,
			Type: res.Type, Status: onem2m.StatusUpdated, Payload: content,
		}},
	})
}
