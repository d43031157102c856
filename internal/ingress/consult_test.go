package ingress

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// TestRoleOrdered: the Role-IDs and tokens of a request go with it into the block (TS-0003 clauses 7.3.2 and 7.4).
func TestRoleOrdered(t *testing.T) {
	const nurse = "nurse@hospital.example"
	n := ready(t, 0)
	n.enrol("Cother")
	create := func(who, to string, typ onem2m.ResourceType, content string) {
		n.want(onem2m.StatusCreated, n.do(who, onem2m.Request{Operation: onem2m.Create, To: to, Type: typ, Content: []byte(content)}))
	}
	create("Cdev", "tally/dev", onem2m.TypeACP, `{"m2m:acp":{"rn":"p","pv":{"acr":[{"acor":["`+nurse+`"],"acop":63}]},"pvs":{"acr":[{"acor":["Cdev"],"acop":63}]}}}`)
	create("Cdev", "tally/dev", onem2m.TypeContainer, `{"m2m:cnt":{"rn":"g","acpi":["tally/dev/p"]}}`)
	write := onem2m.Request{Operation: onem2m.Create, To: "tally/dev/g", Type: onem2m.TypeContentInstance, Content: []byte(`{"m2m:cin":{"con":"1"}}`)}
	n.want(onem2m.StatusOriginatorHasNoPrivilege, n.do("Cother", write))
	create("Coperator", "tally", onem2m.TypeRole, `{"m2m:rol":{"rlid":"`+nurse+`","tkis":"Coperator","tkhd":"Cother","tknb":"20200101T000000","tkna":"20990101T000000"}}`)
	n.want(onem2m.StatusOriginatorHasNoPrivilege, n.do("Cother", write))
	write.RoleIDs = []string{nurse}
	n.want(onem2m.StatusCreated, n.do("Cother", write))
	started := make(chan *onem2m.Response, 1)
	req := write
	req.From, req.RequestID, req.ReleaseVersion, req.ResultContent = "Cother", "r", "4", onem2m.ResultContentDefault
	n.ingress.Start(t.Context(), &req, testEvidence("Cother"), func(r *onem2m.Response) { started <- r })
	n.want(onem2m.StatusCreated, <-started)
	later := write
	later.ResponseType = onem2m.ResponseTypeNonBlockingSync
	if got := n.result("Cother", n.do("Cother", later)); got != onem2m.StatusCreated {
		t.Errorf("non-blocking: %s", got)
	}
}

// TestConsultation: what nothing allows, a server that the resource names may grant, for a time (TS-0003 clause 7.3.2.2, TS-0004
// clause 6.3.5.48).
func TestConsultation(t *testing.T) {
	n := ready(t, 2*time.Second)
	n.enrol("Cother")
	n.want(onem2m.StatusCreated, n.do("Cdev", onem2m.Request{
		Operation: onem2m.Create, To: "tally/dev", Type: onem2m.TypeDAC, Content: []byte(`{"m2m:dac":{"rn":"d","dae":true,"dap":["http://127.0.0.1:9/"]}}`),
	}))
	n.want(onem2m.StatusUpdated, n.do("Cdev", onem2m.Request{Operation: onem2m.Update, To: "tally/dev/c", Content: []byte(`{"m2m:cnt":{"daci":["tally/dev/d"]}}`)}))
	var mu sync.Mutex
	asked, answer, lost := 0, "", error(nil)
	n.outside.request = func(targets []string, req *onem2m.Request) (*onem2m.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		for _, want := range []string{`"sit":1`, `"or":"//`, `/Cother"`, `"trid":"//`, `"op":`} {
			if !strings.Contains(string(req.Content), want) {
				t.Errorf("asked without %s: %s", want, req.Content)
			}
		}
		if targets[0] != "http://127.0.0.1:9/" || req.From != "/tally" || req.Operation != onem2m.Notify {
			t.Errorf("asked %v: %+v", targets, req)
		}
		return &onem2m.Response{Status: onem2m.StatusOK, Content: []byte(answer)}, lost
	}
	read := onem2m.Request{Operation: onem2m.Retrieve, To: "tally/dev/c"}
	say := func(a string, err error) {
		mu.Lock()
		defer mu.Unlock()
		asked, answer, lost = 0, a, err
		clear(n.ingress.consultations.denied)
	}
	grant := func(acop int, more string) string {
		return fmt.Sprintf(`{"m2m:seci":{"sit":2,"dres":{"dai":{"gp":{"acr":[{"acor":["all"],"acop":%d}]}%s}}}}`, acop, more)
	}
	size := n.app.Head().LogSize
	for _, test := range []struct {
		answer string
		err    error
	}{
		{"", errors.New("not reachable")}, {"", nil}, {`{"m2m:seci":{"sit":2}}`, nil}, {`{"m2m:seci":{"sit":1,"dres":{"dai":{"gp":{"acr":[]}}}}}`, nil},
		{`{"m2m:seci":{"sit":2,"dres":{"dai":{"gp":{"acr":[{"acor":["all"],"acop":99}]}}}}}`, nil},
		{grant(8, ""), nil}, // something else
	} {
		say(test.answer, test.err)
		n.want(onem2m.StatusOriginatorHasNoPrivilege, n.do("Cother", read))
		if asked != 1 {
			t.Errorf("%s: asked %d times", test.answer, asked)
		}
	}
	say("", nil)
	for range 5 {
		n.want(onem2m.StatusOriginatorHasNoPrivilege, n.do("Cother", read))
	}
	if asked != 1 {
		t.Errorf("asked %d times in a row", asked)
	}
	if got := n.app.Head().LogSize - size; got > 2 {
		t.Errorf("%d entries of refusals", got)
	}
	say(grant(3, ""), nil)
	for range 3 {
		n.want(onem2m.StatusOK, n.do("Cother", read))
	}
	req := reading(1)
	req.From, req.RequestID, req.ReleaseVersion, req.ResultContent = "Cother", "r", "4", onem2m.ResultContentDefault
	started := make(chan *onem2m.Response, 1)
	n.ingress.Start(t.Context(), &req, testEvidence("Cother"), func(r *onem2m.Response) { started <- r })
	n.want(onem2m.StatusCreated, <-started)
	if asked != 1 {
		t.Errorf("asked %d times for what was granted", asked)
	}
	// It is for that resource, and for as long as the resource names who granted it.
	n.want(onem2m.StatusOriginatorHasNoPrivilege, n.do("Cother", onem2m.Request{Operation: onem2m.Retrieve, To: "tally/dev"}))
	n.want(onem2m.StatusUpdated, n.do("Cdev", onem2m.Request{Operation: onem2m.Update, To: "tally/dev/d", Content: []byte(`{"m2m:dac":{"dae":false}}`)}))
	n.want(onem2m.StatusOriginatorHasNoPrivilege, n.do("Cother", read))
	n.want(onem2m.StatusUpdated, n.do("Cdev", onem2m.Request{Operation: onem2m.Update, To: "tally/dev/d", Content: []byte(`{"m2m:dac":{"dae":true}}`)}))
	n.want(onem2m.StatusOK, n.do("Cother", read))
}

