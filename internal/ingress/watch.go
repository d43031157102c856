package ingress

import (
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

const (
	// watchRest is the least time between two looks at all that is watched: enrolments come by the thousand, and each
	// may change what is known of credentials.
	watchRest = 100 * time.Millisecond
	// watchTick is how often all that is watched is looked at when no credential changed: credentials end by themselves.
	watchTick = 500 * time.Millisecond
)

// watch is what is to end when a credential does: connections, and requests that wait for long. All that came with one
// credential is looked at together, so that a node has little to do however many connections are idle.
type watch struct {
	changed chan struct{} // holds one element when credentials have changed since they were looked at
	ended   chan struct{} // closed when keepWatch has ended

	mu      sync.Mutex
	version uint64               // of the credentials, as of the last block
	shown   map[showing]*watched // by what was shown
}

// showing is what was shown, without where and how.
type showing struct {
	ev     binding.Evidence
	behind string // originator behind the CSE that it is for, for whom that showed it; "" for its own
}

// watched is all that came with one credential.
type watched struct {
	showing
	ends map[*func()]struct{}
}

func newWatch() watch {
	return watch{changed: make(chan struct{}, 1), ended: make(chan struct{}), shown: make(map[showing]*watched)}
}

// Watch implements the bindings' Watcher.
func (g *Ingress) Watch(ev binding.Evidence, end func()) (stop func()) {
	if ev.Anonymous() {
		return func() {}
	}
	return g.watchOver(showing{ev: ev.Shown()}, ev, end)
}

// watchRequest is Watch for a request that waits for long, which may be signed, or of an originator behind another CSE.
func (g *Ingress) watchRequest(req *onem2m.Request, ev binding.Evidence, end func()) (stop func()) {
	shown := showing{ev: ev.Shown()}
	if req.Signature != nil && ev.Anonymous() {
		ev.Signed = req.VendorInformation
		shown.ev.Signed = ev.Signed
	}
	if shown.ev == (binding.Evidence{}) {
		return func() {}
	}
	if cred, err := g.auth.find(ev); err == nil && cred != nil && cred.Originator != req.From {
		shown.behind = req.From
	}
	return g.watchOver(shown, ev, end)
}

func (g *Ingress) watchOver(shown showing, ev binding.Evidence, end func()) (stop func()) {
	release, ok := g.connect(ev)
	if !ok {
		go end() // the binding has yet to learn how to end the watch
		return func() {}
	}
	w, key := &g.watch, &end
	w.mu.Lock()
	of := w.shown[shown]
	if of == nil {
		of = &watched{showing: shown, ends: make(map[*func()]struct{}, 1)}
		w.shown[shown] = of
	}
	of.ends[key] = struct{}{}
	w.mu.Unlock()
	if !g.lives(of) { // it ended between the binding's own look and this
		w.wake()
	}
	return func() {
		release()
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(of.ends, key)
		if len(of.ends) == 0 && w.shown[shown] == of {
			delete(w.shown, shown)
		}
	}
}

// lives says whether what was shown still is a valid credential, and who uses it not in quarantine. What cannot be looked
// up lives on.
func (g *Ingress) lives(of *watched) bool {
	cred, err := g.auth.authenticate(of.ev)
	if of.ev.Anonymous() {
		cred, err = g.auth.signer(of.ev.Signed)
	}
	if err != nil {
		return quarantined(err) == nil
	}
	return cred != nil && (of.behind == "" || g.o.App.Quarantined(of.behind) == nil)
}

func (w *watch) wake() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// committed has all looked at when a block changed credentials. It waits for nothing.
func (w *watch) committed(version uint64) {
	w.mu.Lock()
	same := w.version == version
	w.version = version
	w.mu.Unlock()
	if !same {
		w.wake()
	}
}

// keepWatch ends what is watched within a second of the end of its credential, until the ingress is closed.
func (g *Ingress) keepWatch() {
	defer close(g.watch.ended)
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			g.endWatched()
		case <-g.watch.changed:
			g.endWatched()
			select {
			case <-time.After(watchRest):
			case <-g.pending.stop:
				return
			}
		case <-g.pending.stop:
			return
		}
	}
}

// endWatched ends what came with credentials that are none any more.
func (g *Ingress) endWatched() {
	w := &g.watch
	w.mu.Lock()
	all := make([]*watched, 0, len(w.shown))
	for _, of := range w.shown {
		all = append(all, of)
	}
	w.mu.Unlock()
	for _, of := range all {
		if g.lives(of) {
			continue
		}
		w.mu.Lock()
		over := of.ends
		of.ends = nil // stop finds nothing to delete
		if w.shown[of.showing] == of {
			delete(w.shown, of.showing)
		}
		w.mu.Unlock()
		for end := range over {
			go (*end)() // one that does wait, for a client that takes nothing perhaps, must not keep the others from ending
		}
	}
}
