package ingress

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of consultations (TS-0003 clause 7.3.2.2). Who is refused again and again must not be able to make the server of
// somebody else's resource work as often.
const (
	maxAsking    = 64               // consultations under way
	maxDenied    = 4096             // refusals that are remembered
	deniedFor    = 10 * time.Second // how long nobody is asked again after a refusal
	maxConsulted = 5 * time.Second  // how long all servers of one resource may take
)

// consultations are the dynamic authorizations under way and those refused of late. The zero value is ready.
type consultations struct {
	mu     sync.Mutex
	asking map[string]chan struct{} // closed when the answer is there
	denied map[string]time.Time     // until when nobody is asked again
}

// begin says whether to ask now. When somebody else is asking the same, wait is closed at the end of that.
func (x *consultations) begin(key string) (ask bool, wait chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if other := x.asking[key]; other != nil {
		return false, other
	}
	if until, ok := x.denied[key]; ok && time.Now().Before(until) || len(x.asking) >= maxAsking {
		return false, nil
	}
	if x.asking == nil {
		x.asking, x.denied = make(map[string]chan struct{}), make(map[string]time.Time)
	}
	x.asking[key] = make(chan struct{})
	return true, nil
}

func (x *consultations) end(key string, granted bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	close(x.asking[key])
	delete(x.asking, key)
	if delete(x.denied, key); granted {
		return
	}
	if len(x.denied) >= maxDenied {
		clear(x.denied)
	}
	x.denied[key] = time.Now().Add(deniedFor)
}

// consult asks those that a resource names for dynamic authorization about a request that was refused for want of a privilege.
// What they grant is put on the ledger before it returns. True means that the request is worth another try.
func (g *Ingress) consult(ctx context.Context, core *cse.Core, req *onem2m.Request, refused *onem2m.Response) bool {
	if refused.Status != onem2m.StatusOriginatorHasNoPrivilege {
		return false
	}
	view := g.o.App.View()
	list, err := core.Consultations(view, req, cse.Env{Time: g.now()})
	view.Close()
	if err != nil || len(list) == 0 || g.o.Refuse() != nil {
		return false
	}
	key := list[0].Holder + "\x00" + list[0].Resource + "\x00" + strconv.Itoa(int(req.Operation))
	ctx, cancel := context.WithTimeout(ctx, min(g.patience(req), maxConsulted))
	defer cancel()
	ask, wait := g.consultations.begin(key)
	if wait != nil {
		select {
		case <-wait:
			return true
		case <-ctx.Done():
		}
	}
	if !ask {
		return false
	}
	granted := false
	defer func() { g.consultations.end(key, granted) }()
	for i := range list {
		if g.grantedBy(ctx, core, &list[i]) {
			granted = true
			break
		}
	}
	return granted
}

// grantedBy asks one server, and says whether anything that it granted was committed.
func (g *Ingress) grantedBy(ctx context.Context, core *cse.Core, x *cse.Consultation) bool {
	answer, err := g.o.Outside.Request(ctx, x.Event.Targets, notification(&x.Event))
	if err != nil || !answer.Status.Success() {
		return false
	}
	var name [10]byte
	rand.Read(name[:])
	granted := false
	for _, req := range core.Granted(x, answer.Content, "dyn-"+hex.EncodeToString(name[:]), g.now()) {
		resp := g.write(ctx, core, req, &identity.Credential{Originator: req.From})
		granted = granted || resp.Status.Success()
	}
	return granted
}

// mayConsult says whether a resource names anybody for dynamic authorization.
func (g *Ingress) mayConsult(core *cse.Core, req *onem2m.Request) bool {
	view := g.o.App.View()
	defer view.Close()
	list, err := core.Consultations(view, req, cse.Env{Time: g.now()})
	return err == nil && len(list) > 0
}

// consultAhead consults about a non-blocking request before it is ordered: its operation is executed in the block, where
// nobody can be asked.
func (g *Ingress) consultAhead(ctx context.Context, core *cse.Core, req *onem2m.Request) {
	if !g.mayConsult(core, req) {
		return
	}
	now := *req
	now.ResponseType, now.OperationExecution, now.RequestExpiration, now.ResultExpiration = 0, "", "", ""
	var refused *onem2m.Response
	if req.Operation == onem2m.Retrieve || req.Operation == onem2m.Notify {
		view := g.o.App.View()
		result := core.Read(view, &now, cse.Env{Time: g.now()})
		view.Close()
		refused = &result.Response
	} else if refused = g.check(core, &now); refused == nil {
		return
	}
	g.consult(ctx, core, &now, refused)
}
