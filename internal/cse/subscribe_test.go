package cse_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// sgn gives the contents of events, with where they go.
func sgn(result cse.Result) []string {
	list := []string{}
	for _, e := range result.Events {
		list = append(list, strings.Join(e.Targets, ",")+" "+string(e.Content))
	}
	return list
}

func wantEvents(t *testing.T, what string, result cse.Result, want ...string) {
	t.Helper()
	if !result.Response.Status.Success() {
		t.Fatalf("%s: %d %s", what, result.Response.Status, result.Response.Content)
	}
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, sgn(result)); diff != "" {
		t.Errorf("%s: notifications (-want +got):\n%s", what, diff)
	}
	for _, e := range result.Events {
		if e.Originator != "/tally" || e.Subscription == "" {
			t.Errorf("%s: event %+v", what, e)
		}
	}
}

// watched makes a container with a subscription that has the attributes given.
func watched(t testing.TB, attributes string) (n *csetest.Network, cnt string) {
	n = csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt = n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"cnt1"}`)
	n.MustCreate("Ca", cnt, onem2m.TypeSubscription, `{"rn":"sub1","cr":null,"nu":["http://h"],`+attributes+`}`)
	return n, cnt
}

func create(n *csetest.Network, to string, typ onem2m.ResourceType, body string) cse.Result {
	_, result := n.Create("Ca", to, typ, body)
	return result
}

// TS-0001 clause 9.6.8 and TS-0004 clause 7.5.1.1: the notification event types and the representations they carry.
func TestNotificationEvents(t *testing.T) {
	const sur = `"sur":"/tally/sub5","cr":"Ca"}}`
	n, cnt := watched(t, `"enc":{"net":[1,2,3,4]}`)
	wantEvents(t, "child", create(n, cnt, onem2m.TypeContentInstance, `{"rn":"a","con":"7"}`),
		`http://h {"m2m:sgn":{"nev":{"net":3,"rep":{"m2m:cin":{"ty":4,"ri":"cin6","pi":"cnt4","rn":"a","ct":"20261123T070003,000000","lt":"20261123T070003,000000","et":"99991231T235959","st":1,"cs":1,"con":"7"}}},`+sur)
	wantEvents(t, "update", n.Update("Ca", cnt, onem2m.TypeContainer, `{"mni":4}`),
		`http://h {"m2m:sgn":{"nev":{"net":1,"rep":{"m2m:cnt":{"ty":3,"ri":"cnt4","pi":"Ca","rn":"cnt1","ct":"20261123T070001,000000","lt":"20261123T070004,000000","et":"99991231T235959","st":2,"cni":1,"cbs":1,"mni":4}}},`+sur)
	wantEvents(t, "child deleted", n.Delete("Ca", cnt+"/a"),
		`http://h {"m2m:sgn":{"nev":{"net":4,"rep":{"m2m:cin":{"ty":4,"ri":"cin6","pi":"cnt4","rn":"a","ct":"20261123T070003,000000","lt":"20261123T070003,000000","et":"99991231T235959","st":1,"cs":1,"con":"7"}}},`+sur)
	wantEvents(t, "deleted", n.Delete("Ca", cnt),
		`http://h {"m2m:sgn":{"nev":{"net":2,"rep":{"m2m:cnt":{"ty":3,"ri":"cnt4","pi":"Ca","rn":"cnt1","ct":"20261123T070001,000000","lt":"20261123T070005,000000","et":"99991231T235959","st":3,"cni":0,"cbs":0,"mni":4}}},`+sur)
}

// TS-0001 clause 9.6.8: without eventNotificationCriteria an update notifies and nothing else does.
func TestNotificationDefault(t *testing.T) {
	n, cnt := watched(t, `"nct":3`)
	wantEvents(t, "child", create(n, cnt, onem2m.TypeContentInstance, `{"con":"7"}`))
	wantEvents(t, "update", n.Update("Ca", cnt, onem2m.TypeContainer, `{"mni":4}`),
		`http://h {"m2m:sgn":{"nev":{"net":1,"rep":{"m2m:uri":"/tally/cnt4"}},"sur":"/tally/sub5","cr":"Ca"}}`)
}

