// Package ingress is the one door to the ledger: every binding hands its requests to it. It authenticates, asks the
// core's access control before anything is ordered, coalesces concurrent writes into batches, and wakes each waiter
// with its result when it is committed. Reads are answered from committed state.
package ingress

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/guard"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/internal/mobius"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// Outside is how ingress reaches other machines on behalf of a request, before it is ordered. Targets are URLs, or
// resource IDs or structured addresses of AEs and CSEs. Errors may be shown to the originator of the request.
type Outside interface {
	// Verify asks all targets by a NOTIFY request whether they want a subscription (TS-0004 clause 7.4.8.2.1).
	Verify(ctx context.Context, targets []string, req *onem2m.Request) error
	// Request sends a request to the first of the targets that answers, and gives the response, whatever its status is.
	// An error means that none of them can be reached. A NOTIFY request that names no target gets that of its address.
	Request(ctx context.Context, targets []string, req *onem2m.Request) (*onem2m.Response, error)
	// Tell sends a NOTIFY request to each of the targets, once, and waits for nothing.
	Tell(targets []string, req *onem2m.Request)
}

// Options of an ingress.
type Options struct {
	App     *ledger.App
	Submit  func(tx []byte) error // hands a signed batch to the mempool
	Outside Outside
	Polling Polling
	// Refuse says why writes are not accepted at the moment, nil when they are; asked for every write, so it is cheap.
	Refuse func() error
	// Settle waits until the notifications that were committed have been sent once, for a short time at most. It is asked
	// before a DELETE is answered, nil for not at all.
	Settle func(ctx context.Context)
	// Guard has quotas and watches for abuse, nil for none.
	Guard *guard.Guard
	// Timeout bounds the wait for a commit, 30 s when zero.
	Timeout time.Duration
}

// Ingress serves the bindings. It is safe for concurrent use.
type Ingress struct {
	o         Options
	auth      authenticator
	passed    passed
	deadlines deadlines
	pending   *coalescer
	denials   *denials
	watch     watch
	clock     chan struct{} // closed when keepTime has ended
	// signatures are those of devices that are being verified.
	signatures signatures
	updates    turns
	transits   transits
	// consultations are the dynamic authorizations under way.
	consultations consultations
	// timeout bounds the wait of a request that says nothing about it, a time.Duration.
	timeout atomic.Int64
	// persistence is how long the <request> of a request is kept that says nothing about it, a time.Duration; 0 leaves
	// that to the core.
	persistence atomic.Int64
	later       atomic.Int64 // blocking requests that wait for their operation execution time
}

// New returns an ingress. Fill and Committed must be set as the ledger's callbacks.
func New(o Options) *Ingress {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	g := &Ingress{o: o, watch: newWatch(), clock: make(chan struct{})}
	g.auth = authenticator{app: o.App, now: g.now}
	g.timeout.Store(int64(o.Timeout))
	g.pending = newCoalescer(o.App, o.Submit)
	g.denials = newDenials(o.App.Name, g.tell)
	go g.keepTime()
	go g.denials.run()
	go g.keepWatch()
	return g
}

// Fill is the ledger's Options.Fill.
func (g *Ingress) Fill(maxBytes int, own []uint64) []byte { return g.pending.fill(maxBytes, own) }

// Committed is the ledger's Options.Committed.
func (g *Ingress) Committed(height uint64, results []ledger.Result) {
	g.pending.committed(height, results)
	g.watch.committed(g.o.App.IdentityVersion())
}

// Close fails all waiting requests. Writes after it are refused.
func (g *Ingress) Close() {
	g.denials.close()
	g.pending.close(errStopping)
	g.deadlines.stop()
	<-g.clock
	<-g.denials.ended
	<-g.watch.ended
}

// Timeout is how long a request may wait that has no request expiration timestamp.
func (g *Ingress) Timeout() time.Duration { return time.Duration(g.timeout.Load()) }

