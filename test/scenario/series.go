package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// Series is one device that sends readings numbered 0, 1, 2 and so on to a container of its own, and knows which of
// them were acknowledged. It is for one goroutine at a time.
type Series struct {
	Client    *client.Client
	Container string
	ID        string // AE-ID

	next    int
	acked   map[int]string // reading's number -> resource ID
	checked int            // readings compared so far
	last    int            // number of the newest reading compared, -1 before the first
}

// NewSeries enrols a device and makes its AE and container.
func NewSeries(tb testing.TB, n *Network, name string) *Series {
	tb.Helper()
	s := &Series{ID: "C" + name, Container: "tally/" + name + "/readings", acked: make(map[int]string), last: -1}
	s.Client = n.Enrol(tb, s.ID)
	tb.Cleanup(s.Client.Close)
	_, err := s.Client.Create(tb.Context(), "tally", onem2m.TypeAE, map[string]any{"m2m:ae": map[string]any{
		"rn": name, "api": "Nscenario", "rr": false, "srv": []string{"4"}}})
	if err != nil {
		tb.Fatalf("register %s: %v", name, err)
	}
	_, err = s.Client.Create(tb.Context(), "tally/"+name, onem2m.TypeContainer, map[string]any{"m2m:cnt": map[string]any{"rn": "readings"}})
	if err != nil {
		tb.Fatalf("make the container of %s: %v", name, err)
	}
	return s
}

// Send sends the next reading. A number is used once, whatever comes of it.
func (s *Series) Send(ctx context.Context) error {
	n := s.next
	s.next++
	b, err := s.Client.Create(ctx, s.Container, onem2m.TypeContentInstance, map[string]any{"m2m:cin": map[string]any{"con": strconv.Itoa(n)}})
	if err != nil {
		return err
	}
	var r instances
	if err := json.Unmarshal(b, &r); err != nil {
		return fmt.Errorf("decode the response %s: %w", b, err)
	}
	if r.Instance.RI == "" {
		return fmt.Errorf("the response %s has no resource ID", b)
	}
	s.acked[n] = r.Instance.RI
	return nil
}

// Acked returns how many readings were acknowledged.
func (s *Series) Acked() int { return len(s.acked) }

// Sent returns how many readings were sent.
func (s *Series) Sent() int { return s.next }

type instance struct {
	RI  string `json:"ri"`
	Con string `json:"con"`
}

type instances struct {
	Instance  instance `json:"m2m:cin"`
	Container struct {
		Count    int        `json:"cni"`
		Children []instance `json:"m2m:cin"`
	} `json:"m2m:cnt"`
}

// Check requires that every acknowledged reading is in the container, once, in the order of sending, and that
// readings which were not acknowledged are there at most once. From start on it compares everything, else only what
// came since the last check.
func (s *Series) Check(tb testing.TB, fromStart bool) {
	tb.Helper()
	if fromStart {
		s.checked, s.last = 0, -1
	}
	acked := 0 // among those compared now
	from := s.last
	const page = 500
	for {
		b, err := s.Client.Retrieve(tb.Context(), fmt.Sprintf("%s?rcn=4&ty=4&lim=%d&ofst=%d", s.Container, page, s.checked+1))
		if err != nil {
			tb.Fatalf("%s: read the container: %v", s.ID, err)
		}
		var r instances
		if err := json.Unmarshal(b, &r); err != nil {
			tb.Fatal(err)
		}
		for _, in := range r.Container.Children {
			n, err := strconv.Atoi(in.Con)
			if err != nil || n >= s.next {
				tb.Fatalf("%s: %s holds %q, which was never sent", s.ID, in.RI, in.Con)
			}
			if n <= s.last {
				tb.Fatalf("%s: reading %d comes after %d", s.ID, n, s.last)
			}
			if ri, ok := s.acked[n]; ok {
				acked++
				if ri != in.RI {
					tb.Fatalf("%s: reading %d was acknowledged as %s and is %s now", s.ID, n, ri, in.RI)
				}
			}
			s.last = n
			s.checked++
		}
		if len(r.Container.Children) < page {
			if r.Container.Count != s.checked {
				tb.Fatalf("%s: the container counts %d readings and holds %d", s.ID, r.Container.Count, s.checked)
			}
			break
		}
	}
	want := 0
	for n := range s.acked {
		if n > from {
			want++
		}
	}
	if acked != want {
		tb.Fatalf("%s: %d of %d acknowledged readings after number %d are there: the rest is lost", s.ID, acked, want, from)
	}
}

// Prove fetches the bundle of acknowledged reading n and verifies it. It says false when n was not acknowledged.
func (s *Series) Prove(tb testing.TB, p *proof.Policy, n int) bool {
	tb.Helper()
	ri, ok := s.acked[n]
	if !ok {
		return false
	}
	b, err := s.Client.Proof(tb.Context(), ri, 0)
	if err != nil {
		tb.Fatalf("%s: proof of reading %d (%s): %v", s.ID, n, ri, err)
	}
	v, err := p.Verify(b)
	if err != nil {
		tb.Fatalf("%s: reading %d: %v", s.ID, n, err)
	}
	var r instances
	if err := json.Unmarshal(v.Payload, &r); err != nil || r.Instance.Con != strconv.Itoa(n) || v.Entry.Originator != s.ID || v.Entry.Resource != ri {
		tb.Fatalf("%s: the proof of reading %d shows %s by %s: %s", s.ID, n, v.Entry.Resource, v.Entry.Originator, v.Payload)
	}
	return true
}