// TS-0004 clause 6.3.4.2.31: modified attributes only; one that was removed is null.
func TestNotificationModified(t *testing.T) {
	n, cnt := watched(t, `"nct":2,"enc":{"net":[1],"atr":["mni"]}`)
	wantEvents(t, "other attribute", n.Update("Ca", cnt, onem2m.TypeContainer, `{"mbs":4}`))
	wantEvents(t, "attribute", n.Update("Ca", cnt, onem2m.TypeContainer, `{"mni":4,"mbs":null}`),
		`http://h {"m2m:sgn":{"nev":{"net":1,"rep":{"m2m:cnt":{"lt":"20261123T070004,000000","st":2,"mni":4,"mbs":null}}},"sur":"/tally/sub5","cr":"Ca"}}`)
}

// TS-0001 clause 9.6.8, table 9.6.8-3: the conditions of eventNotificationCriteria.
func TestNotificationConditions(t *testing.T) {
	for _, test := range []struct {
		enc  string
		want bool // an instance with "12345" of Ca notifies
	}{
		{`{"net":[3],"chty":[4]}`, true},
		{`{"net":[3],"chty":[3,23]}`, false},
		{`{"net":[1,2,4]}`, false},
		{`{"net":[3],"sza":5}`, true},
		{`{"net":[3],"sza":6}`, false},
		{`{"net":[3],"szb":6}`, true},
		{`{"net":[3],"szb":5}`, false},
		{`{"net":[3],"stb":1}`, true},
		{`{"net":[3],"stb":2}`, false},
		{`{"net":[3],"sts":2}`, true},
		{`{"net":[3],"crb":"20261123T070002"}`, true},
		{`{"net":[3],"crb":"20261123T070001"}`, false},
		{`{"net":[3],"cra":"20261123T070000"}`, true},
		{`{"net":[3],"ms":"20261123T070002"}`, true},
		{`{"net":[3],"us":"20261123T070002"}`, false},
		{`{"net":[3],"exb":"20300101T000000"}`, false},
		{`{"net":[3],"exa":"20300101T000000"}`, true},
		{`{"net":[3],"exb":"20300101T000000","crb":"20261123T070002","fo":2}`, true},
		{`{"om":[{"ops":1,"or":"Ca"}]}`, true},
		{`{"om":[{"ops":1,"or":"Cb"}]}`, false},
		{`{"om":[{"ops":8},{"ops":4}]}`, false},
	} {
		n, cnt := watched(t, `"enc":`+test.enc)
		result := create(n, cnt, onem2m.TypeContentInstance, `{"con":"12345"}`)
		if got := len(result.Events) == 1; got != test.want {
			t.Errorf("%s: notifies %v, want %v", test.enc, got, test.want)
		}
	}
}

// TS-0004 clause 7.5.1.2.2: an operationMonitor watches the operations on the subscribed-to resource.
func TestNotificationMonitor(t *testing.T) {
	n, cnt := watched(t, `"nct":3,"enc":{"om":[{"ops":13,"or":"/tally/Ca"}]}`)
	told := func(net, op int, ri string) string {
		return fmt.Sprintf(`http://h {"m2m:sgn":{"nev":{"net":%d,"om":{"op":%d,"or":"Ca"},"rep":{"m2m:uri":"/tally/%s"}},"sur":"/tally/sub5","cr":"Ca"}}`, net, op, ri)
	}
	wantEvents(t, "create", create(n, cnt, onem2m.TypeContentInstance, `{"rn":"a","con":"7"}`), told(3, 1, "cin6"))
	wantEvents(t, "update", n.Update("Ca", cnt, onem2m.TypeContainer, `{"mni":4}`), told(1, 3, cnt))
	wantEvents(t, "delete a child", n.Delete("Ca", cnt+"/a"))
	wantEvents(t, "delete", n.Delete("Ca", cnt), told(2, 4, cnt))
}

