package ingress

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// Polling is where requests wait for AEs and CSEs that poll for them.
type Polling interface {
	// Poll waits until a request to owner is there, until ctx ends at most, and takes it; with aggregate, all that there
	// are. An error says that there is none.
	Poll(ctx context.Context, owner string, aggregate bool) ([]*onem2m.Request, error)
	// Answer hands on the response of owner to a request that it took. An error says that nobody waits for it.
	Answer(owner string, rsp *onem2m.Response) error
}

// maxPoll is how long a poll may wait at most. Proxies, and this node's own HTTP server, give up after a minute.
const maxPoll = 50 * time.Second

// poll meets a request to a pollingChannelURI: it waits for requests to the owner of the channel, or hands on the
// response to one (TS-0004 clause 7.4.22.2). No block is needed for either.
func (g *Ingress) poll(ctx context.Context, req *onem2m.Request, p *cse.Poll, resp *onem2m.Response) *onem2m.Response {
	if p.Answer != nil {
		if err := g.o.Polling.Answer(p.Owner, p.Answer); err != nil {
			return failure(onem2m.StatusNotFound, "hand on the response: "+err.Error())
		}
		return resp
	}
	ctx, cancel := context.WithTimeout(ctx, min(g.patience(req), maxPoll))
	defer cancel()
	got, err := g.o.Polling.Poll(ctx, p.Owner, p.Aggregate)
	if err != nil {
		return failure(onem2m.StatusRequestTimeout, "poll: "+err.Error())
	}
	resp.Content = polled(got, p.Aggregate)
	return resp
}

// polled is the content of the response to a poll: one request primitive, or a list of them (m2m:aggregatedRequest).
func polled(reqs []*onem2m.Request, aggregate bool) []byte {
	if !aggregate {
		return append(onem2m.AppendRequest([]byte(`{"m2m:rqp":`), reqs[0]), '}')
	}
	dst := []byte(`{"m2m:agrp":[`)
	for i, r := range reqs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = onem2m.AppendRequest(dst, r)
	}
	return append(dst, ']', '}')
}

// patience is how long the originator of a request that passed the core's checks waits for other machines: until the
// request expires, else Timeout.
func (g *Ingress) patience(req *onem2m.Request) time.Duration {
	if req.RequestExpiration != "" {
		if until, err := onem2m.ParseAbsRel(req.RequestExpiration, time.Now().UnixMicro()); err == nil {
			return time.Until(time.UnixMicro(until))
		}
	}
	return g.Timeout()
}
