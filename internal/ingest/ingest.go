// Package ingest serves devices that speak no oneM2M: what they send becomes contentInstances of a container, or
// timeSeriesInstances of a timeSeries. It makes oneM2M requests of a message and hands them to ingress, which decides
// about rights as for any other request; a message is committed as a whole or not at all.
//
// # Content
//
// A message becomes one instance, with the body as its content (con), always a string, so that numbers stay the text
// that they came as; contentInfo (cnf) has the media type and how the content is encoded: 0 plain for text and JSON, 1
// base64 for everything else (TS-0004 table 6.3.3-1). Some media types are packs and become an instance a record: SenML
// (RFC 8428) in JSON and CBOR, whose records are resolved first so that each says all by itself, and lines of JSON.
//
// # What is made on the way
//
// Containers of the path that do not exist are created together with the instance, in one unit, as far as the
// originator may. So is the originator's own AE, when its AE-ID has none yet and the path starts with that AE-ID, or
// with it without its C or S.
package ingest

import (
	"context"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// Door is what serves the requests that are made of messages: ingress.
type Door interface {
	binding.Handler
	binding.Starter
	// DoTogether executes requests of which either all are committed or none. It returns a response each, or a single
	// one, the first refusal.
	DoTogether(ctx context.Context, reqs []*onem2m.Request, ev binding.Evidence) []onem2m.Response
	// Originator gives the AE-ID that a credential is for. Errors are *onem2m.Error.
	Originator(ev binding.Evidence) (string, error)
	// Labelled says whether the resource at an address has a label, whoever asks. The response is a refusal.
	Labelled(to, label string) (bool, *onem2m.Response)
}

// GETLabel is the label (lbl) of a container that takes readings as parameters of a GET. A GET that writes is repeated
// by caches, crawlers and previews that never ask, so each container has to allow it.
const GETLabel = "tally:ingest-get"

// attempts bounds how often a message is tried again because others made, or removed, what it needs.
const attempts = 4

// Options of an Ingest.
type Options struct {
	Door Door
	Base string // the resource name of the CSEBase
	// Now is the time of receipt, Unix microseconds; nil means this machine's clock. Relative times in a message count
	// from it. It is content and decides nothing, so nodes need not agree on it.
	Now func() int64
}

// Ingest implements binding.Plain and binding.PlainStarter.
type Ingest struct {
	o Options

	mu    sync.Mutex
	lanes map[lane][]waiting // what waits behind a message that takes a goroutine; see Start
}

// New returns an Ingest.
func New(o Options) *Ingest {
	if o.Now == nil {
		o.Now = func() int64 { return time.Now().UnixMicro() }
	}
	return &Ingest{o: o, lanes: make(map[lane][]waiting)}
}

// delivery is one message on its way.
type delivery struct {
	m        *binding.Message
	evidence binding.Evidence
	from     string   // the originator
	path     []string // resource names below the CSEBase
	now      int64    // time of receipt, Unix microseconds
	pack     []content
	series   bool // the target is a timeSeries
}

// Ingest implements binding.Plain.
func (g *Ingest) Ingest(ctx context.Context, m *binding.Message, ev binding.Evidence) *onem2m.Response {
	d, err := g.read(m, ev)
	if err != nil {
		return refusal(err)
	}
	return g.deliver(ctx, d)
}

// read checks a message and splits it into instances.
func (g *Ingest) read(m *binding.Message, ev binding.Evidence) (*delivery, error) {
	d := &delivery{m: m, evidence: ev, from: m.From, now: g.o.Now()}
	if !ev.Anonymous() {
		id, err := g.o.Door.Originator(ev)
		if err != nil {
			if e, ok := err.(*onem2m.Error); ok && e.Status != onem2m.StatusInternalServerError {
				d.denied(g.o.Door)
			}
			return nil, err
		}
		if d.from == "" {
			d.from = id
		}
	} else if !g.o.Door.Known(ev) {
		d.denied(g.o.Door)
		if why := binding.Refusal(g.o.Door, ev); why != nil {
			return nil, why
		}
		return nil, onem2m.Errorf(onem2m.StatusSecurityAssociationRequired, "a valid bearer token is required (tally device enrol makes one)")
	}
	var err error
	if d.path, err = splitPath(m.Path); err != nil {
		return nil, err
	}
	if m.Query != "" {
		d.pack, err = fromQuery(m.Query)
	} else {
		d.pack, err = fromBody(m.MediaType, m.Body, d.now)
	}
	if err == nil {
		err = checkSize(d.pack)
	}
	return d, err
}

// denied tells of a message whose sender is not known.
func (d *delivery) denied(door Door) {
	binding.Denied(door, d.evidence, binding.Denial{
		Reason: binding.BadCredential, Doing: binding.Doing(onem2m.Create), From: d.m.From, To: d.m.Path,
	})
}

// deliver stores the instances below the first address that exists, or else makes what is missing.
func (g *Ingest) deliver(ctx context.Context, d *delivery) *onem2m.Response {
	var rsp *onem2m.Response
	for range attempts {
		for _, base := range g.addresses(d) {
			if rsp = g.store(ctx, d, nil, base); !missing(rsp) {
				return rsp
			}
		}
		if d.m.Query != "" {
			return refusal(onem2m.Errorf(onem2m.StatusNotFound, "container %s does not exist, and a GET makes none", d.m.Path))
		}
		made, base, refused := g.makeMissing(ctx, d)
		if refused == nil {
			rsp = g.store(ctx, d, made, base)
		} else if rsp = refused; missing(rsp) {
			g.look(ctx, d, g.addresses(d)[0]) // in his name, so that who looks for what there is gets noticed
			return rsp
		}
		switch rsp.Status {
		case onem2m.StatusConflict, onem2m.StatusOriginatorHasAlreadyRegistered, onem2m.StatusNotFound:
			// Somebody else made, or removed, some of it meanwhile.
		default:
			return rsp
		}
	}
	return rsp
}

// store creates what is missing, and the instances below base, the address of what the first segment of the path names.
func (g *Ingest) store(ctx context.Context, d *delivery, made []*onem2m.Request, base string) *onem2m.Response {
	to := below(base, d.path[1:])
	if d.m.Query != "" {
		if refused := g.mayGet(d, to); refused != nil {
			return refused
		}
	}
	if len(made) == 0 && d.m.Query == "" {
		ctx = binding.Trying(ctx)
	}
	rsp := g.send(ctx, d, made, to)
	if rsp.Status == onem2m.StatusInvalidChildResourceType && len(made) == 0 {
		// What cannot hold contentInstances may be a timeSeries. Only this one look, which costs no block, can tell.
		d.series = !d.series
		if other := g.send(ctx, d, nil, to); other.Status != onem2m.StatusInvalidChildResourceType || !d.series {
			return other
		}
		d.series = false // who is refused is told about contentInstances
	}
	return rsp
}

func (g *Ingest) send(ctx context.Context, d *delivery, made []*onem2m.Request, to string) *onem2m.Response {
	if len(made) == 0 && len(d.pack) == 1 {
		return g.o.Door.Do(ctx, d.instance(to, 0), d.evidence)
	}
	reqs := made
	for i := range d.pack {
		reqs = append(reqs, d.instance(to, i))
	}
	reqs[0].Delivery = d.m.Delivery
	each := g.o.Door.DoTogether(ctx, reqs, d.evidence)
	return &each[len(each)-1]
}

// mayGet refuses a GET on what does not take readings that way.
func (g *Ingest) mayGet(d *delivery, to string) *onem2m.Response {
	ok, refused := g.o.Door.Labelled(to, GETLabel)
	if refused == nil && !ok {
		refused = refusal(onem2m.Errorf(onem2m.StatusOperationNotAllowed, "container %s takes no readings by GET; POST them, or give the container the label %s", d.m.Path, GETLabel))
	}
	return refused
}

// request is a CREATE on behalf of the originator. It asks for no content, which nobody would read.
func (d *delivery) request(to string, ty onem2m.ResourceType, content []byte) *onem2m.Request {
	return &onem2m.Request{
		Operation: onem2m.Create, To: to, From: d.from, RequestID: "-", ReleaseVersion: "4", Type: ty, Content: content,
		ResultContent: onem2m.ResultContentNothing, SourceIP: d.m.SourceIP,
	}
}

// instance is the request that stores record i of the message.
func (d *delivery) instance(to string, i int) *onem2m.Request {
	req := d.request(to, onem2m.TypeContentInstance, nil)
	c := &d.pack[i]
	if d.series {
		req.Type = onem2m.TypeTimeSeriesInst
		req.Content = c.timeSeriesInstance(d.now)
	} else {
		req.Content = c.contentInstance()
	}
	if i == 0 {
		req.Delivery = d.m.Delivery
	}
	return req
}

func missing(rsp *onem2m.Response) bool { return rsp.Status == onem2m.StatusNotFound }

// refusal is the response that an error of this package is.
func refusal(err error) *onem2m.Response {
	status, why := onem2m.StatusBadRequest, err.Error()
	if e, ok := err.(*onem2m.Error); ok {
		status, why = e.Status, e.Message
	}
	return &onem2m.Response{Status: status, Content: append(onem2m.AppendQuote([]byte(`{"m2m:dbg":`), why), '}')}
}