// An operationMonitor that names its originator org has one operation (m2m:operation), and its notifications the names
// that it has.
func TestNotificationMonitorSingle(t *testing.T) {
	n, cnt := watched(t, `"nct":3,"enc":{"om":[{"ops":1,"org":"Cb"},{"ops":3,"org":"Ca"},{"ops":2,"org":"/tally/Ca"}]}`)
	told := func(event, om string) string {
		return fmt.Sprintf(`http://h {"m2m:sgn":{"nev":{%s"om":{%s},"rep":{"m2m:uri":"/tally/%s"}},"sur":"/tally/sub5","cr":"Ca"}}`, event, om, cnt)
	}
	wantEvents(t, "create", create(n, cnt, onem2m.TypeContentInstance, `{"rn":"a","con":"7"}`))
	wantEvents(t, "update", n.Update("Ca", cnt, onem2m.TypeContainer, `{"mni":4}`), told(`"net":1,`, `"ops":3,"org":"Ca"`))
	for _, usage := range []onem2m.FilterUsage{0, onem2m.FilterUsageDiscovery} {
		req := onem2m.Request{Operation: onem2m.Retrieve, From: "Ca", To: cnt}
		if usage != 0 {
			req.Filter = &onem2m.FilterCriteria{Usage: usage}
		}
		wantEvents(t, "retrieve", n.Read(n.State, n.Complete(req), n.Env()), told("", `"ops":2,"org":"Ca"`))
	}
	wantEvents(t, "delete", n.Delete("Ca", cnt))
}

// TS-0001 clause 9.6.8, enableEventNotificationOriginator: a notification says whose event it is, in the place of the
// creator that the subscription does not have.
func TestNotificationOriginator(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, `{"pv":{"acr":[{"acor":["Ca","Cb"],"acop":63}]},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}}`)
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"cnt1","acpi":["`+acp+`"]}`)
	for rn, attributes := range map[string]string{"no": ``, "yes": `,"eeno":true`, "creator": `,"eeno":true,"cr":null`, "off": `,"eeno":false`} {
		n.MustCreate("Ca", cnt, onem2m.TypeSubscription, `{"rn":"`+rn+`","nu":["http://`+rn+`"],"nct":3,"enc":{"net":[1]}`+attributes+`}`)
	}
	got := map[string]string{}
	for _, e := range sgn(n.Update("Cb", cnt, onem2m.TypeContainer, `{"mni":4}`)) {
		target, content, _ := strings.Cut(e, " ")
		_, after, _ := strings.Cut(content, `"sur":"/tally/`)
		_, got[target], _ = strings.Cut(after, `"`)
	}
	want := map[string]string{"http://no": `}}`, "http://yes": `,"cr":"Cb"}}`, "http://creator": `,"cr":"Ca"}}`, "http://off": `}}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("whose event it is (-want +got):\n%s", diff)
	}
}

// TS-0001 clause 9.6.8, expirationCounter: the subscription ends with its last notification.
func TestNotificationCounter(t *testing.T) {
	n, cnt := watched(t, `"enc":{"net":[3]},"nct":3,"exc":2,"su":"http://s"`)
	n.MustCreate("Ca", cnt, onem2m.TypeSubscription, `{"rn":"sub2","nu":["http://other"],"nct":3,"enc":{"net":[4]}}`)
	if got := n.Retrieve("Ca", cnt+"/sub1"); !strings.Contains(string(got.Response.Content), `"exc":1`) {
		t.Fatalf("after the creation of the other subscription: %s", got.Response.Content)
	}
	wantEvents(t, "last", create(n, cnt, onem2m.TypeContentInstance, `{"con":"1"}`),
		`http://h {"m2m:sgn":{"nev":{"net":3,"rep":{"m2m:uri":"/tally/cin7"}},"sur":"/tally/sub5","cr":"Ca"}}`,
		`http://s {"m2m:sgn":{"sud":true,"sur":"/tally/sub5","cr":"Ca"}}`,
		`http://other {"m2m:sgn":{"nev":{"net":4,"rep":{"m2m:uri":"/tally/sub5"}},"sur":"/tally/sub6"}}`)
	wantStatus(t, "gone", n.Retrieve("Ca", cnt+"/sub1"), onem2m.StatusNotFound)
	wantEvents(t, "no more", create(n, cnt, onem2m.TypeContentInstance, `{"con":"1"}`))
}

// Two subscriptions that count down on each other's end, on a resource that goes at the same time.
func TestNotificationCountersMeet(t *testing.T) {
	n, cnt := watched(t, `"enc":{"net":[4]},"nct":3,"exc":1`)
	n.MustCreate("Ca", cnt, onem2m.TypeSubscription, `{"rn":"sub2","nu":["http://other"],"nct":3,"enc":{"net":[2,4]},"exc":1}`)
	result := n.Delete("Ca", cnt+"/sub1")
	wantStatus(t, "delete", result, onem2m.StatusDeleted)
	for _, rn := range []string{"sub1", "sub2"} {
		wantStatus(t, rn, n.Retrieve("Ca", cnt+"/"+rn), onem2m.StatusNotFound)
	}
	n, cnt = watched(t, `"enc":{"net":[2,4]},"nct":3,"exc":1`)
	n.MustCreate("Ca", cnt, onem2m.TypeSubscription, `{"rn":"sub2","nu":["http://other"],"nct":3,"enc":{"net":[2,4]},"exc":2}`)
	wantStatus(t, "delete container", n.Delete("Ca", cnt), onem2m.StatusDeleted)
}