// SetTimeout changes Timeout and returns the one before. It changes nothing for requests that wait already.
func (g *Ingress) SetTimeout(d time.Duration) time.Duration {
	return time.Duration(g.timeout.Swap(int64(d)))
}

// SetPersistence changes how long the <request> resources are kept of requests that say nothing about it; 0 leaves that
// to the core again.
func (g *Ingress) SetPersistence(d time.Duration) { g.persistence.Store(int64(d)) }

var (
	errStopping = errors.New("the node is stopping")
	errBusy     = errors.New("the node is busy: its queue of requests waiting for a block is full; try again later")
)

// Do executes one request of the client that showed ev and returns when it is answered: a write not before it is
// committed. It implements the bindings' Handler.
func (g *Ingress) Do(ctx context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
	g.adapt(req)
	expiration := req.ResultExpiration // as the client wrote it
	resp := g.do(ctx, req, ev)
	if g.o.App.Genesis().CSE.Mobius {
		mobius.Response(resp)
	}
	echo(resp, req, expiration)
	return resp
}

// echo writes the parameters of a request into its response that come back as they were (TS-0004 clause 6.4.2).
func echo(resp *onem2m.Response, req *onem2m.Request, resultExpiration string) {
	resp.RequestID, resp.ReleaseVersion = req.RequestID, req.ReleaseVersion
	resp.ResultExpiration, resp.EventCategory = resultExpiration, req.EventCategory
}

// adapt makes of a request what the standard has, in a network that admits clients written for Mobius. Doing it again
// changes nothing.
func (g *Ingress) adapt(req *onem2m.Request) {
	if cfg := &g.o.App.Genesis().CSE; cfg.Mobius && !onem2m.IsSigned(req.VendorInformation) { // what is signed stays as it is
		mobius.Request(req, cfg.Name, cfg.CSEID)
	}
}

func (g *Ingress) do(ctx context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
	core := g.o.App.Core()
	if core == nil {
		return errNoBlock()
	}
	if binding.IsAsking(ctx) {
		return g.asked(ctx, core, req, ev)
	}
	cred, refused := g.identify(req, ev)
	if refused != nil {
		return refused
	}
	pass, refused := g.admit(ctx, req, cred, ev, 1)
	if refused != nil {
		return refused
	}
	withoutCredentials(req)
	resp := g.perform(ctx, core, req, cred, ev)
	endPass(&pass, resp.Status, binding.IsTrying(ctx))
	g.noteDenied(req, cred, ev, resp)
	return resp
}

// asked is do for what a binding asks by itself, to find out what a client may get. A refusal is no doing of the client's:
// it counts for nothing and is noted nowhere.
func (g *Ingress) asked(ctx context.Context, core *cse.Core, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
	if !ev.Anonymous() && !g.lives(&watched{showing: showing{ev: ev}}) {
		return failure(onem2m.StatusSecurityAssociationRequired, ErrNoCredential.Error())
	}
	cred, refused := g.recognise(req, ev)
	switch {
	case refused != nil:
		return refused
	case binding.IsHurried(ctx): // no server is asked for dynamic authorization: others wait for this
		return g.once(ctx, core, req, cred, ev)
	}
	return g.perform(ctx, core, req, cred, ev)
}

// perform does what a request asks for whose originator is known.
func (g *Ingress) perform(ctx context.Context, core *cse.Core, req *onem2m.Request, cred *identity.Credential, ev binding.Evidence) *onem2m.Response {
	target, away := g.elsewhere(req.To)
	if away && (!cse.NonBlocking(req) || !g.registered(req)) {
		return g.transit(ctx, core, req, target, cred)
	}
	if req.OperationExecution != "" && !cse.NonBlocking(req) {
		if refused := g.await(ctx, core, req); refused != nil {
			return refused
		}
		var refused *onem2m.Response
		if cred, refused = g.recognise(req, ev); refused != nil { // its credential may have ended meanwhile
			return refused
		}
	}
	if !away {
		if refused := g.present(core, req); refused != nil {
			return refused
		}
	}
	if cse.NonBlocking(req) {
		return g.nonBlocking(ctx, core, req, cred)
	}
	resp := g.once(ctx, core, req, cred, ev)
	if g.consult(ctx, core, req, resp) {
		resp = g.once(ctx, core, req, cred, ev)
	}
	g.askFarMembers(ctx, core, req, resp, cred)
	return resp
}

