//go:build scenario

package conformance

import (
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/tallystick/tallystick/onem2m"
)

const (
	senMLJSON = "application/senml+json"
	senMLCBOR = "application/senml+cbor"
	octets    = "application/octet-stream"
)

// plainMessages are the corpus. What becomes of a body says docs/ingest.md.
var plainMessages = []plainMessage{
	{title: "JSON: a number keeps its digits", media: "application/json", body: "21.50", status: 2001, stored: one("application/json:0", "21.50"), path: "first"},
	{title: "JSON: an object stays the text it is", media: "application/json", body: ` {"t" : 1e2, "u":"°C"}`, status: 2001, stored: one("application/json:0", ` {"t" : 1e2, "u":"°C"}`)},
	{title: "JSON: a string, true and null", media: "application/json", body: `["on",true,null]`, status: 2001, stored: one("application/json:0", `["on",true,null]`)},
	{title: "JSON: of another type", media: "application/vnd.acme+json;v=2", body: "{}", status: 2001, stored: one("application/vnd.acme+json:0", "{}")},
	{title: "JSON: cut off", media: "application/json", body: `{"t":21.5`, status: 4000, why: "the body is no JSON"},
	{title: "JSON: two values", media: "application/json", body: `1 2`, status: 4000, why: "the body is no JSON"},
	{title: "JSON: too deep", media: "application/json", body: strings.Repeat("[", 5000) + strings.Repeat("]", 5000), status: 4000, why: "the body is no JSON"},

	{title: "text", media: "text/plain;charset=utf-8", body: "19.5 °C\r\n\"quoted\"", status: 2001, stored: one("text/plain:0", "19.5 °C\r\n\"quoted\"")},
	{title: "text: no UTF-8", media: "text/plain;charset=utf-8", body: "\xb0C", status: 4015, why: "no UTF-8"},
	{title: "text: another charset", media: "text/plain;charset=iso-8859-1", body: "21", status: 4015, why: "no UTF-8"},
	{title: "text: XML", media: "application/xml", body: "<t>21</t>", status: 2001, stored: one("application/xml:0", "<t>21</t>")},
	{title: "text: many blocks of CoAP", media: "text/plain;charset=utf-8", body: strings.Repeat("0123456789", 5000), status: 2001,
		stored: one("text/plain:0", strings.Repeat("0123456789", 5000))},

	{title: "bytes", media: octets, body: "\x00\x01\xfe\xff", status: 2001, stored: one("application/octet-stream:1", "AAH+/w==")},
	{title: "bytes: CBOR is kept as bytes", media: "application/cbor", body: "\xa1\x61t\x15", status: 2001, stored: one("application/cbor:1", "oWF0FQ==")},
	{title: "bytes: a picture", media: "image/png", body: "\x89PNG", status: 2001, stored: one("image/png:1", "iVBORw==")},

	{title: "no type: text", body: "21.5 C", ways: "http mqtt coap", status: 2001, stored: one("text/plain:0", "21.5 C")},
	{title: "no type: an object of JSON", body: `{"t":21.5}`, status: 2001, stored: one("application/json:0", `{"t":21.5}`)},
	{title: "no type: bytes", body: "\x00\x01", ways: "http mqtt coap", status: 2001, stored: one("application/octet-stream:1", "AAE=")},
	{title: "no type: JSON over WebSocket", body: "21.5 C", ways: "ws", status: 4000, why: "the body is no JSON"},
	{title: "a form that is none", media: "application/x-www-form-urlencoded", body: "21.5", status: 2001, stored: one("text/plain:0", "21.5")},
	{title: "a form", media: "application/x-www-form-urlencoded", body: "t=21.5&h=40", status: 2001, stored: one("application/x-www-form-urlencoded:0", "t=21.5&h=40")},
	{title: "no media type", media: "nonsense", body: "1", status: 4015, why: "is no media type"},

	{title: "RFC 8428 5.1.1: one record", media: senMLJSON, body: `[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.10,"t":1795435200}]`, status: 2001,
		stored: one("application/senml+json:0", `[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.10,"t":1795435200}]`)},
	{title: "RFC 8428 4.6: records are resolved, and in the order of their times", media: senMLJSON,
		body:   `[{"bn":"urn:dev:ow:1:","bt":1795435200.25,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},{"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.30}]`,
		status: 2001, stored: [][2]string{
			{"application/senml+json:0", `[{"bver":5,"n":"urn:dev:ow:1:current","u":"A","v":1.2,"t":1795435195.25}]`},
			{"application/senml+json:0", `[{"bver":5,"n":"urn:dev:ow:1:current","u":"A","v":1.30,"t":1795435196.25}]`},
			{"application/senml+json:0", `[{"bver":5,"n":"urn:dev:ow:1:voltage","u":"V","v":120.1,"t":1795435200.25}]`},
		}},
	{title: "RFC 8428 4.3: a value of each kind, and a sum", media: senMLJSON,
		body:   `[{"bn":"x","bt":1795435200,"bs":1000},{"vs":"a"},{"vb":false},{"vd":"AQI"},{"s":0.5}]`,
		status: 2001, stored: [][2]string{
			{"application/senml+json:0", `[{"n":"x","vs":"a","s":1000,"t":1795435200}]`},
			{"application/senml+json:0", `[{"n":"x","vb":false,"s":1000,"t":1795435200}]`},
			{"application/senml+json:0", `[{"n":"x","vd":"AQI","s":1000,"t":1795435200}]`},
			{"application/senml+json:0", `[{"n":"x","s":1000.5,"t":1795435200}]`},
		}},
	{title: "RFC 8428 4.5.3: a time counts from now", media: senMLJSON, body: `[{"n":"x","v":1}]`, status: 2001, stored: one("application/senml+json:0", "*")},
	{title: "RFC 8428 4.7: a stream without its end", media: "application/sensml+json", body: "[{\"bn\":\"x\",\"bt\":1795435200,\"v\":1},\n{\"v\":2},\n", status: 2001, stored: [][2]string{
		{"application/senml+json:0", `[{"n":"x","v":1,"t":1795435200}]`}, {"application/senml+json:0", `[{"n":"x","v":2,"t":1795435200}]`},
	}},
	{title: "RFC 8428 4.2: a record without a value refuses the pack", media: senMLJSON, body: `[{"n":"a","v":1},{"n":"b","v":2},{"n":"c"}]`, status: 4000, why: "SenML record 3"},
	{title: "RFC 8428 4.2: two values refuse the pack", media: senMLJSON, body: `[{"n":"a","v":1},{"n":"b","v":2,"vs":"2"}]`, status: 4000, why: "SenML record 2"},
	{title: "RFC 8428 4.4: a label that must be understood", media: senMLJSON, body: `[{"n":"a","v":1},{"n":"b","v":1,"new_":1}]`, status: 4000, why: "SenML record 2"},
	{title: "RFC 8428 4.4: a version that is not known", media: senMLJSON, body: `[{"bver":11,"n":"a","v":1}]`, status: 4000, why: "version"},
	{title: "RFC 8428 4.5.1: no name", media: senMLJSON, body: `[{"v":1}]`, status: 4000, why: "SenML record 1"},
	{title: "RFC 8428 4.5.1: a name that is none", media: senMLJSON, body: `[{"n":"a","v":1},{"n":"b c","v":1}]`, status: 4000, why: "SenML record 2"},
	{title: "RFC 8428 4.5.3: milliseconds are no seconds", media: senMLJSON, body: `[{"n":"a","v":1,"t":1795435200000}]`, status: 4000, why: "SenML record 1"},
	{title: "RFC 8428 5: no array", media: senMLJSON, body: `{"n":"a","v":1}`, status: 4000, why: "array"},
	{title: "RFC 8428 5: no records", media: senMLJSON, body: `[]`, status: 4000, why: "no record"},
	{title: "RFC 8428 5: a number as text", media: senMLJSON, body: `[{"n":"a","v":"1"}]`, status: 4000, why: "SenML record 1"},
	{title: "SenML: too many records", media: senMLJSON, body: "[" + strings.Repeat(`{"n":"a","v":1},`, 4096) + `{"n":"a","v":1}]`, status: 4102, why: "more than 4096 records"},

	{title: "RFC 8428 6: CBOR", media: senMLCBOR, body: inCBOR([]map[any]any{
		{-2: "urn:dev:ow:1:", -3: 1795435200, -4: "A", -1: 5, 0: "voltage", 1: "V", 2: 120.1},
		{0: "current", 6: -5, 2: cbor.Tag{Number: 4, Content: []any{-2, 130}}}, {0: "door", 4: true}, {0: "raw", 8: []byte{0xfb, 0xff}},
	}), status: 2001, stored: [][2]string{
		{"application/senml+json:0", `[{"bver":5,"n":"urn:dev:ow:1:current","u":"A","v":1.30,"t":1795435195}]`},
		{"application/senml+json:0", `[{"bver":5,"n":"urn:dev:ow:1:voltage","u":"V","v":120.1,"t":1795435200}]`},
		{"application/senml+json:0", `[{"bver":5,"n":"urn:dev:ow:1:door","u":"A","vb":true,"t":1795435200}]`},
		{"application/senml+json:0", `[{"bver":5,"n":"urn:dev:ow:1:raw","u":"A","vd":"-_8","t":1795435200}]`},
	}},
	{title: "RFC 8428 6: a stream of CBOR", media: "application/sensml+cbor", body: inCBOR([]map[any]any{{0: "x", 2: 1, 6: 1795435200}}), status: 2001,
		stored: one("application/senml+json:0", `[{"n":"x","v":1,"t":1795435200}]`)},
	{title: "RFC 8428 6: cut off", media: senMLCBOR, body: "\x81\xa2\x00\x61x\x02", status: 4000, why: "no SenML pack in CBOR"},
	{title: "RFC 8428 6: a label that is none", media: senMLCBOR, body: inCBOR([]map[any]any{{0: "x", 2: 1}, {0: "x", 99: 1}}), status: 4000, why: "SenML record 2"},
	{title: "RFC 8428 6: data as text", media: senMLCBOR, body: inCBOR([]map[any]any{{0: "x", 8: "AQI"}}), status: 4000, why: "want a byte string"},
	{title: "RFC 8428 4.2: a record without a value refuses the pack in CBOR", media: senMLCBOR, body: inCBOR([]map[any]any{{0: "x", 2: 1}, {0: "x"}}), status: 4000, why: "SenML record 2"},

	{title: "lines of JSON", media: "application/x-ndjson", body: "{\"t\":21.50}\n\n 2 \r\n\"x\"", status: 2001, stored: [][2]string{
		{"application/json:0", `{"t":21.50}`}, {"application/json:0", "2"}, {"application/json:0", `"x"`},
	}},
	{title: "lines of JSON: one that is none refuses all", media: "application/x-ndjson", body: "1\n2\n{\n3", status: 4000, why: "line 3"},
	{title: "lines of JSON: empty ones only", media: "application/x-ndjson", body: "\n\r\n", status: 4000, why: "no line"},
	{title: "lines of JSON: too many", media: "application/x-ndjson", body: strings.Repeat("1\n", 4097), status: 4102, why: "more than 4096 records"},

	{title: "empty", media: "text/plain;charset=utf-8", status: 4000, why: "the message is empty"},
	{title: "too long for an instance", media: octets, body: strings.Repeat("\xff", 900<<10), status: 4102, why: "takes more than"},
	{title: "too long for a message", media: octets, body: strings.Repeat("\xff", 1<<20+100<<10), status: tooLong},
	{title: "one more after another", media: "application/json", body: "22", path: "first", status: 2001, stored: one("application/json:0", "22")},

	{title: "containers on the way", media: "application/json", body: "1", path: "house/floor.1/room-2/t", status: 2001, stored: one("application/json:0", "1")},
	{title: "a pack into a container on the way", media: "application/x-ndjson", body: "1\n2", path: "house/floor.1/room-3/t", status: 2001,
		stored: [][2]string{{"application/json:0", "1"}, {"application/json:0", "2"}}},
	{title: "the AE by its ID", media: "application/json", body: "23", path: "/<ae-id>/first", status: 2001, stored: one("application/json:0", "23")},
	{title: "a slash at the end", media: "application/json", body: "24", path: "first/", ways: "http ws", status: 2001, stored: one("application/json:0", "24")},
	{title: "the latest instance is no container", media: "application/json", body: "1", path: "first/la", status: 4005, why: "virtual"},
	{title: "no resource name", media: "application/json", body: "1", path: "a b", status: 4000, why: "no resource name"},
	{title: "an empty name", media: "application/json", body: "1", path: "house//t", ways: "http ws coap", status: 4000, why: "no resource name"},
	{title: "an empty topic level", media: "application/json", body: "1", path: "house//t", ways: "mqtt", status: 4004, why: "topic name invalid"},
	{title: "no container", media: "application/json", body: "1", path: "/<ae-id>", status: 4000, why: "names no container"},
	{title: "too many names", media: "application/json", body: "1", path: strings.Repeat("n/", 31) + "n", status: 4000, why: "33 names"},
	{title: "an AE that nobody has", media: "application/json", body: "1", path: "/nobody/first", status: 4004, why: "there is no AE nobody"},
	{title: "no place for instances", media: "application/json", body: "1", path: "policy", status: 4108,
		before: func(d *plainDevice) {
			d.create(onem2m.TypeACP, `{"m2m:acp":{"rn":"policy","pv":{"acr":[{"acor":["`+d.id+`"],"acop":34}]},"pvs":{"acr":[{"acor":["`+d.id+`"],"acop":63}]}}}`)
		}},

	{title: "rights: somebody else, a container that exists", media: "application/json", body: "1", path: "first", from: other, status: 4103},
	{title: "rights: somebody else, a container that does not exist", media: "application/json", body: "1", from: other, status: 4103},
	{title: "rights: a policy that lets read only", media: "application/json", body: "1", path: "read", status: 4103,
		before: func(d *plainDevice) {
			d.create(onem2m.TypeContainer, `{"m2m:cnt":{"rn":"read","acpi":["tally/`+d.ae+`/policy"]}}`)
		}},
	{title: "rights: no token", media: "application/json", body: "1", path: "first", from: noToken, status: 4107},
	{title: "rights: a token that nobody has", media: "application/json", body: "1", path: "first", from: wrongToken, status: 4107},

	{title: "a pack that is larger than its container refuses itself", media: "application/x-ndjson", body: "1\n\"longer than ten bytes\"\n2", path: "small", status: 5207,
		before: func(d *plainDevice) { d.create(onem2m.TypeContainer, `{"m2m:cnt":{"rn":"small","mbs":10}}`) }},
	{title: "timeSeries: a pack has its own times", media: senMLJSON, body: `[{"bn":"x","bt":1795435200,"v":1},{"t":5.5,"v":2}]`, path: "series", status: 2001,
		before: func(d *plainDevice) { d.create(onem2m.TypeTimeSeries, `{"m2m:ts":{"rn":"series"}}`) },
		stored: [][2]string{
			{"20261123T120000,000000", `[{"n":"x","v":1,"t":1795435200}]`}, {"20261123T120005,500000", `[{"n":"x","v":2,"t":1795435205.5}]`},
		}},
	{title: "timeSeries: a time that it has refuses the pack", media: senMLJSON, body: `[{"bn":"x","bt":1795435300,"v":1},{"bt":1795435200,"v":2}]`, path: "series", status: 4105},
	{title: "timeSeries: what has no time has that of receipt", media: "text/plain;charset=utf-8", body: "7", path: "series", status: 2001, stored: one("*", "7")},

	{title: "another method", method: "PUT", media: "application/json", body: "1", path: "first", status: 4005},
	{title: "parameters of a POST", query: "a=1", media: "application/json", body: "1", path: "first", ways: "http coap", status: 4000, why: "parameter"},
	{title: "GET: a container has to allow it", method: "GET", query: "t=21.5", path: "first", ways: "http", status: 4005, why: "tally:ingest-get"},
	{title: "GET: a container that does not exist", method: "GET", query: "t=21.5", ways: "http", status: 4004, why: "a GET makes none"},
	{title: "GET: parameters", method: "GET", query: "temperature=21.50&door=open&unit=%C2%B0C+&n=-1e3", path: "get", ways: "http", status: 2001,
		before: func(d *plainDevice) {
			d.create(onem2m.TypeContainer, `{"m2m:cnt":{"rn":"get","lbl":["tally:ingest-get"]}}`)
		},
		stored: one("application/json:0", `{"temperature":21.50,"door":"open","unit":"°C ","n":-1e3}`)},
	{title: "GET: a parameter that comes twice", method: "GET", query: "t=1&t=2", path: "get", ways: "http", status: 4000, why: "given twice"},
	{title: "GET: no parameters", method: "GET", path: "get", ways: "http", status: 4000, why: "no parameters"},
	{title: "GET: somebody else", method: "GET", query: "t=1", path: "get", ways: "http", from: other, status: 4103},
}

func one(info, con string) [][2]string { return [][2]string{{info, con}} }

func inCBOR(v any) string {
	b, err := cbor.Marshal(v)
	if err != nil {
		panic(err) // the values are constant
	}
	return string(b)
}
