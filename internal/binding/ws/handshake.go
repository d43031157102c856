package wsbinding

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/internal/binding"
)

// format is how messages of a connection are serialized.
type format int

const (
	formatJSON format = iota
	formatCBOR
	formatPlain // messages of plain devices, answered with a line of JSON
)

// The subprotocols (TS-0020 table 6.2.2.9-1) and that of Mobius.
const (
	protocolJSON   = "oneM2M.json"
	protocolCBOR   = "oneM2M.cbor"
	protocolMobius = "onem2m.r2.0.json"
)

// IngestPrefix is the path below which plain devices connect: /ingest/<ae>/<container path>.
const IngestPrefix = "/ingest/"

// Wrap returns a handler that serves WebSocket handshakes, of any path, and leaves all other requests to next.
func (b *Binding) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if upgrades(r.Header) {
			b.ServeHTTP(w, r)
		} else {
			next.ServeHTTP(w, r)
		}
	})
}

// upgrades says whether a request asks for the WebSocket protocol (RFC 6455 clause 4.2.1).
func upgrades(h http.Header) bool {
	for _, v := range h["Upgrade"] {
		for p := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(p), "websocket") {
				return true
			}
		}
	}
	return false
}

// handshake is what a client asked for.
type handshake struct {
	format   format
	mobius   bool
	offered  []string // the subprotocol to agree on, none for plain devices
	path     string   // of a plain device: <ae>/<container path>
	media    string   // of a plain device's messages
	evidence binding.Evidence
	known    bool // the evidence is valid
}

// ServeHTTP serves one handshake. The connection that comes of it outlives the call.
func (b *Binding) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hs, status, why := b.judge(r)
	if why != "" {
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="oneM2M"`)
		}
		http.Error(w, why, status)
		return
	}
	c := newConn(b, hs.format, b.memory)
	if status, why := b.admit(c, &hs); why != "" {
		http.Error(w, why, status)
		return
	}
	hj := &hijacker{ResponseWriter: w}
	ws, err := websocket.Accept(hj, r, &websocket.AcceptOptions{
		Subprotocols: hs.offered,
		// A page of another site must not use a browser's way to a node that asks for no credential. Where one is shown
		// the page has it from its user: browsers send none by themselves.
		InsecureSkipVerify: hs.evidence.Token != "",
		OnPongReceived:     c.pong,
	})
	if err != nil {
		b.o.Log.Debug("a WebSocket handshake was refused", "remote", r.RemoteAddr, "err", err)
		b.drop(c)
		return
	}
	ws.SetReadLimit(b.o.MaxMessage)
	c.socket, c.path, c.media = hj.socket, hs.path, hs.media
	c.remote = hs.evidence.Source
	c.wrapped.Store(hs.mobius)
	if !c.open(ws) {
		_ = ws.CloseNow() // the node stopped meanwhile
	}
	claim := r.Header.Get("X-M2M-Origin")
	if hs.known {
		c.watch(hs.evidence)
	}
	go func() { // so that what net/http keeps for a request is let go
		defer b.drop(c)
		c.greet(claim)
		c.serve()
	}()
}

// judge reads a handshake. A why that is not empty refuses it.
func (b *Binding) judge(r *http.Request) (hs handshake, status int, why string) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return hs, http.StatusBadRequest, "the query cannot be read: " + err.Error()
	}
	hs.evidence.Binding = "ws"
	hs.evidence.Source, hs.evidence.Key = remoteIP(r), binding.PeerKey(r.TLS)
	hs.evidence.Token = binding.Credential(r.Header.Get("Authorization"))
	if hs.evidence.Token == "" {
		hs.evidence.Token = query.Get("access_token")
	}
	denied := func() {
		binding.Denied(b.o.Handler, hs.evidence, binding.Denial{
			Reason: binding.BadCredential, Doing: "connect", From: r.Header.Get("X-M2M-Origin"), To: r.URL.Path,
		})
	}
	if hs.evidence.Key != "" && hs.evidence.Token == "" && binding.CrossSite(r.Header, r.Host) {
		denied()
		return hs, http.StatusForbidden, "a browser asks for this connection for a page of another site, and showed a certificate by itself; such a page has to show a token"
	}
	hs.known = b.o.Handler.Known(hs.evidence)
	if hs.evidence.Token != "" && !hs.known {
		denied()
		if not := binding.Refusal(b.o.Handler, hs.evidence); not != nil {
			return hs, not.Status.HTTPStatus(), not.Message
		}
		return hs, http.StatusUnauthorized, "the bearer token is not valid"
	}
	if b.negotiate(&hs, r.Header) {
		return hs, 0, ""
	}
	rest, plain := strings.CutPrefix(r.URL.Path, IngestPrefix)
	switch {
	case !plain:
		return hs, http.StatusBadRequest, "want the WebSocket subprotocol " + protocolJSON + " or " + protocolCBOR +
			" (Sec-WebSocket-Protocol), or the path " + IngestPrefix + "<ae>/<container>"
	case b.o.Plain == nil:
		return hs, http.StatusNotFound, "this node takes no messages of plain devices"
	case !hs.known:
		denied()
		return hs, http.StatusUnauthorized, "a valid bearer token is required (tally device enrol makes one)"
	}
	hs.format, hs.path, hs.media = formatPlain, strings.TrimSuffix(rest, "/"), query.Get("ct")
	if hs.media == "" {
		hs.media = "application/json"
	}
	return hs, 0, ""
}

// remoteIP is the client's IP address without a zone.
func remoteIP(r *http.Request) string {
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	ip, _, _ = strings.Cut(ip, "%")
	return ip
}

// negotiate chooses the first subprotocol of the client's list that is supported (TS-0020 clause 6.2.3.5).
func (b *Binding) negotiate(hs *handshake, h http.Header) bool {
	for _, v := range h["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(v, ",") {
			p = strings.TrimSpace(p)
			switch {
			case strings.EqualFold(p, protocolJSON):
				hs.format = formatJSON
			case strings.EqualFold(p, protocolCBOR):
				hs.format = formatCBOR
			case b.o.Mobius && strings.EqualFold(p, protocolMobius):
				hs.format, hs.mobius = formatJSON, true
			default:
				continue
			}
			hs.offered = []string{p}
			return true
		}
	}
	return false
}

// admit makes room for a connection, or says why there is none.
func (b *Binding) admit(c *conn, hs *handshake) (status int, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closing:
		return http.StatusServiceUnavailable, "the node is stopping"
	case len(b.conns) >= b.o.MaxConnections:
		return http.StatusServiceUnavailable, "the node has as many WebSocket connections as it takes"
	}
	if shown := hs.evidence.Shown(); !shown.Anonymous() {
		if b.same[shown] >= maxSame {
			return http.StatusServiceUnavailable, "as many connections as may be have shown the same credential"
		}
		b.same[shown]++
	}
	c.evidence = hs.evidence
	if !hs.known {
		if b.strangers.Load() >= maxStrangers {
			return http.StatusServiceUnavailable, "too many connections have shown no credential; show one in the handshake"
		}
		b.strangers.Add(1)
		c.stranger.Store(true)
	}
	b.conns[c] = struct{}{}
	b.running.Add(1)
	return 0, ""
}

// drop forgets a connection that has ended.
func (b *Binding) drop(c *conn) {
	c.end()
	b.mu.Lock()
	delete(b.conns, c)
	if shown := c.evidence.Shown(); !shown.Anonymous() {
		if b.same[shown]--; b.same[shown] == 0 {
			delete(b.same, shown)
		}
	}
	b.forget(c)
	b.mu.Unlock()
	c.trusted()
	b.running.Done()
}