// once executes a blocking request for this CSE.
func (g *Ingress) once(ctx context.Context, core *cse.Core, req *onem2m.Request, cred *identity.Credential, ev binding.Evidence) *onem2m.Response {
	if req.Operation == onem2m.Retrieve || req.Operation == onem2m.Notify {
		return g.read(ctx, core, req, ev)
	}
	return g.write(ctx, core, req, cred)
}

func errNoBlock() *onem2m.Response {
	return failure(onem2m.StatusInternalServerError, "the network has no block yet; try again in a moment")
}

// identify finds who a request is from and writes it in its local form into the request. In a lab network whoever shows
// nothing is who he says he is; his credential has no ID. A refusal is noted.
func (g *Ingress) identify(req *onem2m.Request, ev binding.Evidence) (*identity.Credential, *onem2m.Response) {
	claimed := req.From
	cred, refused := g.recognise(req, ev)
	if refused != nil {
		g.noteUnidentified(claimed, req, ev, refused)
	}
	return cred, refused
}

func (g *Ingress) recognise(req *onem2m.Request, ev binding.Evidence) (*identity.Credential, *onem2m.Response) {
	if onem2m.IsSigned(req.VendorInformation) {
		return g.identifySigner(req, ev)
	}
	if ev.Anonymous() && g.o.App.Genesis().CSE.Lab {
		req.From = g.local(req.From)
		if cfg := &g.o.App.Genesis().CSE; req.From == cfg.CSEID {
			if req.Operation == onem2m.Create && req.Type == onem2m.TypeAE {
				return nil, failure(onem2m.StatusSecurityAssociationRequired, "a CSE cannot register as an AE")
			}
			req.From = cfg.Admin // suites use the CSE's ID so; what is ordered as the CSE's own request is not for them
		}
		if q := g.o.App.Quarantined(req.From); q != nil {
			return nil, shutOut(q)
		}
		return &identity.Credential{Originator: req.From}, nil
	}
	cred, err := g.auth.authenticate(ev)
	if q := quarantined(err); q != nil {
		return nil, shutOut(q)
	}
	if err != nil {
		return nil, failure(onem2m.StatusInternalServerError, "check the credential: "+err.Error())
	}
	if cred == nil {
		g.failed(ev, req.From)
		why, _ := g.unknown(ev)
		return nil, failure(why.Status, why.Message)
	}
	if req.From == "" && req.Operation == onem2m.Create && req.Type == onem2m.TypeAE {
		req.From = cred.Originator
	}
	if req.From == "" {
		return nil, failure(onem2m.StatusBadRequest, "the request names no originator (fr)")
	}
	if cred.Originator[0] == '/' {
		return g.identifyCSE(req, cred)
	}
	if !g.claims(req.From, cred.Originator) {
		g.failed(ev, req.From)
		return nil, failure(onem2m.StatusOriginatorHasNoPrivilege, fmt.Sprintf("the originator %q is not who the credential is for", req.From))
	}
	req.From = cred.Originator
	return cred, nil
}

// identifyCSE finds who a request is from that comes from another CSE: itself, or somebody behind it.
func (g *Ingress) identifyCSE(req *onem2m.Request, cred *identity.Credential) (*identity.Credential, *onem2m.Response) {
	req.From = g.local(req.From)
	if req.From == cred.Originator {
		return cred, nil
	}
	view := g.o.App.View()
	ok, err := g.o.App.Core().SpeaksFor(view, cred.Originator, req.From, g.now())
	view.Close()
	switch {
	case err != nil:
		return nil, failure(onem2m.StatusInternalServerError, "check the originator: "+err.Error())
	case !ok:
		return nil, failure(onem2m.StatusOriginatorHasNoPrivilege, fmt.Sprintf("the originator %q is not behind the CSE that the credential is for", req.From))
	}
	if q := g.o.App.Quarantined(req.From); q != nil {
		return nil, shutOut(q)
	}
	return cred, nil
}

