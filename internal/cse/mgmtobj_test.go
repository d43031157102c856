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

// TS-0004 clause 7.4.15 and Annex D: what is stored, what the CSE gives, and what is refused.
func TestMgmtObj(t *testing.T) {
	n := csetest.NewNetwork(t)
	nod := n.MustCreate("Coperator", "tally", onem2m.TypeNode, `{"rn":"n","ni":"urn:node:1"}`)
	execute := func(op onem2m.Operation, from, to, content string) cse.Result {
		t.Helper()
		req := onem2m.Request{Operation: op, From: from, To: to, Content: []byte(content)}
		if op == onem2m.Create {
			req.Type = onem2m.TypeMgmtObj
		}
		return n.Execute(n.Complete(req))
	}
	for _, c := range []struct {
		op      onem2m.Operation
		to      string
		content string
		status  onem2m.StatusCode
		want    string // pieces of the representation, apart by blanks
	}{
		{onem2m.Create, nod, `{"m2m:fwr":{"mgd":1001,"rn":"fwr","dc":"a","vr":"1","fwn":"f","url":"x.org","ud":false}}`, 2001, `"m2m:fwr":{"ty":13 "mgd":1001 "uds":{"sus":0} "pi":"` + nod + `"`},
		{onem2m.Update, "tally/n/fwr", `{"m2m:fwr":{"ud":true,"uds":{"acn":"update","sus":3}}}`, 2004, `"ud":true "sus":3`},
		{onem2m.Update, "tally/n/fwr", `{"m2m:fwr":{"mgd":1001}}`, 4000, ``},
		{onem2m.Update, "tally/n/fwr", `{"m2m:swr":{"vr":"2"}}`, 4000, ``},
		{onem2m.Update, "tally/n/fwr", `{"m2m:fwr":{"vr":null}}`, 4000, ``},
		{onem2m.Update, "tally/n/fwr", `{"m2m:fwr":{"dc":null}}`, 2004, `"vr":"1"`},
		{onem2m.Create, nod, `{"m2m:fwr":{"mgd":1001,"vr":"1","fwn":"f","url":"x.org","ud":false,"uds":{}}}`, 4000, ``},
		{onem2m.Create, nod, `{"m2m:swr":{"mgd":1002,"rn":"swr","vr":"1","swn":"s","url":"x.org"}}`, 2001, `"in":false "un":false "act":false "dea":false "ins":{"sus":0} "acts":{"sus":0}`},
		{onem2m.Create, nod, `{"m2m:swr":{"mgd":1002,"vr":"1","swn":"s","url":"x.org","in":true}}`, 4000, ``},
		{onem2m.Update, "tally/n/swr", `{"m2m:swr":{"in":true,"un":false}}`, 2004, `"in":true`},
		{onem2m.Update, "tally/n/swr", `{"m2m:swr":{"in":true,"un":true}}`, 4000, ``},
		{onem2m.Update, "tally/n/swr", `{"m2m:swr":{"act":true,"dea":true}}`, 4000, ``},
		{onem2m.Update, "tally/n/swr", `{"m2m:swr":{"ins":{"sus":1}}}`, 4000, ``},
		{onem2m.Create, nod, `{"m2m:mem":{"mgd":1003,"mma":1234,"mmt":4321}}`, 2001, `"mma":1234 "mmt":4321`},
		{onem2m.Create, nod, `{"m2m:mem":{"mgd":1003,"mma":-1,"mmt":4321}}`, 4000, ``},
		{onem2m.Create, nod, `{"m2m:mem":{"mgd":1003,"mma":1}}`, 4000, ``},
		{onem2m.Create, nod, `{"m2m:mem":{"mma":1,"mmt":1}}`, 4000, ``},
		{onem2m.Create, nod, `{"m2m:mem":{"mgd":1006,"mma":1,"mmt":1}}`, 4000, ``},
		{onem2m.Create, nod, `{"m2m:xyz":{"mgd":1006,"btl":1,"bts":1}}`, 4000, ``},
		{onem2m.Create, nod, `{"cod:tempe":{"mgd":1006,"btl":1,"bts":1}}`, 4000, ``},
		{onem2m.Create, nod, `{"m2m:mgo":{"mgd":0}}`, 5001, ``},
		{onem2m.Create, nod, `{"m2m:mgo":{}}`, 4000, ``},
		{onem2m.Create, nod, `{"m2m:cmp":{"mgd":1011,"cpn":"x"}}`, 5001, ``},
		{onem2m.Create, nod, `{"m2m:cmp":{"mgd":99999}}`, 4000, ``},
		{onem2m.Create, nod, `{"m2m:bat":{"mgd":1006,"rn":"bat","btl":23,"bts":5}}`, 2001, `"btl":23 "bts":5`},
		{onem2m.Create, nod, `{"m2m:bat":{"mgd":1006,"btl":23,"bts":8}}`, 4000, ``},
		{onem2m.Create, nod, `{"m2m:bat":{"mgd":1006,"btl":23,"bts":1,"cmlk":[{"nm":"a","typ":1003,"val":"mgo1"}],"obis":["a"],"obps":["b"],"mgs":"c"}}`, 2001, `"cmlk":[{"nm":"a","typ":1003`},
		{onem2m.Update, "tally/n/bat", `{"m2m:bat":{"obis":["a"]}}`, 4000, ``},
		{onem2m.Create, nod, `{"m2m:ani":{"mgd":1004,"ant":"a","ldv":["d1","d2"]}}`, 2001, `"ldv":["d1","d2"]`},
		{onem2m.Create, nod, `{"m2m:andi":{"mgd":1005,"dvd":"d","dvt":"t","awi":"n","sli":5,"sld":23,"lnh":["d1"]}}`, 2001, `"sli":5`},
		{onem2m.Create, nod, `{"m2m:dvi":{"mgd":1007,"dlb":"|a:b","man":"m","mod":"x","dty":"t","mfd":"20010511T214200","syst":"20010511T214200","loc":"Sol","ptl":["http"],"cnty":"Earth"}}`, 2001, `"cnty":"Earth" "loc":"Sol"`},
		{onem2m.Create, nod, `{"m2m:dvc":{"mgd":1008,"rn":"dvc","can":"c","att":true,"cas":{"acn":"a","sus":1},"cus":true}}`, 2001, `"ena":true "dis":true`},
		{onem2m.Update, "tally/n/dvc", `{"m2m:dvc":{"ena":false,"dis":false}}`, 2004, `"ena":true "dis":true`},
		{onem2m.Update, "tally/n/dvc", `{"m2m:dvc":{"dis":true}}`, 2004, `"ena":true "dis":true`},
		{onem2m.Update, "tally/n/dvc", `{"m2m:dvc":{"ena":true,"dis":true}}`, 4000, ``},
		{onem2m.Create, nod, `{"m2m:rbo":{"mgd":1009,"rn":"rbo","rbo":true}}`, 2001, `"rbo":false "far":false`},
		{onem2m.Update, "tally/n/rbo", `{"m2m:rbo":{"rbo":true}}`, 2004, `"rbo":false "far":false`},
		{onem2m.Update, "tally/n/rbo", `{"m2m:rbo":{"rbo":true,"far":true}}`, 4000, ``},
		{onem2m.Create, nod, `{"m2m:evl":{"mgd":1010,"rn":"evl","lgt":1,"lgd":"x","lgst":2}}`, 2001, `"lga":false "lgo":false`},
		{onem2m.Update, "tally/n/evl", `{"m2m:evl":{"lga":true,"lgo":true}}`, 4000, ``},
		{onem2m.Update, "tally/n/evl", `{"m2m:evl":{"lga":true,"lgst":1}}`, 2004, `"lga":true`},
		{onem2m.Create, nod, `{"dcfg:datc":{"mgd":1021,"cntp":"tally/a/c","meil":5,"rpsc":[{"sce":["* 0-5 2,6,10 * * * *"]}]}}`, 2001, `"meil":5`},
		{onem2m.Create, nod, `{"dcfg:datc":{"mgd":1021,"cntp":"tally/a/c","rpsc":[{"sce":["now"]}]}}`, 4000, ``},
		{onem2m.Create, nod, `{"dcfg:nycfc":{"mgd":1023,"suids":[42],"mcff":"application/pkcs7mime","mcfc":"x"}}`, 2001, `"suids":[42]`},
		{onem2m.Create, nod, `{"m2m:nycfc":{"mgd":1023,"suids":[99],"mcff":"application/pkcs7mime","mcfc":"x"}}`, 2001, `"m2m:nycfc"`},
		{onem2m.Create, nod, `{"dcfg:wific":{"mgd":1028,"ssid":"a","scan":false,"wcrds":{"enct":4,"wpap":"x"}}}`, 2001, `"ud":false "uds":{"sus":0}`},
		{onem2m.Create, nod, `{"dcfg:crds":{"mgd":1029,"pur":"x"}}`, 2001, `"pur":"x"`},
		{onem2m.Create, nod, `{"dcfg:sim":{"mgd":1030,"icid":"8949","sity":3}}`, 2001, `"sity":3`},
		{onem2m.Create, nod, `{"dcfg:mnwk":{"mgd":1031,"cnb":7,"ipad":[{"ip4":"10.0.0.1"}],"rss":-90}}`, 2001, `"rss":-90`},
		{onem2m.Create, "tally", `{"m2m:bat":{"mgd":1006,"btl":23,"bts":5}}`, 4108, ``},
		{onem2m.Create, "tally/n/bat", `{"m2m:bat":{"mgd":1006,"btl":23,"bts":5}}`, 4108, ``},
	} {
		result := execute(c.op, "Coperator", c.to, c.content)
		if result.Response.Status != c.status {
			t.Errorf("operation %d on %s with %s: %d %s, want %d", c.op, c.to, c.content, result.Response.Status, result.Response.Content, c.status)
		}
		for _, piece := range strings.Fields(c.want) {
			if !strings.Contains(string(result.Response.Content), piece) {
				t.Errorf("operation %d on %s with %s: %s has no %s", c.op, c.to, c.content, result.Response.Content, piece)
			}
		}
	}
	// Discovery by type and by custom attribute; children under their own root members; a subscription.
	filter := &onem2m.FilterCriteria{Types: []onem2m.ResourceType{onem2m.TypeMgmtObj}, Attributes: []onem2m.AttributeFilter{{Name: "btl", Value: "23"}}}
	found := n.Read(n.State, n.Complete(onem2m.Request{
		Operation: onem2m.Retrieve, From: "Coperator", To: nod, Filter: filter, ResultContent: onem2m.ResultContentChildResources,
	}), n.Env())
	if got := string(found.Response.Content); strings.Count(got, `"btl":23`) != 2 || !strings.Contains(got, `{"m2m:nod":{"m2m:bat":[{`) || strings.Contains(got, "m2m:mem") {
		t.Errorf("search by type and attribute: %s", got)
	}
	one := n.Read(n.State, n.Complete(onem2m.Request{Operation: onem2m.Retrieve, From: "Coperator", To: "tally/n/bat", Attributes: []string{"btl", "mgd"}}), n.Env())
	if got := string(one.Response.Content); got != `{"m2m:bat":{"btl":23,"mgd":1006}}` {
		t.Errorf("attribute list: %s", got)
	}
	n.MustCreate("Coperator", "tally/n/bat", onem2m.TypeSubscription, `{"nu":["http://x/"],"enc":{"net":[1]}}`)
	if events := execute(onem2m.Update, "Coperator", "tally/n/bat", `{"m2m:bat":{"btl":22}}`).Events; len(events) != 1 || !strings.Contains(string(events[0].Content), `"m2m:bat":{"ty":13`) {
		t.Errorf("notifications: %+v", events)
	}
	// What was asked for shows as the attribute that was written, though it has no other value than before (D.10).
	n.MustCreate("Coperator", "tally/n/rbo", onem2m.TypeSubscription, `{"nu":["http://x/"],"enc":{"net":[1]},"nct":2}`)
	if events := execute(onem2m.Update, "Coperator", "tally/n/rbo", `{"m2m:rbo":{"rbo":true}}`).Events; len(events) != 1 || !strings.Contains(string(events[0].Content), `"rbo":false`) || strings.Contains(string(events[0].Content), `"far"`) {
		t.Errorf("notifications of a reboot: %+v", events)
	}
	// One with a root member for each specialization.
	all := n.Read(n.State, n.Complete(onem2m.Request{
		Operation: onem2m.Retrieve, From: "Coperator", To: nod, ResultContent: onem2m.ResultContentAttributesAndChildren,
	}), n.Env())
	if got := string(all.Response.Content); !strings.Contains(got, `"m2m:mem":[{`) || !strings.Contains(got, `"m2m:bat":[{`) || !strings.Contains(got, `"dcfg:nycfc":[{`) || !strings.Contains(got, `"m2m:nycfc":[{`) {
		t.Errorf("the node with all below it: %s", got)
	}
	n.Register("Ca", "a")
	if got := execute(onem2m.Update, "Ca", "tally/n/bat", `{"m2m:bat":{"btl":1}}`).Response.Status; got != 4103 {
		t.Errorf("update without a right: %d", got)
	}
	if got := n.Delete("Coperator", "tally/n").Response.Status; got != onem2m.StatusDeleted {
		t.Errorf("delete the node: %d", got)
	}
}

