package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	httpbinding "github.com/tallystick/tallystick/internal/binding/http"
	"github.com/tallystick/tallystick/internal/guard"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ingress"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/internal/translog"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// Prefix is where a node serves what is not oneM2M: the log as C2SP tlog-tiles, proofs, and its own administration.
// No resource can have this name.
const Prefix = "/-"

func (n *Node) routes(mux *http.ServeMux) {
	// What an auditor or a monitor needs, open to all: hashes say nothing about what they cover.
	mux.HandleFunc("GET "+Prefix+"/checkpoint", n.serveCheckpoint)
	mux.HandleFunc("GET "+Prefix+"/policy", n.servePolicy)
	mux.HandleFunc("GET "+Prefix+"/ca.pem", n.serveCA)
	mux.HandleFunc("GET "+Prefix+"/tile/{path...}", n.serveTile)
	// The rest asks for a credential.
	mux.HandleFunc("GET "+Prefix+"/proof", n.serveProof)
	mux.HandleFunc("GET "+Prefix+"/status", n.serveStatus)
	mux.HandleFunc("GET "+Prefix+"/rights", n.serveRights)
	mux.HandleFunc("POST "+Prefix+"/credentials", n.serveEnrol)
	mux.HandleFunc("DELETE "+Prefix+"/credentials/{key}", n.serveRevoke)
	mux.HandleFunc("POST "+Prefix+"/invitations", n.serveInvite)
	mux.HandleFunc("GET "+Prefix+"/devices", n.serveDevices)
	mux.HandleFunc("POST "+Prefix+"/enrol", n.serveRedeem) // asks for a one-time code
	mux.HandleFunc("POST "+Prefix+"/erase", n.serveErase)
	mux.HandleFunc("GET "+Prefix+"/quarantine", n.serveQuarantines)
	mux.HandleFunc("POST "+Prefix+"/quarantine", n.serveQuarantine)
	mux.HandleFunc("DELETE "+Prefix+"/quarantine", n.serveRelease)
	mux.HandleFunc("GET "+Prefix+"/audit", n.serveAudit)
	mux.HandleFunc("GET "+Prefix+"/proposals", n.serveProposals)
	mux.HandleFunc("POST "+Prefix+"/proposals", n.servePropose)
	mux.HandleFunc("POST "+Prefix+"/proposals/{id}/approve", n.serveApprove)
	mux.HandleFunc("POST "+Prefix+"/fsck", n.serveFsck)
	mux.HandleFunc("GET "+Prefix+"/events", n.serveEvents)
}

func refuse(w http.ResponseWriter, status int, why string) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	http.Error(w, why, status)
}

// evidence is what a request shows of who it is from.
func evidence(r *http.Request) binding.Evidence {
	source, _, _ := net.SplitHostPort(r.RemoteAddr)
	ev := binding.Evidence{Token: binding.Credential(r.Header.Get("Authorization")), Key: binding.PeerKey(r.TLS), Source: source, Binding: "api"}
	if ev.Token == "" && binding.CrossSite(r.Header, r.Host) {
		ev.Key = "" // shown by a browser, for whoever wrote the page
	}
	return ev
}

// authenticated returns the requester's credential, or answers the request and returns nil.
func (n *Node) authenticated(w http.ResponseWriter, r *http.Request) *identity.Credential {
	ev := evidence(r)
	c, err := n.ingress.Authenticate(ev)
	switch {
	case errors.Is(err, ingress.ErrNoCredential) && n.lockedOut(w, r):
		n.denied(r, binding.BadCredential)
	case errors.Is(err, ingress.ErrNoCredential):
		n.denied(r, binding.BadCredential)
		refuse(w, http.StatusUnauthorized, err.Error())
	case errors.As(err, new(*ledger.Quarantine)):
		n.denied(r, binding.Quarantined)
		refuse(w, http.StatusForbidden, err.Error())
	case err != nil:
		refuse(w, http.StatusInternalServerError, err.Error())
	default:
		httpbinding.Shown(r, ev)
		return c
	}
	return nil
}

// denied notes that a request was refused.
func (n *Node) denied(r *http.Request, why binding.Reason) {
	n.ingress.Denied(evidence(r), binding.Denial{Reason: why, Doing: strings.ToLower(r.Method), To: r.URL.Path})
}

