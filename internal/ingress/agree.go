package ingress

import (
	"context"
	"crypto/rand"
	"sync"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
)

// agree asks everybody outside who has to agree to a request that passed check: the targets of a new subscription
// (TS-0004 clause 7.4.8.2.1), and who wants to be asked before a resource is updated. release must be called when the
// request is answered.
func (g *Ingress) agree(ctx context.Context, core *cse.Core, req *onem2m.Request, it *ledger.Item) (release func(), refused *onem2m.Response) {
	release = func() {}
	if req.Operation != onem2m.Update && (req.Operation != onem2m.Create || req.Type != onem2m.TypeSubscription) {
		return release, nil
	}
	env := cse.Env{Time: g.now()}
	var random [10]byte
	rand.Read(random[:])
	env.Assigned = cse.AssignedRI(random)
	view := g.o.App.View()
	verify := core.VerificationRequest(view, req, env)
	ri, ask := core.BlockingUpdate(view, req, env)
	view.Close()
	ctx, cancel := context.WithTimeout(ctx, min(g.patience(req), g.o.Timeout))
	defer cancel()
	for i := range verify {
		if err := g.o.Outside.Verify(ctx, verify[i].Targets, notification(&verify[i])); err != nil {
			return nil, failure(onem2m.StatusSubscriptionVerificationInitiationFailed, "verify the subscription: "+err.Error())
		}
		if req.Operation == onem2m.Create {
			it.Assigned = env.Assigned
		}
	}
	if ask == nil {
		return release, nil
	}
	if !g.updates.take(ctx, ri) {
		return nil, failure(onem2m.StatusRequestTimeout, "another update of "+ri+" waits for the answer of who has to agree to it")
	}
	if refused := g.askForUpdate(ctx, ask); refused != nil {
		g.updates.give(ri)
		return nil, refused
	}
	return func() { g.updates.give(ri) }, nil
}

// askForUpdate asks whether a resource may be updated.
func (g *Ingress) askForUpdate(ctx context.Context, ask *cse.Event) *onem2m.Response {
	rsp, err := g.o.Outside.Request(ctx, ask.Targets, notification(ask))
	switch {
	case err != nil:
		return failure(onem2m.StatusRemoteEntityNotReachable, "ask whether the resource may be updated: "+err.Error())
	case rsp.Status == onem2m.StatusTargetNotReachable:
		return failure(onem2m.StatusRemoteEntityNotReachable, "who has to agree to the update is not reachable")
	case !rsp.Status.Success():
		return failure(onem2m.StatusOperationDeniedByRemoteEntity, "who has to agree to the update answered "+rsp.Status.String())
	}
	return nil
}

// turns lets one update of a resource at a time ask and be committed. The zero value is ready.
type turns struct {
	mu    sync.Mutex
	taken map[string]chan struct{} // closed when the turn ends
}

// take waits for a turn and takes it; false when ctx ended before.
func (t *turns) take(ctx context.Context, ri string) bool {
	for {
		t.mu.Lock()
		other, busy := t.taken[ri]
		if !busy {
			if t.taken == nil {
				t.taken = make(map[string]chan struct{})
			}
			t.taken[ri] = make(chan struct{})
			t.mu.Unlock()
			return true
		}
		t.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return false
		}
	}
}

// give ends a turn.
func (t *turns) give(ri string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.taken[ri])
	delete(t.taken, ri)
}
