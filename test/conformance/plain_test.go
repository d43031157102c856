//go:build scenario

package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/test/scenario"
)

// plainMessage is what a device sends that speaks no oneM2M, and what must become of it, whichever way it comes.
type plainMessage struct {
	title string // with the clause of RFC 8428, where there is one
	media string // "" for none
	body  string
	// path is below the device's AE; a container of the message's own when it is "".
	path string
	// from is who sends: the device itself when it is "", or another, who has no rights here; or whoever shows noToken or
	// wrongToken.
	from string
	// method and query are those of HTTP and CoAP; POST and none when they are "".
	method, query string
	// before prepares the device's AE.
	before func(d *plainDevice)
	ways   string // the only ways that have such a message, separated by blanks; all when it is ""

	status int
	// stored is what the container has more afterwards, contentInfo or dataGenerationTime and content; "*" is any.
	stored [][2]string
	why    string // a piece of the reason for a refusal
}

const (
	other      = "Cplainother"
	noToken    = "no token"
	wrongToken = "wrong token"
)

// tooLong is the status of a message that is longer than any may be: each protocol has its own way to say so.
const tooLong = -1

// plainAnswers are what each way says of a response status code: HTTP by status and X-M2M-RSC (docs/http.md), CoAP by TS-0008
// table 6.2.4-1, MQTT by reason code (docs/mqtt.md).
var plainAnswers = map[int]map[string]string{
	2001:    {"http": "201 2001", "ws": "2001", "coap": "2.01", "mqtt": "0x00"},
	4000:    {"http": "400 4000", "ws": "4000", "coap": "4.00", "mqtt": "0x99"},
	4004:    {"http": "404 4004", "ws": "4004", "coap": "4.04", "mqtt": "0x90"},
	4005:    {"http": "405 4005", "ws": "4005", "coap": "4.05", "mqtt": "0x87"},
	4015:    {"http": "415 4015", "ws": "4015", "coap": "4.15", "mqtt": "0x99"},
	4102:    {"http": "400 4102", "ws": "4102", "coap": "4.00", "mqtt": "0x99"},
	4103:    {"http": "403 4103", "ws": "4103", "coap": "4.03", "mqtt": "0x87"},
	4105:    {"http": "409 4105", "ws": "4105", "coap": "4.03", "mqtt": "0x83"},
	4107:    {"http": "401 4107", "ws": "handshake 401", "coap": "4.03", "mqtt": "CONNECT 0x86"},
	4108:    {"http": "403 4108", "ws": "4108", "coap": "4.03", "mqtt": "0x83"},
	5207:    {"http": "406 5207", "ws": "5207", "coap": "4.06", "mqtt": "0x83"},
	tooLong: {"http": "413 4102", "ws": "close 1009", "coap": "4.13", "mqtt": "DISCONNECT 0x95"},
}

// lockedOut are the answers to who has shown too many wrong credentials.
var lockedOut = map[string]bool{"429 4141": true, "handshake 429": true, "CONNECT 0x97": true, "4.29": true}

// plainAnswer is what came back.
type plainAnswer struct {
	code string // as in plainAnswers
	why  string // the reason, "" when the protocol gives none
}

// plainWay sends messages of plain devices by one protocol.
type plainWay interface {
	// has says whether the protocol can carry such a message.
	has(m *plainMessage) bool
	// send sends a message to "<ae>/<path>" and waits for the answer.
	send(t *testing.T, path string, m *plainMessage, token string) plainAnswer
}

// plainWays makes a way to a node, by name: a protocol, or one with a variant of it after a hyphen.
var plainWays = map[string]func(t *testing.T, n *scenario.Network) plainWay{}

// resourceID is the ID of a container or timeSeries in a reason.
var resourceID = regexp.MustCompile(`\b(cnt|ts)[0-9a-z]+\b`)

// plainDevice is a device that sends by one way.
type plainDevice struct {
	t      *testing.T
	id, ae string
	oneM2M *client.Client
	way    plainWay
	known  map[string][]string // instances by container path
}

// TestPlainCorpus sends the same messages every way, each way to an AE of its own, and looks at what became of them.
func TestPlainCorpus(t *testing.T) {
	n := scenario.Init(t, t.TempDir())
	p := n.Start(t)
	tokens := map[string]string{other: n.EnrolToken(t, other), noToken: "", wrongToken: "tally_" + strings.Repeat("x", 43)}
	devices := make(map[string]*plainDevice)
	names := slices.Sorted(maps.Keys(plainWays))
	for _, name := range names {
		ae := "plain" + name
		d := &plainDevice{id: "C" + ae, ae: ae, way: plainWays[name](t, n), known: make(map[string][]string)}
		tokens[d.id] = n.EnrolToken(t, d.id)
		d.oneM2M = client.New(n.URL(), d.id, tokens[d.id], 4)
		defer d.oneM2M.Close()
		devices[name] = d
	}
	titles := make(map[string]bool)
	for i := range plainMessages {
		m := plainMessages[i]
		if m.path == "" {
			m.path = fmt.Sprint("c", i)
		}
		if titles[m.title] {
			t.Fatalf("two messages are called %q", m.title)
		}
		titles[m.title] = true
		sent := 0
		reasons := make(map[string]string) // by way
		t.Run(m.title, func(t *testing.T) {
			for _, name := range names {
				d := devices[name]
				protocol, _, _ := strings.Cut(name, "-")
				if m.ways != "" && !slices.Contains(strings.Fields(m.ways), protocol) || !d.way.has(&m) {
					continue
				}
				sent++
				t.Run(name, func(t *testing.T) {
					if why := d.run(t, &m, plainAnswers[m.status][protocol], tokens); why != "" {
						reasons[name] = resourceID.ReplaceAllString(strings.NewReplacer(d.id, "<ae-id>", d.ae, "<ae>").Replace(why), "<id>")
					}
				})
			}
			ofBinding := m.status == tooLong || m.status == 4107 || m.method != "" || m.query != "" // refused before it is a message
			if all := slices.Compact(slices.Sorted(maps.Values(reasons))); len(all) > 1 && !ofBinding {
				t.Errorf("the ways give different reasons: %q", reasons)
			}
			if sent == 0 {
				t.Error("no way has such a message")
			}
		})
	}
	for _, name := range names {
		devices[name].checkTree(t)
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("stop: exit %d:\n%s", code, p.Output())
	}
	n.Fsck(t)
}