// operator says whether the requester is an operator, of whatever organisation; if not it has answered the request.
func (n *Node) operator(w http.ResponseWriter, r *http.Request) bool {
	return n.asOperator(w, r) != nil
}

// asOperator returns the requester's credential if he is an operator, or answers the request and returns nil.
func (n *Node) asOperator(w http.ResponseWriter, r *http.Request) *identity.Credential {
	c := n.authenticated(w, r)
	if c != nil && c.Role != identity.Operator {
		n.denied(r, binding.NoPrivilege)
		refuse(w, http.StatusForbidden, "only an operator may do this")
		return nil
	}
	return c
}

// networkOperator is operator for what is no organisation's own.
func (n *Node) networkOperator(w http.ResponseWriter, r *http.Request) bool {
	c := n.authenticated(w, r)
	if c != nil && !c.MayActFor("") {
		n.denied(r, binding.NoPrivilege)
		refuse(w, http.StatusForbidden, "only an operator of the network may do this")
		return false
	}
	return c != nil
}

func (n *Node) serveCheckpoint(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(n.app.Published().Marshal())
}

func (n *Node) servePolicy(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write(n.app.Policy().Marshal())
}

// serveTile serves tiles of the log (c2sp.org/tlog-tiles): hashes to anybody, entries to operators of the network.
func (n *Node) serveTile(w http.ResponseWriter, r *http.Request) {
	level, index, width, err := parseTilePath(r.PathValue("path"))
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	var tile []byte
	cache := "public, max-age=31536000, immutable"
	if level == entriesLevel {
		if !n.networkOperator(w, r) {
			return
		}
		cache = "private, no-store"
		tile, err = n.app.Log().EntryTile(index, width)
	} else {
		tile, err = n.app.Log().Tile(level, index, width)
	}
	switch {
	case errors.Is(err, translog.ErrNotFound):
		refuse(w, http.StatusNotFound, "the log has no such tile yet")
	case err != nil:
		refuse(w, http.StatusInternalServerError, err.Error())
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Cache-Control", cache)
		w.Write(tile)
	}
}

const entriesLevel = -1

// parseTilePath parses <level>/<N>[.p/<W>], N in groups of three digits, all but the last with an x before them.
func parseTilePath(p string) (level int, index uint64, width int, err error) {
	bad := fmt.Errorf("tile %q is not of the form <level>/<N>[.p/<W>] of c2sp.org/tlog-tiles", p)
	first, rest, ok := strings.Cut(p, "/")
	if !ok {
		return 0, 0, 0, bad
	}
	if first == "entries" {
		level = entriesLevel
	} else if level, err = strconv.Atoi(first); err != nil || level < 0 || level > 63 || first != strconv.Itoa(level) {
		return 0, 0, 0, bad
	}
	width = 256
	if path, w, partial := strings.Cut(rest, ".p/"); partial {
		if width, err = strconv.Atoi(w); err != nil || width < 1 || width > 255 || w != strconv.Itoa(width) {
			return 0, 0, 0, bad
		}
		rest = path
	}
	groups := strings.Split(rest, "/")
	if len(groups) > 6 {
		return 0, 0, 0, bad
	}
	for i, g := range groups {
		if i < len(groups)-1 {
			if g, ok = strings.CutPrefix(g, "x"); !ok {
				return 0, 0, 0, bad
			}
		}
		v, err := strconv.ParseUint(g, 10, 16)
		if err != nil || len(g) != 3 {
			return 0, 0, 0, bad
		}
		index = index*1000 + v
	}
	if len(groups) > 1 && groups[0] == "x000" {
		return 0, 0, 0, bad
	}
	return level, index, width, nil
}

