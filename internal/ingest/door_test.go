package ingest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// door is a small CSE: a tree of names, in which everybody may do everything below an AE that is not "Cother"'s.
type door struct {
	mu        sync.Mutex
	resources map[string]onem2m.ResourceType // by structured address
	aes       map[string]string              // structured address by AE-ID
	labelled  map[string]bool
	stored    []string // "<address> <content>" of instances
	together  int      // calls of DoTogether
	before    func(d *door)
	lab       bool
}

const base = "tally"

func newDoor(resources ...string) *door {
	d := &door{resources: map[string]onem2m.ResourceType{base: onem2m.TypeCSEBase}, aes: map[string]string{}, labelled: map[string]bool{}}
	for _, r := range resources {
		ty := onem2m.TypeContainer
		switch {
		case strings.Count(r, "/") == 1:
			ty = onem2m.TypeAE
			d.aes["C"+strings.TrimPrefix(r, base+"/")] = r
		case strings.HasSuffix(r, "series"):
			ty = onem2m.TypeTimeSeries
		}
		d.resources[r] = ty
	}
	return d
}

// shown is the evidence of a device.
func shown(token string) binding.Evidence { return binding.Evidence{Token: token} }

func (d *door) Known(ev binding.Evidence) bool { return !ev.Anonymous() || d.lab }

func (d *door) Originator(ev binding.Evidence) (string, error) {
	return "C" + ev.Token, nil
}

func (d *door) structured(to string) string {
	first, rest, more := strings.Cut(to, "/")
	if a, ok := d.aes[first]; ok {
		if more {
			return a + "/" + rest
		}
		return a
	}
	return to
}

func (d *door) Labelled(to, label string) (bool, *onem2m.Response) {
	d.mu.Lock()
	defer d.mu.Unlock()
	to = d.structured(to)
	if _, ok := d.resources[to]; !ok {
		return false, refusal(onem2m.Errorf(onem2m.StatusNotFound, "%s", to))
	}
	return label == GETLabel && d.labelled[to], nil
}

func (d *door) Do(_ context.Context, req *onem2m.Request, _ binding.Evidence) *onem2m.Response {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.do(req)
}

func (d *door) Start(ctx context.Context, req *onem2m.Request, ev binding.Evidence, done func(*onem2m.Response)) {
	done(d.Do(ctx, req, ev))
}

func (d *door) do(req *onem2m.Request) *onem2m.Response {
	to := d.structured(req.To)
	parent, ok := d.resources[to]
	if !ok {
		return refusal(onem2m.Errorf(onem2m.StatusNotFound, "%s", to))
	}
	if req.Operation == onem2m.Retrieve {
		return &onem2m.Response{Status: onem2m.StatusOriginatorHasNoPrivilege} // a device may not be able to read
	}
	if strings.HasPrefix(to, base+"/other") && req.From != "Cother" {
		return &onem2m.Response{Status: onem2m.StatusOriginatorHasNoPrivilege}
	}
	_, members, err := onem2m.ParseContent(req.Content)
	if err != nil {
		return refusal(err)
	}
	name := ""
	for _, m := range members {
		if m.Name == "rn" {
			name, _ = onem2m.Unquote(m.Value)
		}
	}
	switch req.Type {
	case onem2m.TypeContentInstance, onem2m.TypeTimeSeriesInst:
		if (parent == onem2m.TypeTimeSeries) != (req.Type == onem2m.TypeTimeSeriesInst) {
			return &onem2m.Response{Status: onem2m.StatusInvalidChildResourceType}
		}
		d.stored = append(d.stored, to+" "+string(req.Content))
		return &onem2m.Response{Status: onem2m.StatusCreated}
	case onem2m.TypeAE:
		req.From = strings.TrimPrefix(req.From, "/tally/")
		if _, ok := d.aes[req.From]; ok {
			return &onem2m.Response{Status: onem2m.StatusOriginatorHasAlreadyRegistered}
		}
	}
	if _, ok := d.resources[to+"/"+name]; ok {
		return &onem2m.Response{Status: onem2m.StatusConflict}
	}
	if req.Type == onem2m.TypeAE {
		d.aes[req.From] = to + "/" + name
	}
	d.resources[to+"/"+name] = req.Type
	return &onem2m.Response{Status: onem2m.StatusCreated}
}

func (d *door) DoTogether(_ context.Context, reqs []*onem2m.Request, _ binding.Evidence) []onem2m.Response {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.together++
	if d.before != nil {
		d.before(d)
	}
	resources, aes, stored := d.resources, d.aes, d.stored
	d.resources, d.aes, d.stored = maps.Clone(resources), maps.Clone(aes), slices.Clone(stored)
	var each []onem2m.Response
	for _, req := range reqs {
		rsp := d.do(req)
		if rsp.Status != onem2m.StatusCreated {
			d.resources, d.aes, d.stored = resources, aes, stored
			return []onem2m.Response{*rsp}
		}
		each = append(each, *rsp)
	}
	return each
}

const noon = 1_795_435_200_000_000 // 2026-11-23T12:00:00Z, Unix microseconds

func (d *door) ingest() *Ingest {
	return New(Options{Door: d, Base: base, Now: func() int64 { return noon }})
}

func (d *door) post(path, mediaType, body string) *onem2m.Response {
	return d.ingest().Ingest(context.Background(), &binding.Message{Path: path, MediaType: mediaType, Body: []byte(body)}, shown("dev"))
}

func wantStatus(t *testing.T, what string, rsp *onem2m.Response, want onem2m.StatusCode) {
	t.Helper()
	if rsp.Status != want {
		t.Errorf("%s: %d %s, want %d", what, rsp.Status, rsp.Content, want)
	}
}

func wantStored(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: stored\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