// TestNoConsultation: what a binding asks while other clients wait for it asks nobody else, however slow he may be.
func TestNoConsultation(t *testing.T) {
	n := ready(t, 2*time.Second)
	n.enrol("Cother")
	n.want(onem2m.StatusCreated, n.do("Cdev", onem2m.Request{
		Operation: onem2m.Create, To: "tally/dev", Type: onem2m.TypeDAC, Content: []byte(`{"m2m:dac":{"rn":"d","dae":true,"dap":["http://127.0.0.1:9/"]}}`),
	}))
	n.want(onem2m.StatusUpdated, n.do("Cdev", onem2m.Request{Operation: onem2m.Update, To: "tally/dev/c", Content: []byte(`{"m2m:cnt":{"daci":["tally/dev/d"]}}`)}))
	asked := 0
	n.outside.request = func([]string, *onem2m.Request) (*onem2m.Response, error) {
		asked++
		return nil, errors.New("not reachable")
	}
	for _, hurried := range []bool{true, false} {
		ctx := binding.Asking(t.Context())
		if hurried {
			ctx = binding.Hurried(ctx)
		}
		n.want(onem2m.StatusOriginatorHasNoPrivilege, n.ingress.Do(ctx, &onem2m.Request{
			Operation: onem2m.Retrieve, To: "tally/dev/c", From: "Cother", RequestID: "r", ReleaseVersion: "4", ResultContent: onem2m.ResultContentAttributes,
		}, testEvidence("Cother")))
		if (asked == 0) != hurried {
			t.Errorf("hurried %v: asked %d times", hurried, asked)
		}
	}
}

// TestConsultationAhead: a non-blocking request is consulted about before it is ordered.
func TestConsultationAhead(t *testing.T) {
	n := ready(t, 2*time.Second)
	n.enrol("Cother")
	n.want(onem2m.StatusCreated, n.do("Cdev", onem2m.Request{
		Operation: onem2m.Create, To: "tally/dev", Type: onem2m.TypeDAC, Content: []byte(`{"m2m:dac":{"rn":"d","dae":true,"dap":["http://127.0.0.1:9/"]}}`),
	}))
	n.want(onem2m.StatusUpdated, n.do("Cdev", onem2m.Request{Operation: onem2m.Update, To: "tally/dev/c", Content: []byte(`{"m2m:cnt":{"daci":["tally/dev/d"]}}`)}))
	n.outside.request = func([]string, *onem2m.Request) (*onem2m.Response, error) {
		return &onem2m.Response{Status: onem2m.StatusOK, Content: []byte(`{"m2m:seci":{"sit":2,"dres":{"dai":{"gp":[{"acor":["Cother"],"acop":2}],"pl":"60000"}}}}`)}, nil
	}
	req := onem2m.Request{Operation: onem2m.Retrieve, To: "tally/dev/c", ResponseType: onem2m.ResponseTypeNonBlockingSync}
	if got := n.result("Cother", n.do("Cother", req)); got != onem2m.StatusOK {
		t.Errorf("the operation: %s", got)
	}
}