// TS-0001 clause 9.6.8: a subscription that has expired does not notify.
func TestNotificationExpired(t *testing.T) {
	n, cnt := watched(t, `"enc":{"net":[3]},"nct":3,"et":"20261123T080000"`)
	if got := create(n, cnt, onem2m.TypeContentInstance, `{"con":"1"}`); len(got.Events) != 1 {
		t.Errorf("before: %v", sgn(got))
	}
	n.Time += 3600 * 1_000_000
	if got := create(n, cnt, onem2m.TypeContentInstance, `{"con":"1"}`); len(got.Events) != 0 {
		t.Errorf("after: %v", sgn(got))
	}
}

// TS-0004 clauses 7.4.8.2.1 and 7.5.1.2.3: who has to agree before a subscription is made or changed.
func TestVerificationRequest(t *testing.T) {
	n, cnt := watched(t, `"nct":3`)
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"grp","mnm":9,"mid":["`+cnt+`"]}`)
	ask := func(op onem2m.Operation, to, body string) string {
		req := n.Complete(onem2m.Request{Operation: op, From: "Ca", To: to, Content: csetest.Content(onem2m.TypeSubscription, body)})
		if op == onem2m.Create {
			req.Type = onem2m.TypeSubscription
		}
		env := n.Env()
		env.Assigned = "sub-00"
		return strings.Join(sgn(cse.Result{Events: n.VerificationRequest(n.State, req, env)}), " ")
	}
	for _, test := range []struct{ name, got, want string }{
		{"create", ask(onem2m.Create, cnt, `{"rn":"s","nu":["http://a","Ca","tally/ae1","/tally/Ca","http://a","Cb"]}`),
			`http://a,Cb {"m2m:sgn":{"vrq":true,"sur":"/tally/sub-00","cr":"Ca"}}`},
		{"create without a name", ask(onem2m.Create, cnt, `{"nu":["http://a"]}`),
			`http://a {"m2m:sgn":{"vrq":true,"sur":"/tally/sub-00","cr":"Ca"}}`},
		{"through a group", ask(onem2m.Create, "Ca/grp/fopt", `{"nu":["http://a"]}`),
			`http://a {"m2m:sgn":{"vrq":true,"sur":"/tally/tally/ae1/grp/fopt","cr":"Ca"}}`},
		{"originator only", ask(onem2m.Create, cnt, `{"nu":["Ca"]}`), ""},
		{"update", ask(onem2m.Update, cnt+"/sub1", `{"nu":["http://h","http://new"]}`),
			`http://new {"m2m:sgn":{"vrq":true,"sur":"/tally/sub5","cr":"Ca"}}`},
		{"update of something else", ask(onem2m.Update, cnt+"/sub1", `{"exc":4}`), ""},
		{"no such target", ask(onem2m.Create, "nowhere", `{"nu":["http://a"]}`), ""},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, test.got, test.want)
		}
	}
}