// claims says whether an originator as claimed is the authenticated one, in CSE-relative, SP-relative or absolute form
// (TS-0003 clause 7.2).
func (g *Ingress) claims(claimed, proven string) bool {
	return claimed == proven || g.local(claimed) == proven
}

// local reduces an originator's ID in SP-relative or absolute form to the CSE-relative one, if it is of this CSE, and
// an absolute one to the SP-relative one, if it is of this service provider (TS-0001 table 7.2-1).
func (g *Ingress) local(id string) string {
	cfg := &g.o.App.Genesis().CSE
	if rest, ok := strings.CutPrefix(id, cfg.SPID+"/"); ok {
		id = "/" + rest
	}
	if rest, ok := strings.CutPrefix(id, cfg.CSEID+"/"); ok && rest != "" {
		return rest
	}
	return id
}

// read answers a request that changes nothing. A poll ends with the credential that ev shows.
func (g *Ingress) read(ctx context.Context, core *cse.Core, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
	view := g.o.App.View()
	res := core.Read(view, req, cse.Env{Time: g.now(), Statistics: g.o.App.Statistics})
	view.Close()
	if res.Err != nil {
		return failure(onem2m.StatusInternalServerError, "read the resource tree: "+res.Err.Error())
	}
	if res.Poll != nil {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer g.watchRequest(req, ev, cancel)()
		return g.poll(ctx, req, res.Poll, &res.Response)
	}
	for i := range res.Events {
		e := &res.Events[i]
		if e.Subscription != "" {
			g.o.Outside.Tell(e.Targets, notification(e))
			continue
		}
		rsp, err := g.o.Outside.Request(ctx, e.Targets, notification(e))
		if err != nil {
			return failure(onem2m.StatusTargetNotReachable, "deliver the notification: "+err.Error())
		}
		if res.Response.Content == nil { // else it has what the members of a group answered
			res.Response.Status, res.Response.Content = rsp.Status, rsp.Content
		}
	}
	return &res.Response
}

// notification is the NOTIFY request of an event.
func notification(e *cse.Event) *onem2m.Request {
	return &onem2m.Request{
		Operation: onem2m.Notify, From: e.Originator, Content: e.Content, EventCategory: e.Category,
		ResultContent: onem2m.ResultContentDefault,
	}
}

// now is the time that reads are judged by: this node's clock, but never before the last block.
func (g *Ingress) now() int64 { return max(time.Now().UnixMicro(), g.o.App.Head().Time) }

func (g *Ingress) write(ctx context.Context, core *cse.Core, req *onem2m.Request, cred *identity.Credential) *onem2m.Response {
	if err := g.o.Refuse(); err != nil {
		return failure(onem2m.StatusInternalServerError, err.Error())
	}
	if resp := g.check(core, req); resp != nil {
		return resp
	}
	it := newItem(req, cred)
	release, refused := g.agree(ctx, core, req, &it)
	if refused != nil {
		return refused
	}
	defer release()
	resp := g.submit(ctx, req, it)
	if req.Operation == onem2m.Delete && g.o.Settle != nil {
		g.o.Settle(ctx)
	}
	return resp
}

// newItem makes what is ordered of a request.
func newItem(req *onem2m.Request, cred *identity.Credential) ledger.Item {
	it := ledger.Item{
		Operation: proof.Operation(req.Operation), From: req.From, To: req.To, Type: req.Type, Content: req.Content,
		ResultContent: req.ResultContent, DesiredIDType: req.DesiredIDType,
		Filter: req.Filter, Release: req.ReleaseVersion, Delivery: req.Delivery, RoleIDs: req.RoleIDs, TokenIDs: req.TokenIDs,
		Signature: req.Signature,
	}
	if cred.Kind != 0 {
		it.Key = cred.ID()
	}
	if req.SourceIP != "" {
		it.SourceIP, _ = netip.ParseAddr(req.SourceIP)
	}
	return it
}

