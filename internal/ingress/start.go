package ingress

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/guard"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
)

// started is a request that no goroutine waits for.
type started struct {
	waiter
	item     [1]ledger.Item
	req      *onem2m.Request
	done     func(*onem2m.Response)
	ev       binding.Evidence
	cred     *identity.Credential
	answered atomic.Bool
	pass     guard.Pass
	trying   bool     // the target may well be missing
	deadline deadline // gives up when the commit takes too long
}

// Start implements the bindings' Starter. Readings are checked and queued before it returns; so readings that one
// goroutine starts are ordered as they came. Everything else may have to ask other machines first and gets a goroutine.
func (g *Ingress) Start(ctx context.Context, req *onem2m.Request, ev binding.Evidence, done func(*onem2m.Response)) {
	core := g.o.App.Core()
	g.adapt(req)
	if core == nil || !g.plainReading(req) {
		go func() { done(g.Do(ctx, req, ev)) }()
		return
	}
	s := &started{req: req, ev: ev, done: done, trying: binding.IsTrying(ctx)}
	if onem2m.IsSigned(req.VendorInformation) {
		g.startSigned(ctx, core, s)
		return
	}
	g.started(ctx, core, s, g.begin(ctx, core, s, ev))
}

// started answers a reading that was refused when it was to be queued; refused is nil for one that was not.
func (g *Ingress) started(ctx context.Context, core *cse.Core, s *started, refused *onem2m.Response) {
	req, ev, done := s.req, s.ev, s.done
	if refused != nil {
		if refused.Status == onem2m.StatusOriginatorHasNoPrivilege && g.mayConsult(core, req) {
			s.pass.Done(false, false)
			go func() { done(g.Do(ctx, req, ev)) }()
			return
		}
		if s.cred != nil {
			g.noteDenied(req, s.cred, ev, refused)
		}
		s.finish(refused)
	}
}

// plainReading says whether a request creates an instance here, answered when it is done.
func (g *Ingress) plainReading(req *onem2m.Request) bool {
	if req.Operation != onem2m.Create || !req.Type.IsInstance() || req.OperationExecution != "" {
		return false
	}
	switch req.ResponseType {
	case 0, onem2m.ResponseTypeBlocking, onem2m.ResponseTypeNone:
	default:
		return false
	}
	local := !strings.HasPrefix(req.To, "/") || strings.HasPrefix(req.To, g.o.App.Genesis().CSE.CSEID+"/")
	return local && !strings.Contains(req.To, "/fopt")
}

// begin queues a reading, or says why not.
func (g *Ingress) begin(ctx context.Context, core *cse.Core, s *started, ev binding.Evidence) *onem2m.Response {
	cred, refused := g.identify(s.req, ev)
	if refused != nil {
		return refused
	}
	return g.queue(ctx, core, s, cred)
}

// queue queues a reading of who is known, or says why not.
func (g *Ingress) queue(ctx context.Context, core *cse.Core, s *started, cred *identity.Credential) (refused *onem2m.Response) {
	s.cred = cred
	if s.pass, refused = g.admit(ctx, s.req, cred, s.ev, 1); refused != nil {
		return refused
	}
	withoutCredentials(s.req)
	if refused := g.present(core, s.req); refused != nil {
		return refused
	}
	if err := g.o.Refuse(); err != nil {
		return failure(onem2m.StatusInternalServerError, err.Error())
	}
	if refused := g.check(core, s.req); refused != nil {
		return refused
	}
	wait, refused := g.deadline(s.req)
	if refused != nil {
		return refused
	}
	s.item[0] = newItem(s.req, cred)
	if err := s.item[0].Check(); err != nil {
		return failure(onem2m.StatusBadRequest, "the request has "+err.Error())
	}
	s.items = s.item[:]
	s.then = func(each []onem2m.Response) {
		g.deadlines.take(&s.deadline)
		g.noteDenied(s.req, s.cred, s.ev, &each[0])
		s.finish(&each[0])
	}
	s.deadline.end = func() {
		s.gone.Store(true)
		s.finish(notInTime())
	}
	g.deadlines.add(&s.deadline, wait)
	if err := g.pending.enqueue(&s.waiter); err != nil {
		g.deadlines.take(&s.deadline)
		return failure(onem2m.StatusInternalServerError, err.Error())
	}
	return nil
}

// finish answers the request, the first time that it is called.
func (s *started) finish(resp *onem2m.Response) {
	if s.answered.Swap(true) {
		return
	}
	endPass(&s.pass, resp.Status, s.trying)
	echo(resp, s.req, s.req.ResultExpiration)
	s.done(resp)
}

func notInTime() *onem2m.Response {
	return failure(onem2m.StatusRequestTimeout, "not committed in time: it may still be; read before you repeat it")
}