// run sends a message, looks at the answer and at what became of it, and gives the reason of a refusal.
func (d *plainDevice) run(t *testing.T, m *plainMessage, want string, tokens map[string]string) (why string) {
	d.t = t
	if m.before != nil {
		m.before(d)
	}
	from := d.id
	if m.from != "" {
		from = m.from
	}
	path := m.path
	if !strings.HasPrefix(path, "/") {
		path = "/" + d.ae + "/" + path
	}
	path = strings.ReplaceAll(path, "<ae-id>", d.id)
	path = strings.TrimSuffix(path[1:], "/")
	got := d.way.send(t, path, m, tokens[from])
	if m.from == wrongToken && lockedOut[got.code] {
		return "" // all ways are tried from one address, which has shown too many by now
	}
	if got.code != want {
		t.Errorf("answered %s (%s), want %s", got.code, got.why, want)
	}
	if !strings.Contains(got.why, m.why) {
		t.Errorf("refused because %q, want %q", got.why, m.why)
	}
	_, container, _ := strings.Cut(path, "/")
	d.checkStored(container, m)
	return got.why
}

// checkStored compares a container with what it must have.
func (d *plainDevice) checkStored(container string, m *plainMessage) {
	d.t.Helper()
	before := d.known[container]
	got := d.instances(container)
	if len(got) < len(before) || !slices.Equal(got[:len(before)], before) {
		d.t.Fatalf("%s had %q and has %q", container, before, got)
	}
	fresh := got[len(before):]
	ok := len(fresh) == len(m.stored)
	for i := 0; ok && i < len(fresh); i++ {
		kind, con, _ := strings.Cut(fresh[i], " ")
		ok = (m.stored[i][0] == "*" || m.stored[i][0] == kind) && (m.stored[i][1] == "*" || m.stored[i][1] == con)
	}
	if !ok {
		d.t.Errorf("stored %.300q, want %.300q", fresh, m.stored)
	}
	if len(got) > 0 {
		d.known[container] = got
	}
}

// instances lists what a container or timeSeries has, "<contentInfo or dataGenerationTime> <content>", oldest first.
func (d *plainDevice) instances(container string) []string {
	d.t.Helper()
	b, err := d.oneM2M.Retrieve(d.t.Context(), "tally/"+d.ae+"/"+container+"?rcn=4")
	if client.IsStatus(err, onem2m.StatusNotFound) || client.IsStatus(err, onem2m.StatusBadRequest) || client.IsStatus(err, onem2m.StatusOperationNotAllowed) {
		return nil
	}
	if err != nil {
		d.t.Fatal(err)
	}
	var all map[string]struct {
		Instances []struct {
			Info    string `json:"cnf"`
			Content string `json:"con"`
		} `json:"m2m:cin"`
		Series []struct {
			Time    string `json:"dgt"`
			Content string `json:"con"`
		} `json:"m2m:tsi"`
	}
	if err := json.Unmarshal(b, &all); err != nil {
		d.t.Fatalf("%v: %s", err, b)
	}
	var out []string
	for _, r := range all {
		for _, i := range r.Instances {
			out = append(out, i.Info+" "+i.Content)
		}
		for _, i := range r.Series {
			out = append(out, i.Time+" "+i.Content)
		}
	}
	return out
}

// checkTree requires that the AE has the containers that messages were stored in, and no other.
func (d *plainDevice) checkTree(t *testing.T) {
	t.Helper()
	b, err := d.oneM2M.Retrieve(t.Context(), "tally/"+d.ae+"?fu=1&ty=3&ty=29")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		URIs []string `json:"m2m:uril"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	want := make(map[string]bool)
	for path := range d.known {
		address := "tally/" + d.ae
		for name := range strings.SplitSeq(path, "/") {
			address += "/" + name
			want[address] = true
		}
	}
	slices.Sort(list.URIs)
	if w := slices.Sorted(maps.Keys(want)); !slices.Equal(list.URIs, w) {
		t.Errorf("%s has %q, want %q", d.ae, list.URIs, w)
	}
}

// create makes a child of the device's AE by oneM2M.
func (d *plainDevice) create(ty onem2m.ResourceType, content string) {
	d.t.Helper()
	if _, err := d.oneM2M.Create(d.t.Context(), "tally/"+d.ae, ty, json.RawMessage(content)); err != nil {
		d.t.Fatal(err)
	}
	if ty == onem2m.TypeACP {
		return
	}
	var r map[string]struct {
		Name string `json:"rn"`
	}
	if err := json.Unmarshal([]byte(content), &r); err != nil {
		d.t.Fatal(err)
	}
	for _, x := range r {
		d.known[x.Name] = nil
	}
}