// TS-0004 clause 7.5.1.2.2: where a notification goes.
func TestRoute(t *testing.T) {
	n, _ := watched(t, `"nct":3`)
	n.MayRegister = true
	n.MustCreate("Cb", "tally", onem2m.TypeAE, `{"rn":"b","api":"Nb","rr":true,"srv":["4"],"poa":["http://b","mqtt://b"]}`)
	n.MustCreate("Cc", "tally", onem2m.TypeAE, `{"rn":"c","api":"Nc","rr":true,"srv":["4"],"csz":["application/cbor","application/json"],"poa":["http://c","http://d?ct=json"]}`)
	n.MustCreate("Cd", "tally", onem2m.TypeAE, `{"rn":"d","api":"Nd","rr":false,"srv":["4"],"poa":["http://d"]}`)
	for nu, want := range map[string]string{
		"http://x/y": "{ http://x/y true [{http://x/y false}] false false []}", "http://x/y?ct=json": "{ http://x/y true [{http://x/y false}] false false []}",
		"http://x/y?ct=cbor": "{ http://x/y true [{http://x/y true}] false false []}", "http://x/?a=b": "{ http://x/?a=b true [{http://x/?a=b false}] false false []}",
		"Cb": "{Cb /tally/Cb true [{http://b false} {mqtt://b false}] false false [4]}", "tally/b?ct=cbor": "{Cb /tally/Cb true [{http://b true} {mqtt://b true}] true false [4]}",
		"/tally/Cc": "{Cc /tally/Cc true [{http://c true} {http://d false}] true false [4]}", "Cc?ct=json": "{Cc /tally/Cc true [{http://c false} {http://d false}] false false [4]}",
		"Cd": "{Cd /tally/Cd false [] false false [4]}", "Ca": "{Ca /tally/Ca false [] false false [4]}",
		"Cnone": "{  false [] false false []}", "tally": "{  false [] false false []}", "/other/Cx": "{  false [] false false []}",
	} {
		if got := fmt.Sprint(n.Route(n.State, nu)); got != want {
			t.Errorf("%s: got %s, want %s", nu, got, want)
		}
	}
}

// TS-0001 clause 10.2.10 and TS-0004 clause 7.5.1.2: NOTIFY requests.
func TestNotify(t *testing.T) {
	n, cnt := watched(t, `"nct":3`)
	n.MayRegister = true
	n.MustCreate("Cb", "tally", onem2m.TypeAE, `{"rn":"b","api":"Nb","rr":true,"srv":["4"],"poa":["http://b"]}`)
	notify := func(from, to, content string) cse.Result {
		return n.Read(n.State, n.Complete(onem2m.Request{Operation: onem2m.Notify, From: from, To: to, Content: []byte(content)}), n.Env())
	}
	const good = `{"m2m:sgn":{"sur":"/x/s"}}`
	got := notify("Cb", "tally/b", good)
	wantStatus(t, "own AE", got, onem2m.StatusOK)
	if diff := cmp.Diff([]cse.Event{{Targets: []string{"Cb"}, Content: []byte(good), Originator: "Cb"}}, got.Events); diff != "" {
		t.Error(diff)
	}
	for _, other := range []string{`{"m2m:agn":{"m2m:sgn":[{"sur":"/x/s"}]}}`, `{"m2m:rsp":{"rsc":2000,"rqi":"1"}}`} {
		wantStatus(t, other, notify("Cb", "tally/b", other), onem2m.StatusOK)
	}
	wantStatus(t, "no privilege", notify("Ca", "tally/b", good), onem2m.StatusOriginatorHasNoPrivilege)
	wantStatus(t, "container", notify("Ca", cnt, good), onem2m.StatusOperationNotAllowed)
	wantStatus(t, "CSE", notify("Coperator", "tally", good), onem2m.StatusBadRequest)
	wantStatus(t, "a CREATE without a type", notify("Ca", cnt, `{"m2m:cin":{"con":"1"}}`), onem2m.StatusBadRequest)
	for _, bad := range []string{``, `{}`, `[]`, `{"m2m:cin":{}}`, `{"m2m:sgn":[]}`, `{"m2m:sgn":{}}`, `{"m2m:sgn":{"sur":1}`, `{"m2m:sgn":{"sur":"a"},"x":{}}`, `{"m2m:agn":{}}`, `{"m2m:rsp":{"rqi":"1"}}`} {
		wantStatus(t, bad, notify("Cb", "Cb", bad), onem2m.StatusBadRequest)
	}
}

