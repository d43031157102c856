package ingress

import (
	"context"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
)

// maxOutcome bounds the content of a result that is ordered with its request, in bytes.
const maxOutcome = 256 << 10

// nonBlocking orders a non-blocking request and answers with a reference to its <request> resource (TS-0001 clause
// 8.2.2). Within one block the operation is executed and the <request> made with its result, so that nothing accepted
// can be lost. What the operation needs of other machines is done before, and the result is ordered with the request.
func (g *Ingress) nonBlocking(ctx context.Context, core *cse.Core, req *onem2m.Request, cred *identity.Credential) *onem2m.Response {
	if err := g.o.Refuse(); err != nil {
		return failure(onem2m.StatusInternalServerError, err.Error())
	}
	if d := g.persistence.Load(); d != 0 && req.ResultPersistence+req.ResultExpiration+req.RequestExpiration+req.OperationExecution == "" {
		req.ResultPersistence = strconv.FormatInt(time.Duration(d).Milliseconds(), 10)
	}
	view := g.o.App.View()
	refused := core.Check(view, req, cse.Env{Time: g.now()})
	view.Close()
	if refused != nil {
		return refused
	}
	g.consultAhead(ctx, core, req)
	it := newItem(req, cred)
	release, outcome := g.beforehand(ctx, core, req, &it, cred)
	defer release()
	if outcome != nil && len(outcome.Content) > maxOutcome {
		status := outcome.Status // what was written there is written
		if req.Operation == onem2m.Retrieve {
			status = onem2m.StatusNotAcceptable
		}
		outcome = failure(status, "the result is too large for a <request>")
	}
	it.Parameters = ledger.NewParameters(req, outcome)
	return g.submit(ctx, req, it)
}

// registered says whether the originator of a request is an AE of this CSE, which then keeps its <request> resources
// (TS-0004 clause 7.4.12.1), also of requests for other CSEs.
func (g *Ingress) registered(req *onem2m.Request) bool {
	return req.From != "" && req.From[0] != '/'
}

// beforehand does what a non-blocking request needs of other machines. An outcome is its result.
func (g *Ingress) beforehand(ctx context.Context, core *cse.Core, req *onem2m.Request, it *ledger.Item, cred *identity.Credential) (release func(), outcome *onem2m.Response) {
	if target, away := g.elsewhere(req.To); away {
		on := *req
		on.ResponseType, on.NotificationURIs, on.ResultPersistence = 0, nil, ""
		return func() {}, g.transit(ctx, core, &on, target, cred)
	}
	return g.agreeNow(ctx, core, req, it)
}

// agreeNow asks whoever has to agree to the operation. An outcome is the refusal of that, or of an operation that needs
// agreement and cannot be executed now: it might be possible when it is ordered, and nobody would have been asked. Nobody
// is asked about what is to be executed later: the core refuses it then.
func (g *Ingress) agreeNow(ctx context.Context, core *cse.Core, req *onem2m.Request, it *ledger.Item) (release func(), outcome *onem2m.Response) {
	release = func() {}
	if req.Operation != onem2m.Update && (req.Operation != onem2m.Create || req.Type != onem2m.TypeSubscription) {
		return release, nil
	}
	if at, _ := core.ExecutionTime(req, g.now()); at > g.now() {
		return release, nil
	}
	now := *req
	now.ResponseType, now.OperationExecution, now.RequestExpiration, now.ResultExpiration = 0, "", "", ""
	if refused := g.check(core, &now); refused != nil {
		return release, refused
	}
	agreed, refused := g.agree(ctx, core, &now, it)
	if refused != nil {
		return release, refused
	}
	return agreed, nil
}

// maxLater bounds the requests that wait for their operation execution time, each with a goroutine of its client.
const maxLater = 4096

// await waits for the operation execution time of a blocking request. It takes the time out of the request, and makes
// its request expiration an absolute one. A flexBlocking request that would have to wait longer than a response may take
// becomes a non-blocking one.
func (g *Ingress) await(ctx context.Context, core *cse.Core, req *onem2m.Request) *onem2m.Response {
	now := g.now()
	at, refused := core.ExecutionTime(req, now)
	if refused != nil {
		return refused
	}
	if at <= now {
		req.OperationExecution = ""
		return nil
	}
	if at-now > g.Timeout().Microseconds() { // which may be more than a time.Duration can say
		if req.ResponseType != onem2m.ResponseTypeFlexBlocking {
			return failure(onem2m.StatusRequestTimeout, "the operation execution time is later than a response may be: make the request a non-blocking one")
		}
		if req.ResponseType = onem2m.ResponseTypeNonBlockingSync; req.NotificationURIs != nil {
			req.ResponseType = onem2m.ResponseTypeNonBlockingAsync
		}
		return nil
	}
	if g.later.Add(1) > maxLater {
		g.later.Add(-1)
		return failure(onem2m.StatusInternalServerError, errBusy.Error())
	}
	defer g.later.Add(-1)
	timer := time.NewTimer(time.Duration(at-now) * time.Microsecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return failure(onem2m.StatusRequestTimeout, "the client went away")
	case <-g.pending.stop:
		return failure(onem2m.StatusInternalServerError, errStopping.Error())
	}
	req.OperationExecution = ""
	for _, relative := range []*string{&req.RequestExpiration, &req.ResultExpiration} {
		if *relative == "" {
			continue
		}
		// It was readable when the execution time was.
		if until, err := onem2m.ParseAbsRel(*relative, now); err == nil {
			*relative = onem2m.FormatTime(until)
		}
	}
	return nil
}