// check refuses at once what execution would refuse, so that it never costs a place in a block; of an instance for a
// container that the originator may write to as of late, it leaves the content to execution. A message that was
// committed when it was delivered before is left to execution, which answers it as then: asking for the same once more
// would be refused, because the name is taken for example.
func (g *Ingress) check(core *cse.Core, req *onem2m.Request) *onem2m.Response {
	now := g.now()
	way, known := passageOf(req)
	version := g.o.App.StructureVersion() // before the view, which is not older then
	if known && g.passed.has(way, version, now) {
		return core.CheckPrimitive(req, now)
	}
	view := g.o.App.View()
	defer view.Close()
	refused := core.Check(view, req, cse.Env{Time: now, MayRegister: true})
	switch {
	case refused != nil && g.delivered(req):
		return nil
	case refused == nil && known:
		g.passed.add(way, version, now)
	}
	return refused
}

// delivered says whether a message that its client sends again was committed before. A record that cannot be read counts
// as none: the request is refused then for what it was refused for.
func (g *Ingress) delivered(req *onem2m.Request) bool {
	if req.Delivery == nil || !req.Delivery.Again {
		return false
	}
	was, err := g.o.App.Delivered(req.From, req.Delivery)
	return was && err == nil
}

// submit queues an item and waits for its commit.
func (g *Ingress) submit(ctx context.Context, req *onem2m.Request, it ledger.Item) *onem2m.Response {
	each, refused := g.submitAll(ctx, req, it)
	if refused != nil {
		return refused
	}
	return &each[0]
}

// deadline is how long a request may wait for its commit (TS-0004 clause 7.3.2.2, request expiration).
func (g *Ingress) deadline(req *onem2m.Request) (time.Duration, *onem2m.Response) {
	d := g.Timeout()
	if req.RequestExpiration != "" {
		t, err := onem2m.ParseAbsRel(req.RequestExpiration, time.Now().UnixMicro())
		if err != nil {
			return 0, failure(onem2m.StatusBadRequest, "request expiration timestamp: "+err.Error())
		}
		d = min(d, time.Until(time.UnixMicro(t)))
	}
	if d <= 0 {
		return 0, failure(onem2m.StatusRequestTimeout, "the request had expired when it arrived")
	}
	return d, nil
}

// submitAll queues items, of which all are done or none, and waits for their commit. They have one expiration: req's.
func (g *Ingress) submitAll(ctx context.Context, req *onem2m.Request, items ...ledger.Item) (each []onem2m.Response, refused *onem2m.Response) {
	deadline, refused := g.deadline(req)
	if refused != nil {
		return nil, refused
	}
	for i := range items {
		if err := items[i].Check(); err != nil {
			return nil, failure(onem2m.StatusBadRequest, "the request has "+err.Error())
		}
	}
	w, err := g.pending.add(items...)
	if err != nil {
		return nil, failure(onem2m.StatusInternalServerError, err.Error())
	}
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	select {
	case each := <-w.done:
		g.pending.release(w)
		return each, nil
	case <-timer.C:
		w.gone.Store(true)
		return nil, notInTime()
	case <-ctx.Done():
		w.gone.Store(true)
		return nil, failure(onem2m.StatusRequestTimeout, "the client went away")
	}
}

