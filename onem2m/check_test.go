package onem2m

import (
	"errors"
	"strings"
	"testing"
)

// parse checks content as the core does for a resource type.
func parse(op Operation, content string) error {
	tag, members, err := ParseContent([]byte(content))
	if err != nil {
		return err
	}
	d := LookupTag(tag)
	if d == nil {
		return badRequest("unknown tag %s", tag)
	}
	if op == Create {
		return d.CheckCreate(members)
	}
	return d.CheckUpdate(members)
}

type checkCase struct {
	op      Operation
	content string
	want    string // a part of the message, "" when the content is accepted
}

func runChecks(t *testing.T, cases []checkCase) {
	t.Helper()
	for _, c := range cases {
		err := parse(c.op, c.content)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: refused: %v", c.content, err)
			}
			continue
		}
		var e *Error
		if err == nil || !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an Error with %q", c.content, err, c.want)
		}
	}
}

// TS-0004 clause 7.2.2.2 (validation of a request's representation).
func TestContentShape(t *testing.T) {
	runChecks(t, []checkCase{
		{Create, ` { "m2m:cnt" : { "mni" : 10 , "lbl":[ "a b" ] } } `, ""},
		{Create, `{"m2m:cnt":{}}`, ""},
		{Create, `{"m2m:c\u006et":{"\u006dni":1}}`, ""},
		{Create, ``, "want one JSON object"},
		{Create, `[]`, "want one JSON object"},
		{Create, `{}`, "name of a member"},
		{Create, `{"m2m:cnt":1}`, "not a JSON object"},
		{Create, `{"m2m:cnt":{},"m2m:cnt":{}}`, "more than one root member"},
		{Create, `{"m2m:cnt":{}} x`, "after the end"},
		{Create, `{"m2m:cnt":{}`, "ends early"},
		{Create, `{"m2m:cnt":{"mni":1`, "ends early"},
		{Create, `{"m2m:cnt":{"mni":1]`, "expected , or }"},
		{Create, `{"m2m:cnt":{"mni":1,}}`, "name of a member"},
		{Create, `{"m2m:cnt":{"mni":1,"mni":2}}`, "given twice"},
		{Create, `{"m2m:cnt":{"mni":1,"\u006dni":2}}`, "given twice"},
		{Create, `{"m2m:cnt":{"lbl":[{"a":1,"a":2}]}}`, "two members named"},
		{Create, `{"m2m:cnt":{"xyz":1}}`, `no attribute "xyz"`},
		{Create, "{\"m2m:cnt\":{\"lbl\":[\"\xff\"]}}", "UTF-8"},
		{Create, `{"m2m:cin":{"con":"\ud800"}}`, "bad escape"},
		{Create, `{"m2m:cin":{"con":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `}}`, ""},
		{Create, `{"m2m:cin":{"con":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}}`, "deeper than 32"},
		{Update, `{"m2m:cnt":{}}`, ""},
	})
	var many strings.Builder
	for i := range maxMembers + 1 {
		many.WriteString(`,"` + ResourceRI(TypeContainer, uint64(i)) + `":0`)
	}
	if err := parse(Create, `{"m2m:cnt":{`+many.String()[1:]+`}}`); err == nil || !strings.Contains(err.Error(), "more than 64") {
		t.Errorf("too many attributes: %v", err)
	}
}

// TS-0004 clause 7.4.6.
func TestContainer(t *testing.T) {
	runChecks(t, []checkCase{
		{Create, `{"m2m:cnt":{"rn":"a-b.c_d~9","mni":0,"mbs":1,"mia":2,"disr":true,"et":"20301231T235959","or":"http://x/y"}}`, ""},
		{Create, `{"m2m:cnt":{"cr":null}}`, ""},
		{Create, `{"m2m:cnt":{"cr":"Cx"}}`, "cr of container: want null"},
		{Create, `{"m2m:cnt":{"cni":1}}`, "cni of container is not allowed in a CREATE"},
		{Create, `{"m2m:cnt":{"st":1}}`, "not allowed"},
		{Create, `{"m2m:cnt":{"ri":"x"}}`, "not allowed"},
		{Create, `{"m2m:cnt":{"mni":-1}}`, "at least 0"},
		{Create, `{"m2m:cnt":{"mni":1.0}}`, "want an integer"},
		{Create, `{"m2m:cnt":{"mni":99999999999999999999}}`, "want an integer"},
		{Create, `{"m2m:cnt":{"mni":null}}`, "want an integer"},
		{Create, `{"m2m:cnt":{"mni":"1"}}`, "want an integer"},
		{Create, `{"m2m:cnt":{"rn":"la"}}`, "reserved"},
		{Create, `{"m2m:cnt":{"rn":"ol"}}`, "reserved"},
		{Create, `{"m2m:cnt":{"rn":"fopt"}}`, "reserved"},
		{Create, `{"m2m:cnt":{"rn":"a/b"}}`, "character"},
		{Create, `{"m2m:cnt":{"rn":""}}`, "want a name"},
		{Create, `{"m2m:cnt":{"rn":"` + strings.Repeat("x", 257) + `"}}`, "want a name"},
		{Create, `{"m2m:cnt":{"lbl":"a"}}`, "want a list"},
		{Create, `{"m2m:cnt":{"lbl":[]}}`, ""},
		{Create, `{"m2m:cnt":{"lbl":["a",1]}}`, "element 1: want a string"},
		{Create, `{"m2m:cnt":{"lbl":[" a"]}}`, "token"},
		{Create, `{"m2m:cnt":{"disr":1}}`, "true or false"},
		{Create, `{"m2m:cnt":{"et":"2030"}}`, "YYYYMMDD"},
		{Create, `{"m2m:cnt":{"acpi":["a b"]}}`, "blank"},
		{Create, `{"m2m:cnt":{"acpi":[""]}}`, "non-empty"},
		{Create, `{"m2m:cnt":{"loc":{"typ":1,"crd":"[52.5,13.4]"}}}`, ""},
		{Create, `{"m2m:cnt":{"loc":{"typ":1,"crd":[52.5,13.4]}}}`, ""},
		{Create, `{"m2m:cnt":{"loc":{"typ":7,"crd":[52.5,13.4]}}}`, "not a value of m2m:geometryType"},
		{Create, `{"m2m:cnt":{"loc":{"typ":1,"crd":["x"]}}}`, "numbers"},
		{Create, `{"m2m:cnt":{"loc":{"typ":1}}}`, "must have crd"},
		{Update, `{"m2m:cnt":{"mni":null,"lbl":null,"acpi":null,"et":null}}`, ""},
		{Update, `{"m2m:cnt":{"rn":"x"}}`, "not allowed in an UPDATE"},
		{Update, `{"m2m:cnt":{"cr":null}}`, "not allowed in an UPDATE"},
		{Update, `{"m2m:cnt":{"mni":true}}`, "want an integer"},
	})
}

// TS-0004 clause 7.4.7.
func TestContentInstance(t *testing.T) {
	runChecks(t, []checkCase{
		{Create, `{"m2m:cin":{"con":"73.96","cnf":"text/plain:0"}}`, ""},
		{Create, `{"m2m:cin":{"con":""}}`, ""},
		{Create, `{"m2m:cin":{"con":73.96}}`, ""},
		{Create, `{"m2m:cin":{"con":{"t":[1,2,null]}}}`, ""},
		{Create, `{"m2m:cin":{"con":false}}`, ""},
		{Create, `{"m2m:cin":{"con":null}}`, "null is not a value"},
		{Create, `{"m2m:cin":{"cnf":"text/plain:0"}}`, "mandatory attribute con of contentInstance is missing"},
		{Create, `{"m2m:cin":{"con":"1","cs":1}}`, "not allowed"},
		{Create, `{"m2m:cin":{"con":"1","conr":[{"nm":"a","uri":"http://x"}]}}`, ""},
		{Create, `{"m2m:cin":{"con":"1","conr":[{"nm":"1a","uri":"http://x"}]}}`, "is not a name"},
		{Create, `{"m2m:cin":{"con":"1","dgt":"20250101T000000,5"}}`, ""},
		{Create, `{"m2m:cin":{"con":"1","dgt":"yesterday"}}`, "neither a timestamp"},
		{Update, `{"m2m:cin":{"lbl":["x"]}}`, "OPERATION_NOT_ALLOWED"},
	})
}

// TS-0004 clause 7.4.2 and 6.3.5 (m2m:setOfAcrs).
func TestAccessControlPolicy(t *testing.T) {
	const rule = `{"acor":["CAdmin"],"acop":63}`
	with := func(member string) string {
		return `{"m2m:acp":{"pv":{"acr":[{"acor":["all"],"acop":2,` + member + `}]},"pvs":{"acr":[` + rule + `]}}}`
	}
	runChecks(t, []checkCase{
		{Create, `{"m2m:acp":{"pv":{"acr":[` + rule + `]},"pvs":{"acr":[` + rule + `]}}}`, ""},
		{Create, `{"m2m:acp":{"pv":{},"pvs":{"acr":[` + rule + `]}}}`, ""},
		{Create, `{"m2m:acp":{"pv":{"acr":[]}}}`, "pvs of accessControlPolicy is missing"},
		{Create, `{"m2m:acp":{"pv":{"acr":[{"acop":63}]},"pvs":{}}}`, "must have acor"},
		{Create, `{"m2m:acp":{"pv":{"acr":[{"acor":[],"acop":63}]},"pvs":{}}}`, "at least one element"},
		{Create, `{"m2m:acp":{"pv":{"acr":[{"acor":["x"],"acop":64}]},"pvs":{}}}`, "not a value of m2m:accessControlOperations"},
		{Create, `{"m2m:acp":{"pv":{"acr":[{"acor":["x"],"acop":0}]},"pvs":{}}}`, "not a value"},
		{Create, `{"m2m:acp":{"pv":{"acr":{}},"pvs":{}}}`, "want a list"},
		{Create, with(`"acco":[{"actw":["* * 8-17 * * 1-5 *"],"acip":{"ipv4":["10.0.0.0/8","192.0.2.1"],"ipv6":["2001:db8::/32"]}}]`), ""},
		{Create, with(`"acco":[{"aclr":{"accc":["DE"],"accr":[52.5,13.4,1000]}}]`), ""},
		{Create, with(`"acco":[{"actw":["* * 25 * * * *"]}]`), "field 3"},
		{Create, with(`"acco":[{"actw":["* * *"]}]`), "want 7 fields"},
		{Create, with(`"acco":[{"acip":{"ipv4":["300.1.1.1"]}}]`), "neither an IP address"},
		{Create, with(`"acco":[{"acip":{"ipv4":["::1"]}}]`), "not an ipv4 address"},
		{Create, with(`"acco":[{"acip":{"ipv6":["fe80::1%eth0"]}}]`), "ipv6"},
		{Create, with(`"acod":[{"chty":[3,4],"ty":2}]`), ""},
		{Create, with(`"acod":[{"ty":2}]`), "must have chty"},
		{Create, with(`"zzz":1`), `no member "zzz"`},
		{Update, `{"m2m:acp":{"pv":null}}`, "cannot be removed"},
		{Update, `{"m2m:acp":{"pv":{"acr":[` + rule + `]}}}`, ""},
	})
}

// TS-0004 clauses 7.4.5, 7.4.3, 7.4.13 and 7.4.18.
func TestOtherTypes(t *testing.T) {
	runChecks(t, []checkCase{
		{Create, `{"m2m:ae":{"api":"Nfleet","rr":false,"srv":["4"],"poa":["http://127.0.0.1:9000"]}}`, ""},
		{Create, `{"m2m:ae":{"api":"fleet","rr":false,"srv":["4"]}}`, "App-ID"},
		{Create, `{"m2m:ae":{"api":"Nfleet","srv":["4"]}}`, "rr of AE is missing"},
		{Create, `{"m2m:ae":{"api":"Nfleet","rr":false,"srv":["4"],"aei":"Cx"}}`, "not allowed"},
		{Update, `{"m2m:ae":{"api":"Nx"}}`, "not allowed"},
		{Update, `{"m2m:ae":{"rr":true,"poa":null}}`, ""},
		{Create, `{"m2m:cb":{}}`, "OPERATION_NOT_ALLOWED"},
		{Update, `{"m2m:cb":{"lbl":["x"]}}`, "OPERATION_NOT_ALLOWED"},
		{Create, `{"m2m:grp":{"mnm":10,"mid":["a","b"],"mt":0,"csy":1}}`, ""},
		{Create, `{"m2m:grp":{"mnm":0,"mid":[]}}`, "at least 1"},
		{Create, `{"m2m:grp":{"mnm":1}}`, "mid of group is missing"},
		{Create, `{"m2m:grp":{"mnm":1,"mid":[],"csy":4}}`, "m2m:consistencyStrategy"},
		{Create, `{"m2m:grp":{"mnm":1,"mid":[],"mt":6}}`, "m2m:memberType"},
		{Create, `{"m2m:nod":{"ni":"urn:x:1","hael":["Cx"]}}`, ""},
		{Create, `{"m2m:nod":{"ni":"urn:x:1","hael":[]}}`, "at least one"},
		{Create, `{"m2m:nod":{}}`, "ni of node is missing"},
	})
}

// TS-0004 clause 7.4.8 and 6.3.5 (m2m:eventNotificationCriteria, m2m:batchNotify, m2m:rateLimit).
func TestSubscription(t *testing.T) {
	runChecks(t, []checkCase{
		{Create, `{"m2m:sub":{"nu":["http://x:1/n"],"nct":1,"enc":{"net":[1,3],"atr":["lbl"],"om":[{"ops":1,"or":"Cx"}],"crb":"20300101T000000"}}}`, ""},
		{Create, `{"m2m:sub":{"nu":["Cx"],"bn":{"num":10,"dur":"PT10S"},"rl":{"mnn":1,"tww":"PT1M"},"exc":1}}`, ""},
		{Create, `{"m2m:sub":{}}`, "nu of subscription is missing"},
		{Create, `{"m2m:sub":{"nu":[]}}`, "at least one"},
		{Create, `{"m2m:sub":{"nu":["x"],"nct":6}}`, "m2m:notificationContentType"},
		{Create, `{"m2m:sub":{"nu":["x"],"enc":{"net":[0]}}}`, "enc of subscription: net: element 0"},
		{Create, `{"m2m:sub":{"nu":["x"],"enc":{"net":[]}}}`, "at least one"},
		{Create, `{"m2m:sub":{"nu":["x"],"enc":{"stb":0}}}`, "at least 1"},
		{Create, `{"m2m:sub":{"nu":["x"],"enc":null}}`, "want an object"},
		{Create, `{"m2m:sub":{"nu":["x"],"bn":{"dur":"10s"}}}`, "duration"},
		{Create, `{"m2m:sub":{"nu":["x"],"bn":{"dur":10}}}`, ""},
		{Create, `{"m2m:sub":{"nu":["x"],"bn":{"dur":"10"}}}`, "duration"},
		{Create, `{"m2m:sub":{"nu":["x"],"bn":{"dur":-1}}}`, "duration"},
		{Create, `{"m2m:sub":{"nu":["x"],"bn":{"dur":1.5}}}`, "duration"},
		{Create, `{"m2m:sub":{"nu":["x"],"bn":{"dur":9223372036854775807}}}`, "duration"},
		{Create, `{"m2m:sub":{"nu":["x"],"enc":{"net":[8],"md":{"num":1,"dur":10}}}}`, "want a string"},
		{Create, `{"m2m:sub":{"nu":["x"],"enc":{"om":[{"ops":3,"org":"Cx"}]}}}`, ""},
		{Create, `{"m2m:sub":{"nu":["x"],"exc":0}}`, "at least 1"},
		{Create, `{"m2m:sub":{"nu":["x"],"nsi":[]}}`, "not allowed"},
		{Update, `{"m2m:sub":{"su":"http://x"}}`, "not allowed"},
		{Update, `{"m2m:sub":{"exc":null,"enc":{"net":[2]}}}`, ""},
		{Update, `{"m2m:sub":{"nu":null}}`, "cannot be removed"},
		{Update, `{"m2m:sub":{"nct":null}}`, "cannot be removed"},
	})
}