// serveProof serves the proof bundle of a resource, to whoever may retrieve it, or of a log entry, to operators.
func (n *Node) serveProof(w http.ResponseWriter, r *http.Request) {
	c := n.authenticated(w, r)
	if c == nil {
		return
	}
	index, err := n.proofIndex(c, r)
	if err != nil {
		var denied *httpError
		if errors.As(err, &denied) {
			refuse(w, denied.status, denied.why)
		} else {
			refuse(w, http.StatusInternalServerError, err.Error())
		}
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	b, err := n.app.Bundle(ctx, index)
	switch {
	case errors.Is(err, ledger.ErrNotCommitted):
		refuse(w, http.StatusNotFound, err.Error())
	case errors.Is(err, ledger.ErrNotPublished):
		refuse(w, http.StatusServiceUnavailable, err.Error())
	case err != nil:
		refuse(w, http.StatusInternalServerError, err.Error())
	case r.URL.Query().Has("index") && !n.mayAuditBundle(c, b):
		refuse(w, http.StatusForbidden, fmt.Sprintf("entry %d is not of your organisation", index))
	case r.URL.Query().Has("index") && !n.mayShowBundle(c, b, r):
		b.Withhold()
		fallthrough
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write(b.Marshal())
	}
}

func (n *Node) mayAuditBundle(c *identity.Credential, b *proof.Bundle) bool {
	e, err := proof.DecodeEntry(b.Entry)
	return err == nil && n.mayAudit(c, &e)
}

// mayAudit says whether an operator may know of an entry: one of the network of any, one of an organisation of what its
// originators did, and of what was done to their credentials and instances.
func (n *Node) mayAudit(c *identity.Credential, e *proof.Entry) bool {
	if c.MayActFor("") {
		return true
	}
	who := e.Originator
	switch e.Operation {
	case proof.OpEnrol, proof.OpInvite, proof.OpRevoke, proof.OpQuarantine, proof.OpRelease:
		who = e.Target
	}
	view := n.app.View()
	defer view.Close()
	organisation, err := identity.OrganisationOf(view, who)
	return err == nil && c.MayActFor(organisation)
}

func (n *Node) mayShowBundle(c *identity.Credential, b *proof.Bundle, r *http.Request) bool {
	e, err := proof.DecodeEntry(b.Entry)
	return err == nil && n.mayShow(c, &e, r)
}

// mayShow says whether an entry that an operator asked for by index may be shown with its payload: who did what and when is
// for every operator, what a request carried only for those whom a policy lets retrieve the resource.
func (n *Node) mayShow(c *identity.Credential, e *proof.Entry, r *http.Request) bool {
	if e.Operation >= proof.OpGenesis {
		return true // the ledger's own, which have no contents but what operators asked for
	}
	_, err := n.readable(c, e.Resource, r, true)
	return err == nil
}

type httpError struct {
	status int
	why    string
}

func (e *httpError) Error() string { return e.why }

func (n *Node) proofIndex(c *identity.Credential, r *http.Request) (uint64, error) {
	q := r.URL.Query()
	if s := q.Get("index"); s != "" {
		if c.Role != identity.Operator {
			n.denied(r, binding.NoPrivilege)
			return 0, &httpError{http.StatusForbidden, "only an operator may ask by log index; ask by resource"}
		}
		index, err := strconv.ParseUint(s, 10, 63)
		if err != nil {
			return 0, &httpError{http.StatusBadRequest, "index is not a number"}
		}
		return index, nil
	}
	resource := q.Get("resource")
	if resource == "" {
		return 0, &httpError{http.StatusBadRequest, "name a resource or an index"}
	}
	ri, err := n.readable(c, resource, r, false)
	if err != nil {
		return 0, err
	}
	index, err := n.app.EntryOf(ri)
	if errors.Is(err, ledger.ErrNotCommitted) {
		return 0, &httpError{http.StatusNotFound, err.Error()}
	}
	return index, err
}

// readable returns the ID of a resource if the holder of a credential may retrieve it. A refusal is noted, unless it is
// only asked quietly what may be shown.
func (n *Node) readable(c *identity.Credential, resource string, r *http.Request, quiet bool) (string, error) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	resp := n.ingress.MayRead(c.Originator, resource, host)
	if resp.Status == onem2m.StatusOriginatorHasNoPrivilege && !quiet {
		n.ingress.Denied(evidence(r), binding.Denial{Reason: binding.NoPrivilege, Doing: "retrieve", To: resource})
	}
	if resp.Status != onem2m.StatusOK {
		return "", &httpError{resp.Status.HTTPStatus(), debugText(resp)}
	}
	var content map[string]struct {
		RI string `json:"ri"`
	}
	if err := json.Unmarshal(resp.Content, &content); err != nil {
		return "", err
	}
	for _, v := range content {
		return v.RI, nil
	}
	return "", errors.New("the resource has no ID")
}

