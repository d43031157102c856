package httpbinding

import (
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/tallystick/tallystick/internal/binding"
)

// connections are those of a server, each of which ends with the credential that was shown on it last. Requests on it
// would be refused anyway; but who lost his credential shall not hold a connection either.
type connections struct {
	watcher binding.Watcher
	all     sync.Map // *connection by net.Conn
}

// connection is one of them.
type connection struct {
	conn    net.Conn
	watcher binding.Watcher

	mu    sync.Mutex
	shown binding.Evidence
	stop  func() // ends the watch over what was shown
	idle  bool   // no request is under way
	over  bool   // it is to end as soon as it is idle
	gone  bool
}

type connectionKey struct{}

// begin is http.Server's ConnContext.
func (cs *connections) begin(ctx context.Context, c net.Conn) context.Context {
	held := &connection{conn: c, watcher: cs.watcher}
	cs.all.Store(c, held)
	return context.WithValue(ctx, connectionKey{}, held)
}

// became follows what http.Server tells of the state of a connection.
func (cs *connections) became(c net.Conn, state http.ConnState) {
	v, ok := cs.all.Load(c)
	if !ok {
		return
	}
	held := v.(*connection)
	held.mu.Lock()
	held.idle = state == http.StateIdle
	over := held.idle && held.over
	var stop func()
	if state == http.StateClosed || state == http.StateHijacked {
		cs.all.Delete(c)
		held.gone, stop, held.stop = true, held.stop, nil
	}
	held.mu.Unlock()
	if stop != nil {
		stop()
	}
	if over {
		_ = c.Close() // the server sees it closed
	}
}

// Shown notes what a request showed that was not refused for it: its connection, if it is one of a server made by
// NewServer, ends with that credential, as soon as no request on it is under way.
func Shown(r *http.Request, ev binding.Evidence) {
	held, _ := r.Context().Value(connectionKey{}).(*connection)
	shown := ev.Shown()
	if held == nil || held.watcher == nil || ev.Anonymous() {
		return
	}
	held.mu.Lock()
	old := held.stop
	if held.gone || held.shown == shown {
		held.mu.Unlock()
		return
	}
	held.shown, held.stop = shown, nil
	held.mu.Unlock()
	if old != nil {
		old()
	}
	stop := held.watcher.Watch(ev, func() { held.end(shown) })
	held.mu.Lock()
	if !held.gone && held.shown == shown && held.stop == nil {
		held.stop, stop = stop, nil
	}
	held.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// end ends the connection, unless something else was shown on it meanwhile.
func (held *connection) end(shown binding.Evidence) {
	held.mu.Lock()
	defer held.mu.Unlock()
	if held.shown != shown {
		return
	}
	held.over = true
	if held.idle {
		_ = held.conn.Close() // the server sees it closed
	}
}