// hostedAELinks of nodes are in step with nodeLink of AEs (TS-0001 clauses 9.6.5 and 9.6.18), and the log alone gives the
// same again.
func TestNodeLink(t *testing.T) {
	n := csetest.NewNetwork(t)
	var log []logged
	do := func(req onem2m.Request, want onem2m.StatusCode) string {
		t.Helper()
		at, index := n.Time, n.Next
		n.MayRegister = true
		result := n.Execute(n.Complete(req))
		if result.Response.Status != want {
			t.Fatalf("%+v: %d %s, want %d", req, result.Response.Status, result.Response.Content, want)
		}
		for i, e := range result.Effects {
			log = append(log, logged{e, index + uint64(i), at})
		}
		if len(result.Effects) == 0 {
			return ""
		}
		return result.Effects[0].Resource
	}
	create := func(from string, typ onem2m.ResourceType, body string) string {
		t.Helper()
		return do(onem2m.Request{Operation: onem2m.Create, From: from, To: "tally", Type: typ, Content: csetest.Content(typ, body)}, 2001)
	}
	update := func(from, to string, typ onem2m.ResourceType, body string, want onem2m.StatusCode) {
		t.Helper()
		do(onem2m.Request{Operation: onem2m.Update, From: from, To: to, Content: csetest.Content(typ, body)}, want)
	}
	remove := func(from, to string) {
		t.Helper()
		do(onem2m.Request{Operation: onem2m.Delete, From: from, To: to}, 2002)
	}
	has := func(to, piece string) {
		t.Helper()
		from := "Coperator"
		if to[0] == 'C' {
			from = to
		}
		got := string(n.Retrieve(from, to).Response.Content)
		if name, absent := strings.CutPrefix(piece, "!"); absent && strings.Contains(got, name) || !absent && !strings.Contains(got, piece) {
			t.Errorf("%s is %s, want %s", to, got, piece)
		}
	}
	ae := func(id, nl string) {
		t.Helper()
		create(id, onem2m.TypeAE, fmt.Sprintf(`{"rn":%q,"api":"Nx","rr":false,"srv":["4"],"nl":%q}`, "ae"+id, nl))
	}
	n1 := create("Coperator", onem2m.TypeNode, `{"rn":"n1","ni":"1"}`)
	n2 := create("Coperator", onem2m.TypeNode, `{"rn":"n2","ni":"2"}`)
	ae("Ca", n1)
	ae("Cb", "/tally/tally/n1")
	ae("Cc", "/elsewhere/nod1")
	ae("Cd", "tally/aeCa")
	has(n1, `"hael":["Ca","Cb"]`)
	update("Ca", "Ca", onem2m.TypeAE, `{"nl":"tally/n2"}`, 2004)
	has(n1, `"hael":["Cb"]`)
	has(n2, `"hael":["Ca"]`)
	update("Ca", "Ca", onem2m.TypeAE, `{"nl":"`+n2+`","lbl":["x"]}`, 2004) // the same node by another address
	has(n2, `"hael":["Ca"]`)
	update("Cb", "Cb", onem2m.TypeAE, `{"nl":null}`, 2004)
	has(n1, `!hael`)
	update("Cb", "Cb", onem2m.TypeAE, `{"nl":"`+n2+`"}`, 2004)
	has(n2, `"hael":["Ca","Cb"]`)
	remove("Cb", "Cb")
	has(n2, `"hael":["Ca"]`)
	update("Coperator", n1, onem2m.TypeNode, `{"hael":["Ca","Cnone","Cc"]}`, 2004)
	remove("Coperator", n1)
	has("Ca", `"nl":"`+n2+`"`) // it was never on n1 by its own word
	has("Cc", `"nl":"/elsewhere/nod1"`)
	remove("Coperator", n2)
	has("Ca", `!"nl"`)

	// No node lists more than there is room for, by whoever's request.
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf(`"C%d"`, i))
	}
	n3 := create("Coperator", onem2m.TypeNode, `{"rn":"n3","ni":"3","hael":[`+strings.Join(many, ",")+`]}`)
	update("Coperator", n3, onem2m.TypeNode, `{"hael":[`+strings.Join(append(many, `"Ca"`), ",")+`]}`, 5207)
	update("Ca", "Ca", onem2m.TypeAE, `{"nl":"`+n3+`"}`, 5207)

	again := csetest.NewNetwork(t)
	for _, e := range log {
		repeat(t, again.Core, again.State, e, e.Payload)
	}
	if diff := cmp.Diff(n.State.Dump(), again.State.Dump()); diff != "" {
		t.Errorf("rebuilt state differs (-first +rebuilt):\n%s", diff)
	}
}