// Own executes one of the ledger's own operations (enrol, revoke, erase) for who shows an operator's credential.
func (g *Ingress) Own(ctx context.Context, op proof.Operation, content []byte, ev binding.Evidence) *onem2m.Response {
	cred, err := g.Authenticate(ev)
	if err != nil {
		g.Denied(ev, binding.Denial{Reason: binding.BadCredential, Doing: ownName(op)})
		return failure(onem2m.StatusSecurityAssociationRequired, err.Error())
	}
	if cred.Role != identity.Operator {
		g.Denied(ev, binding.Denial{Reason: binding.NoPrivilege, Doing: ownName(op), From: cred.Originator})
		return failure(onem2m.StatusOriginatorHasNoPrivilege, cred.Originator+" is no operator")
	}
	if err := g.o.Refuse(); err != nil {
		return failure(onem2m.StatusInternalServerError, err.Error())
	}
	resp := g.submit(ctx, &onem2m.Request{}, ledger.Item{
		Operation: op, From: cred.Originator, Content: content, Key: cred.ID(),
		ResultContent: onem2m.ResultContentDefault, Release: "4",
	})
	if forRights(resp.Status) {
		g.denials.note(ev, binding.Denial{Reason: binding.NoPrivilege, Doing: ownName(op), From: cred.Originator}, cred)
	}
	return resp
}

// AsCSE executes a RETRIEVE, CREATE or UPDATE of the CSE itself, which owns the <remoteCSE> of its registrar and nothing
// else.
func (g *Ingress) AsCSE(ctx context.Context, req *onem2m.Request) *onem2m.Response {
	core := g.o.App.Core()
	if core == nil {
		return errNoBlock()
	}
	req.From = g.o.App.Genesis().CSE.CSEID
	if req.Operation == onem2m.Retrieve {
		return g.read(ctx, core, req, binding.Evidence{})
	}
	return g.write(ctx, core, req, &identity.Credential{Originator: req.From})
}

// Reset takes a lab network's resources back to what they were at genesis, as one ordered operation.
func (g *Ingress) Reset(ctx context.Context) *onem2m.Response {
	cfg := &g.o.App.Genesis().CSE
	if !cfg.Lab {
		return failure(onem2m.StatusOperationNotAllowed, "only a lab network can be reset")
	}
	if err := g.o.Refuse(); err != nil {
		return failure(onem2m.StatusInternalServerError, err.Error())
	}
	return g.submit(ctx, &onem2m.Request{}, ledger.Item{
		Operation: proof.OpReset, From: cfg.Admin, Content: []byte("{}"), ResultContent: onem2m.ResultContentDefault, Release: "4",
	})
}

// ErrNoCredential means that what a client showed is no valid credential.
var ErrNoCredential = errors.New("a valid bearer token is required (tally device enrol makes one)")

// Authenticate returns the credential of what a client showed, ErrNoCredential when it is none, and a
// *ledger.Quarantine when its originator is in quarantine.
func (g *Ingress) Authenticate(ev binding.Evidence) (*identity.Credential, error) {
	cred, err := g.auth.authenticate(ev)
	if err == nil && cred == nil {
		g.failed(ev, "")
		err = ErrNoCredential
	}
	return cred, err
}

// MayRead says whether an originator may retrieve a resource, given by any address: the one authoriser's answer for
// what is no oneM2M request, such as a proof bundle. It could name no roles, so all count that the originator was given.
func (g *Ingress) MayRead(originator, to, sourceIP string) *onem2m.Response {
	core := g.o.App.Core()
	if core == nil {
		return failure(onem2m.StatusNotFound, "the network has no block yet")
	}
	req := &onem2m.Request{
		Operation: onem2m.Retrieve, To: to, From: originator, RequestID: "-", ReleaseVersion: "4",
		ResultContent: onem2m.ResultContentAttributes, SourceIP: sourceIP,
	}
	view := g.o.App.View()
	defer view.Close()
	res := core.Read(view, req, cse.Env{Time: g.now(), AllRoles: true})
	switch {
	case res.Err != nil:
		return failure(onem2m.StatusInternalServerError, "read the resource tree: "+res.Err.Error())
	case res.Poll != nil:
		return failure(onem2m.StatusNotFound, "a pollingChannelURI is no resource that is kept")
	}
	return &res.Response
}

func failure(status onem2m.StatusCode, why string) *onem2m.Response {
	content := onem2m.AppendQuote([]byte(`{"m2m:dbg":`), why)
	return &onem2m.Response{Status: status, Content: append(content, '}')}
}

func newSeed() (s [32]byte) {
	rand.Read(s[:])
	return s
}
