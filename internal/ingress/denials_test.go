package ingress

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// trail takes what denials tell.
type trail struct {
	t      testing.TB
	mu     sync.Mutex
	audits []*ledger.Audit
	bytes  int
	answer telling
}

func (tr *trail) tell(_ context.Context, content []byte) telling {
	a, err := ledger.DecodeAudit(content)
	if err != nil {
		tr.t.Errorf("what no validator takes: %v", err)
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.answer == told {
		tr.audits = append(tr.audits, a)
		tr.bytes += len(content)
	}
	return tr.answer
}

// all gives what was told.
func (tr *trail) all() []*ledger.Audit {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.audits)
}

// total counts all refusals that were told.
func (tr *trail) total() (n uint64) {
	for _, a := range tr.audits {
		for _, d := range a.Denied {
			n += d.Count
		}
		for _, o := range a.Others {
			n += o.Count
		}
	}
	return n
}

func guess(i int) (binding.Evidence, binding.Denial) {
	return binding.Evidence{Source: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), Binding: "mqtt"},
		binding.Denial{Reason: binding.BadCredential, Doing: "connect", From: strings.Repeat(`"\`, 200) + fmt.Sprint(i), To: strings.Repeat(`\`, 300)}
}

// TestFloodOfDenials: whatever an attacker does, a minute costs a bounded amount of memory and of log, and every refusal
// is counted.
func TestFloodOfDenials(t *testing.T) {
	const flood = 100_000
	synctest.Test(t, func(t *testing.T) {
		tr := &trail{t: t}
		n := newDenials("node1", tr.tell)
		go n.run()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for minute := range 3 {
			for i := range flood {
				n.note2(guess(minute*flood + i))
				if i%(flood/50) == 0 {
					time.Sleep(time.Second)
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			time.Sleep(10 * time.Second)
		}
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
			t.Errorf("%d bytes of memory", grown)
		}
		n.report(t.Context(), true)
		n.close()
		<-n.ended
		if tr.total() != 3*flood {
			t.Errorf("%d refusals were told, %d happened", tr.total(), 3*flood)
		}
		if max := 3 * (promptsEach + 1); len(tr.audits) > max {
			t.Errorf("%d entries in three minutes, want %d at most", len(tr.audits), max)
		}
		if tr.bytes > 3*2*ledger.MaxAuditBytes {
			t.Errorf("%d bytes", tr.bytes)
		}
	})
}

func (n *denials) note2(ev binding.Evidence, d binding.Denial) { n.note(ev, d, nil) }

// TestDenialIsToldPromptly: of a new kind within a second; of one that goes on, once a minute.
func TestDenialIsToldPromptly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trail{t: t}
		n := newDenials("node1", tr.tell)
		go n.run()
		defer func() { n.close(); <-n.ended }()
		ev := binding.Evidence{Source: "2001:db8:1:2:3::4", Binding: "http"}
		d := binding.Denial{Reason: binding.NotOriginator, Doing: "create", From: "Cvictim", To: "tally/x"}
		n.note(ev, d, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := tr.all(); len(got) != 1 || got[0].Denied[0] != (ledger.Denied{
			Source: "2001:db8:1:2::/64", Claimed: "Cvictim", Reason: "originator", Doing: "create", Binding: "http", On: "tally/x", Count: 1,
		}) {
			t.Fatalf("told %+v", got)
		}
		for range 150 {
			n.note(ev, d, nil)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if got := tr.all(); len(got) != 3 || got[1].Denied[0].Count+got[2].Denied[0].Count < 100 {
			t.Fatalf("told %d times", len(got))
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := tr.all(); len(got) != 4 {
			t.Fatalf("%d entries, though nothing happened", len(got))
		}
	})
}

// TestTokensAreNotAudited: a token in the wrong place is a secret all the same.
func TestTokensAreNotAudited(t *testing.T) {
	tr := &trail{t: t}
	n := newDenials("node1", tr.tell)
	n.note(binding.Evidence{}, binding.Denial{Reason: binding.BadCredential, Doing: "connect", From: testToken("x"), To: "/a/" + testToken("x")}, nil)
	n.report(t.Context(), true)
	b, err := json.Marshal(tr.audits)
	must(t, err)
	if strings.Contains(string(b), testToken("x")[:20]) {
		t.Errorf("%s", b)
	}
}

// TestNothingIsCountedTwice: whether or not the ledger takes what is told, each refusal is told once, or known to be
// unsure.
func TestNothingIsCountedTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tr := &trail{t: t}
		n := newDenials("node1", tr.tell)
		sum := uint64(0)
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			for range rapid.IntRange(0, 200).Draw(rt, "refusals") {
				n.note2(guess(rapid.IntRange(0, 300).Draw(rt, "who")))
				sum++
			}
			tr.answer = rapid.SampledFrom([]telling{told, notTold, notKnown}).Draw(rt, "answer")
			n.report(t.Context(), rapid.Bool().Draw(rt, "all"))
		}
		tr.answer = told
		n.report(t.Context(), true)
		unsure := uint64(0)
		for _, a := range tr.audits {
			unsure += a.Unsure
		}
		if tr.total()+unsure != sum {
			rt.Fatalf("%d told and %d unsure of %d", tr.total(), unsure, sum)
		}
	})
}

// TestDenialsReachTheLedger: a refusal by identity, by rights and by role, each with what is known of the client.
func TestDenialsReachTheLedger(t *testing.T) {
	n := ready(t, 0)
	n.enrol("Cother")
	from := func(who string) binding.Evidence {
		ev := testEvidence(who)
		ev.Source, ev.Binding = "192.0.2.7", "http"
		return ev
	}
	get := &onem2m.Request{Operation: onem2m.Retrieve, To: "tally/dev", From: "Cdev", RequestID: "1", ReleaseVersion: "4", ResultContent: onem2m.ResultContentDefault}
	n.ingress.Do(t.Context(), get, from("Cother")) // speaks for another
	get.From = "Cother"
	n.ingress.Do(t.Context(), get, from("Cother")) // has no rights
	get.From = "Cother"
	n.ingress.Do(t.Context(), get, from("nobody"))
	n.ingress.Claim(from("Cother"), "Cdev")
	done := make(chan *onem2m.Response, 1)
	r := reading(1)
	r.From, r.RequestID, r.ReleaseVersion = "Cother", "1", "4"
	n.ingress.Start(t.Context(), &r, from("Cother"), func(resp *onem2m.Response) { done <- resp })
	n.want(onem2m.StatusOriginatorHasNoPrivilege, <-done)
	r.From = "Cother"
	n.want(onem2m.StatusOriginatorHasNoPrivilege, &n.ingress.DoTogether(t.Context(), []*onem2m.Request{&r, &r}, from("Cother"))[0])
	n.want(onem2m.StatusOriginatorHasNoPrivilege, n.ingress.Own(t.Context(), proof.OpErase, []byte(`{"index":1}`), from("Cother")))
	n.ingress.Report(t.Context())

	got := make(map[string]uint64)
	for i := uint64(0); i < n.app.Head().LogSize; i++ {
		rec, err := n.app.Log().Record(i)
		must(t, err)
		if rec.Entry.Operation != proof.OpAudit {
			continue
		}
		a, err := ledger.DecodeAudit(rec.Payload)
		must(t, err)
		for _, d := range a.Denied {
			if d.Source != "192.0.2.7" || d.Binding != "http" || d.Reason != "credential" && d.Key != hash("Cother")[:16] {
				t.Errorf("a row is %+v", d)
			}
			got[fmt.Sprintf("%s %s %s as %s", d.Reason, d.Doing, d.Originator, d.Claimed)] += d.Count
		}
	}
	want := map[string]uint64{
		"originator retrieve Cother as Cdev": 1, "privilege retrieve Cother as ": 1, "credential retrieve  as Cother": 1,
		"originator connect Cother as Cdev": 1, "privilege create Cother as ": 2, "privilege erase Cother as ": 1,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("told\n%v\nwant\n%v", got, want)
	}
}