// TS-0001 clause 9.6.8, operationMonitor and notificationEventType 5: operations that change nothing.
func TestObserved(t *testing.T) {
	n, cnt := watched(t, `"nct":3,"enc":{"om":[{"ops":34,"or":"Ca"},{"ops":2,"or":"Coperator"}]}`)
	n.MustCreate("Ca", cnt, onem2m.TypeSubscription, `{"rn":"sub2","nu":["http://empty"],"enc":{"net":[5]}}`)
	read := func(from, to string, usage onem2m.FilterUsage) cse.Result {
		req := onem2m.Request{Operation: onem2m.Retrieve, From: from, To: to}
		if usage != 0 {
			req.Filter = &onem2m.FilterCriteria{Usage: usage}
		}
		return n.Read(n.State, n.Complete(req), n.Env())
	}
	seen := `http://h {"m2m:sgn":{"nev":{"om":{"op":2,"or":"Ca"},"rep":{"m2m:uri":"/tally/` + cnt + `"}},"sur":"/tally/sub5","cr":"Ca"}}`
	wantEvents(t, "retrieve", read("Ca", cnt, 0), seen)
	wantEvents(t, "discovery", read("Ca", cnt, onem2m.FilterUsageDiscovery), seen)
	if got := read("Cother", cnt, 0); len(got.Events) != 0 || got.Response.Status != onem2m.StatusOriginatorHasNoPrivilege {
		t.Errorf("a refused request: %d, %v", got.Response.Status, sgn(got))
	}
	for _, virtual := range []string{"/la", "/ol"} {
		got := read("Ca", cnt+virtual, 0)
		if list := sgn(got); got.Response.Status != onem2m.StatusNotFound || len(list) != 1 || !strings.HasPrefix(list[0], `http://empty {"m2m:sgn":{"nev":{"net":5,"rep":{"m2m:cnt":{`) {
			t.Errorf("%s of a container without instances: %d, %v", virtual, got.Response.Status, list)
		}
	}
	n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"con":"1"}`)
	wantEvents(t, "there is one", read("Ca", cnt+"/la", 0))
	wantEvents(t, "of a subscription", read("Ca", cnt+"/sub1", 0))
}

// TS-0004 clause 7.5.1.2.3: whose privilege is missing when an AE is asked whether it wants a subscription.
func TestVerificationPrivileges(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, `{"pv":{"acr":[{"acor":["Ca","Chost","Cmaker"],"acop":63}]},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}}`)
	wantStatus(t, "policy", n.Update("Ca", "Ca", onem2m.TypeAE, `{"acpi":["`+acp+`"]}`), onem2m.StatusUpdated)
	for _, test := range []struct {
		from, content string
		want          onem2m.StatusCode
	}{
		{"Chost", `{"m2m:sgn":{"vrq":true,"sur":"/x/s","cr":"Cmaker"}}`, onem2m.StatusOK},
		{"Chost", `{"m2m:sgn":{"vrq":true,"sur":"/x/s"}}`, onem2m.StatusOK},
		{"Chost", `{"m2m:sgn":{"vrq":true,"sur":"/x/s","cr":"Cnobody"}}`, onem2m.StatusSubscriptionCreatorHasNoPrivilege},
		{"Cnobody", `{"m2m:sgn":{"vrq":true,"sur":"/x/s","cr":"Cmaker"}}`, onem2m.StatusSubscriptionHostHasNoPrivilege},
		{"Cnobody", `{"m2m:sgn":{"sur":"/x/s"}}`, onem2m.StatusOriginatorHasNoPrivilege},
		{"Cnobody", `{"m2m:sgn":{"vrq":true,`, onem2m.StatusOriginatorHasNoPrivilege},
	} {
		req := onem2m.Request{Operation: onem2m.Notify, From: test.from, To: "Ca", Content: []byte(test.content)}
		wantStatus(t, test.from+" "+test.content, n.Read(n.State, n.Complete(req), n.Env()), test.want)
	}
}

// A subscription whose creator has lost the RETRIEVE privilege, which creating it took (TS-0004 clause 7.4.8.2.1),
// does not notify.
func TestNotificationRevoked(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.Register("Cb", "ae2")
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, `{"pv":{"acr":[{"acor":["Ca","Cb"],"acop":63}]},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}}`)
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"cnt1","acpi":["`+acp+`"]}`)
	n.MustCreate("Cb", cnt, onem2m.TypeSubscription, `{"rn":"sub1","nu":["http://h"],"nct":3,"enc":{"net":[3]}}`)
	if got := create(n, cnt, onem2m.TypeContentInstance, `{"con":"1"}`); len(got.Events) != 1 {
		t.Errorf("before: %v", sgn(got))
	}
	wantStatus(t, "revoke", n.Update("Ca", acp, onem2m.TypeACP, `{"pv":{"acr":[{"acor":["Ca"],"acop":63}]}}`), onem2m.StatusUpdated)
	if got := create(n, cnt, onem2m.TypeContentInstance, `{"con":"2"}`); len(got.Events) != 0 {
		t.Errorf("after: %v", sgn(got))
	}
}