func debugText(resp *onem2m.Response) string {
	var d struct {
		Text string `json:"m2m:dbg"`
	}
	json.Unmarshal(resp.Content, &d)
	return fmt.Sprintf("%d %s: %s", int(resp.Status), resp.Status, d.Text)
}

// StatusReport is what GET /-/status tells.
type StatusReport struct {
	Name      string    `json:"name"`
	Origin    string    `json:"origin"`
	Height    uint64    `json:"height"`
	BlockTime time.Time `json:"blockTime"`
	Committed uint64    `json:"committedEntries"`
	Published uint64    `json:"publishedEntries"`
	LogRoot   string    `json:"logRoot"`
	// What follows is for operators of the network.
	AppHash   string      `json:"appHash,omitempty"`
	LogBytes  int64       `json:"logBytes,omitempty"`
	Segments  int         `json:"segments,omitempty"`
	FreeBytes uint64      `json:"freeBytes,omitempty"`
	Listens   []Listening `json:"listens,omitempty"`

	Refusing string `json:"refusingWrites,omitempty"`
	Lab      bool   `json:"lab,omitempty"` // originators need no credential
	// Quarantined are the originators in quarantine: for operators, those of their organisation.
	Quarantined []string `json:"quarantined,omitempty"`
	// Events says how often each detector noticed something since the node started (GET /-/events), for operators.
	Events map[guard.Detector]uint64 `json:"events,omitempty"`
}

func (n *Node) serveStatus(w http.ResponseWriter, r *http.Request) {
	c := n.authenticated(w, r)
	if c == nil {
		return
	}
	h, st := n.app.Head(), n.app.Log().Stats()
	s := StatusReport{
		Name: n.cfg.Name, Origin: n.app.Genesis().Origin, Height: h.Height, BlockTime: time.UnixMicro(h.Time).UTC(),
		Committed: h.LogSize, Published: n.app.Published().Size, LogRoot: hex.EncodeToString(h.LogRoot[:]),
		Lab: n.app.Genesis().CSE.Lab,
	}
	for _, q := range n.quarantinesFor(c) {
		s.Quarantined = append(s.Quarantined, q.Originator)
	}
	if c.MayActFor("") {
		s.Events = n.guard.Counts()
		s.AppHash, s.LogBytes, s.Segments = hex.EncodeToString(h.AppHash[:]), st.SegmentBytes+st.HashBytes, st.Segments
		s.FreeBytes, s.Listens = n.disk.free.Load(), n.Listens()
	}
	if err := n.disk.refuse(); err != nil {
		s.Refusing = err.Error()
	}
	writeJSON(w, s)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(v)
}

// serveErase erases the payload of an instance: {"index":N}.
func (n *Node) serveErase(w http.ResponseWriter, r *http.Request) {
	var req ledger.OwnRequest
	if n.operator(w, r) && decodeBody(w, r, &req) && n.own(w, r, proof.OpErase, ledger.OwnRequest{Index: req.Index}) {
		w.WriteHeader(http.StatusNoContent)
	}
}

func decodeBody(w http.ResponseWriter, r *http.Request, v any) bool {
	return decodeBodyOf(w, r, v, 4096)
}

// decodeBodyOf decodes a body of at most limit bytes, or answers the request.
func decodeBodyOf(w http.ResponseWriter, r *http.Request, v any, limit int64) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		refuse(w, http.StatusBadRequest, "the body is not the JSON object expected: "+err.Error())
		return false
	}
	return true
}

// own orders one of the ledger's own operations and says whether it was committed; if not it has answered.
func (n *Node) own(w http.ResponseWriter, r *http.Request, op proof.Operation, req any) bool {
	return n.order(w, r, op, req) != nil
}

// order is own for an operation whose response has something to say; nil when it was not committed.
func (n *Node) order(w http.ResponseWriter, r *http.Request, op proof.Operation, req any) *onem2m.Response {
	content, err := json.Marshal(req)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return nil
	}
	resp := n.ingress.Own(r.Context(), op, content, evidence(r))
	if resp.Status >= 3000 {
		refuse(w, resp.Status.HTTPStatus(), debugText(resp))
		return nil
	}
	return resp
}
