package ingress

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

func (n *network) together(who string, reqs ...onem2m.Request) []onem2m.Response {
	ps := make([]*onem2m.Request, len(reqs))
	for i := range reqs {
		r := reqs[i]
		r.From, r.RequestID, r.ReleaseVersion = who, fmt.Sprint("r", i), "4"
		if r.ResultContent == 0 {
			r.ResultContent = onem2m.ResultContentDefault
		}
		ps[i] = &r
	}
	return n.ingress.DoTogether(context.Background(), ps, testEvidence(who))
}

func newContainer(parent, name string) onem2m.Request {
	return onem2m.Request{Operation: onem2m.Create, To: parent, Type: onem2m.TypeContainer, Content: fmt.Appendf(nil, `{"m2m:cnt":{"rn":%q}}`, name)}
}

func into(container, content string) onem2m.Request {
	return onem2m.Request{Operation: onem2m.Create, To: container, Type: onem2m.TypeContentInstance, Content: fmt.Appendf(nil, `{"m2m:cin":{"con":%q}}`, content)}
}

// TestTogether: all requests are committed or none, and a later one may address what an earlier one makes.
func TestTogether(t *testing.T) {
	n := ready(t, 0)
	each := n.together("Cdev", newContainer("tally/dev", "x"), newContainer("tally/dev/x", "y"), into("tally/dev/x/y", "1"), into("tally/dev/x/y", "2"))
	if len(each) != 4 {
		t.Fatalf("%d responses: %s", len(each), each[0].Content)
	}
	for i, r := range each {
		if r.Status != onem2m.StatusCreated || r.RequestID != fmt.Sprint("r", i) {
			t.Errorf("%d: %d %s", i, r.Status, r.Content)
		}
	}
	if r := n.do("Cdev", onem2m.Request{Operation: onem2m.Retrieve, To: "tally/dev/x/y/la"}); !strings.Contains(string(r.Content), `"con":"2"`) {
		t.Errorf("la: %d %s", r.Status, r.Content)
	}

	size := n.app.Head().LogSize
	for name, reqs := range map[string][]onem2m.Request{
		"the last is refused":   {into("tally/dev/c", "1"), into("tally/dev/c", "2"), into("tally/dev/none", "3")},
		"the middle is refused": {newContainer("tally/dev", "z"), newContainer("tally/dev/z", "x"), newContainer("tally/dev/z", "x"), into("tally/dev/z/x", "3")},
		"the first is refused":  {newContainer("tally/dev", "x"), into("tally/dev/c", "2")},
	} {
		each := n.together("Cdev", reqs...)
		if len(each) != 1 || each[0].Status.Success() || each[0].RequestID != "r0" {
			t.Errorf("%s: %d responses, the first %d %s", name, len(each), each[0].Status, each[0].Content)
		}
	}
	n.want(onem2m.StatusNotFound, n.do("Cdev", onem2m.Request{Operation: onem2m.Retrieve, To: "tally/dev/z"}))
	n.want(onem2m.StatusNotFound, n.do("Cdev", onem2m.Request{Operation: onem2m.Retrieve, To: "tally/dev/c/la"}))
	if got := n.app.Head().LogSize; got != size {
		t.Errorf("refused packs made %d entries", got-size)
	}

	// Together with others in one block, in any order, nothing gets mixed up.
	n.step.Lock()
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			reqs := []onem2m.Request{into("tally/dev/c", fmt.Sprint(i, "a")), into("tally/dev/c", fmt.Sprint(i, "b"))}
			if i%3 == 0 {
				reqs = append(reqs, into("tally/dev/none", "x"))
			}
			each := n.together("Cdev", reqs...)
			if ok := i%3 != 0; each[0].Status.Success() != ok || ok && len(each) != 2 {
				t.Errorf("%d: %d responses, %d %s", i, len(each), each[0].Status, each[0].Content)
			}
			if r := n.do("Cdev", into("tally/dev/c", fmt.Sprint(i, "single"))); r.Status != onem2m.StatusCreated {
				t.Errorf("%d: %d %s", i, r.Status, r.Content)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	n.step.Unlock()
	wg.Wait()
	if r := n.do("Cdev", onem2m.Request{Operation: onem2m.Retrieve, To: "tally/dev/c"}); !strings.Contains(string(r.Content), `"cni":70`) {
		t.Errorf("20 pairs and 30 single ones give %s", r.Content)
	}
}

// TestTogetherClaims: nobody slips another's request among his own, and a stranger none at all.
func TestTogetherClaims(t *testing.T) {
	n := ready(t, 0)
	n.enrol("Cother")
	a, b := into("tally/dev/c", "1"), into("tally/dev/c", "2")
	a.From, b.From = "Cother", "Cdev"
	a.RequestID, b.RequestID, a.ReleaseVersion, b.ReleaseVersion = "1", "2", "4", "4"
	for _, token := range []string{"", testToken("Cother"), testToken("nobody")} {
		if each := n.ingress.DoTogether(context.Background(), []*onem2m.Request{&a, &b}, binding.Evidence{Token: token}); len(each) != 1 || each[0].Status.Success() {
			t.Errorf("token %q: %d responses, %d", token, len(each), each[0].Status)
		}
	}
}

func TestTogetherLimits(t *testing.T) {
	n := ready(t, 0)
	many := make([]onem2m.Request, maxTogether+1)
	for i := range many {
		many[i] = into("tally/dev/c", "1")
	}
	if each := n.together("Cdev", many...); len(each) != 1 || each[0].Status != onem2m.StatusContentsUnacceptable {
		t.Errorf("%d requests: %d", len(many), each[0].Status)
	}
	if each := n.together("Cdev", many[1:]...); len(each) != maxTogether || !each[0].Status.Success() {
		t.Errorf("%d requests: %d %s", maxTogether, each[0].Status, each[0].Content)
	}
	big := into("tally/dev/c", strings.Repeat("x", 900_000))
	if each := n.together("Cdev", big, big); len(each) != 1 || each[0].Status != onem2m.StatusContentsUnacceptable {
		t.Errorf("two of 900 kB: %d", each[0].Status)
	}
	if each := n.ingress.DoTogether(context.Background(), nil, testEvidence("Cdev")); len(each) != 1 || each[0].Status.Success() {
		t.Errorf("nothing at all: %d responses", len(each))
	}
}

// TestDelivery: a message that a client sends again because it does not know whether the first was stored is stored
// once (MQTT 5.0 clause 4.4); another message in its place is stored.
func TestDelivery(t *testing.T) {
	n := ready(t, 0)
	n.enrol("Cother")
	size := n.app.Head().LogSize
	send := func(who string, message byte, again bool) onem2m.StatusCode {
		r := into("tally/dev/c", "21")
		r.Delivery = &onem2m.Delivery{ID: 5, Window: 512, Message: [8]byte{message}, Again: again}
		return n.do(who, r).Status
	}
	for i, step := range []struct {
		message byte
		again   bool
		stored  uint64 // in all; each has an entry, and one that it is remembered
	}{
		{1, true, 1},  // the first never arrived
		{1, true, 1},  // it did
		{1, false, 2}, // another with the same content
		{1, true, 2},
		{2, false, 3},
		{1, true, 4}, // forgotten: the identifier was used for another
		{2, true, 5},
	} {
		if got := send("Cdev", step.message, step.again); got != onem2m.StatusCreated {
			t.Fatalf("step %d: %d", i, got)
		}
		if got := n.app.Head().LogSize - size; got != 2*step.stored {
			t.Fatalf("step %d: %d entries, want %d", i, got, 2*step.stored)
		}
	}
	if got := send("Cother", 2, true); got.Success() {
		t.Errorf("another originator's message was taken for this one's: %d", got)
	}
}

// TestDeliveryOfNames: a message that makes what has a name is answered as the first time when it comes again, alone, with
// others and by either way in, although the names are taken now.
func TestDeliveryOfNames(t *testing.T) {
	n := ready(t, 0)
	send := func(message byte, reqs ...onem2m.Request) onem2m.StatusCode {
		reqs[0].Delivery = &onem2m.Delivery{ID: 7, Window: 512, Message: [8]byte{message}, Again: true}
		if len(reqs) > 1 {
			return n.together("Cdev", reqs...)[0].Status
		}
		return n.do("Cdev", reqs[0]).Status
	}
	named := func(name string) onem2m.Request {
		r := into("tally/dev/c", "1")
		r.Content = fmt.Appendf(nil, `{"m2m:cin":{"rn":%q,"con":"1"}}`, name)
		return r
	}
	size := n.app.Head().LogSize
	for range 2 {
		n.want(onem2m.StatusCreated, &onem2m.Response{Status: send(1, newContainer("tally/dev", "x"))})
	}
	for range 2 {
		n.want(onem2m.StatusCreated, &onem2m.Response{Status: send(2, newContainer("tally/dev", "y"), newContainer("tally/dev/y", "z"), named("a"))})
	}
	if got := n.app.Head().LogSize - size; got != 6 {
		t.Errorf("%d entries, want 4 and 2 that say what is remembered", got)
	}
	answer := make(chan *onem2m.Response, 1)
	for range 2 {
		r := named("b")
		r.Delivery = &onem2m.Delivery{ID: 7, Window: 512, Message: [8]byte{3}, Again: true}
		n.start(r, func(r *onem2m.Response) { answer <- r })
		n.want(onem2m.StatusCreated, <-answer)
	}
	n.want(onem2m.StatusConflict, &onem2m.Response{Status: send(4, newContainer("tally/dev", "x"))})
	n.want(onem2m.StatusConflict, &onem2m.Response{Status: send(4, newContainer("tally/dev", "w"), newContainer("tally/dev", "x"))})
}

// TestTimePasses: what time alone changes happens on an idle network too (TS-0004 clause 7.3.3.3).
func TestTimePasses(t *testing.T) {
	n := ready(t, 0)
	soon := time.Now().Add(150 * time.Millisecond).UTC().Format("20060102T150405,000000")
	r := onem2m.Request{Operation: onem2m.Create, To: "tally/dev", Type: onem2m.TypeContainer, Content: fmt.Appendf(nil, `{"m2m:cnt":{"rn":"short","et":%q}}`, soon)}
	n.want(onem2m.StatusCreated, n.do("Cdev", r))
	size := n.app.Head().LogSize
	for deadline := time.Now().Add(5 * time.Second); n.app.Head().LogSize == size; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the container is still there 5 s after it should have expired")
		}
	}
	height := n.height.Load()
	time.Sleep(100 * time.Millisecond)
	if got := n.height.Load(); got > height+2 {
		t.Errorf("%d blocks while nothing is due", got-height)
	}
}
