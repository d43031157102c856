package coapbinding

import (
	"crypto/rand"
	"crypto/x509"
	"sync"

	"github.com/pion/dtls/v3"

	"github.com/tallystick/tallystick/internal/binding"
)

// evidence is what a DTLS handshake proved: that the client holds the key of its certificate (RFC 5246 clause 7.4.8).
func evidence(conn *dtls.Conn) (ev binding.Evidence) {
	state, ok := conn.ConnectionState()
	if !ok {
		return ev
	}
	ev.PSK = string(state.IdentityHint) // set by a handshake with a pre-shared key only, which proved it (RFC 4279)
	if len(state.PeerCertificates) == 0 {
		return ev
	}
	if cert, err := x509.ParseCertificate(state.PeerCertificates[0]); err == nil {
		ev.Key = binding.KeyOf(cert)
	}
	return ev
}

// preSharedKey is the key of an identity. Who claims one that nobody has gets as far as who has a wrong key, so that
// identities cannot be found out (RFC 4279 clause 2).
func (s *Server) preSharedKey(identity []byte) ([]byte, error) {
	if s.o.PreSharedKey != nil {
		if key := s.o.PreSharedKey(string(identity)); key != nil {
			return key, nil
		}
	}
	none := make([]byte, 32)
	rand.Read(none)
	return none, nil
}

func (a *association) proven() binding.Evidence { return a.peer }

// shown notes what a message showed that is a valid credential: the session ends with it.
func (a *association) shown(ev binding.Evidence) { a.watch.over(a.front.s.watcher, ev, a.end) }

// watch is the watch over the credential that was shown last.
type watch struct {
	mu    sync.Mutex
	shown binding.Evidence
	stop  func()
	ended bool
}

// known says whether a valid credential was shown.
func (w *watch) known() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.shown.Anonymous()
}

// over watches over another credential from now on, unless it is the same.
func (w *watch) over(watcher binding.Watcher, ev binding.Evidence, end func()) {
	shown := ev.Shown()
	w.mu.Lock()
	if w.ended || w.shown == shown {
		w.mu.Unlock()
		return
	}
	old := w.stop
	w.shown, w.stop = shown, nil
	w.mu.Unlock()
	if old != nil {
		old()
	}
	if watcher == nil {
		return
	}
	stop := watcher.Watch(ev, end)
	w.mu.Lock()
	if !w.ended && w.shown == shown && w.stop == nil {
		w.stop, stop = stop, nil
	}
	w.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// end ends it for good.
func (w *watch) end() {
	w.mu.Lock()
	w.ended = true
	stop := w.stop
	w.stop = nil
	w.mu.Unlock()
	if stop != nil {
		stop()
	}
}
