package node

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/onem2m"
)

// device sends requests over HTTP as one originator.
type device struct {
	t     testing.TB
	n     *Node
	id    string
	token string
}

// send gives the HTTP status, the response status code and the content of the response. More headers are given in pairs.
func (d *device) send(method, path, typ, body string, headers ...string) (status int, rsc string, content []byte) {
	d.t.Helper()
	req, err := http.NewRequest(method, "http://"+d.n.Addr()+path, strings.NewReader(body))
	must(d.t, err)
	req.Header.Set("X-M2M-Origin", d.id)
	req.Header.Set("X-M2M-RI", fmt.Sprint("q", time.Now().UnixNano()))
	req.Header.Set("X-M2M-RVI", "4")
	req.Header.Set("Authorization", "Bearer "+d.token)
	switch {
	case typ != "":
		req.Header.Set("Content-Type", "application/json;ty="+typ)
	case body != "":
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header[headers[i]] = []string{headers[i+1]}
	}
	resp, err := http.DefaultClient.Do(req)
	must(d.t, err)
	defer resp.Body.Close()
	content, err = io.ReadAll(resp.Body)
	must(d.t, err)
	return resp.StatusCode, resp.Header.Get("X-M2M-RSC"), content
}

// expect is send that fails the test unless the response status code is the one wanted.
func (d *device) expect(want, method, path, typ, body string, headers ...string) []byte {
	d.t.Helper()
	_, rsc, content := d.send(method, path, typ, body, headers...)
	if rsc != want {
		d.t.Fatalf("%s %s as %s: %s %s, want %s", method, path, d.id, rsc, content, want)
	}
	return content
}

func field(content []byte, path string) string {
	for name := range strings.SplitSeq(path, "/") {
		if content = onem2m.Field(content, name); content == nil {
			return ""
		}
	}
	if s, ok := onem2m.Unquote(content); ok {
		return s
	}
	return string(content)
}

func newDevice(t testing.TB, n *Node, id, body string) *device {
	t.Helper()
	_, e := enrol(t, n, id)
	d := &device{t, n, id, e.Token}
	d.expect("2001", "POST", "/tally", "2", fmt.Sprintf(`{"m2m:ae":{"rn":%q,"api":"Nx","srv":["4"],%s}}`, strings.ToLower(id[1:]), body))
	return d
}

// TestRequests is non-blocking requests end to end: what they answer over HTTP (TS-0009 clause 6.3.2), what they
// notify, and that what is to be done later is done after a restart.
func TestRequests(t *testing.T) {
	dir := initNode(t)
	n := startNode(t, dir)
	in := newInbox(t)
	d := newDevice(t, n, "Cdev", fmt.Sprintf(`"rr":true,"poa":[%q]`, in.URL))

	status, rsc, content := d.send("POST", "/tally/dev?rt=1&rp=PT1M", "3", `{"m2m:cnt":{"rn":"c"}}`, "X-M2M-RST", "60000")
	if status != http.StatusAccepted || rsc != "1001" {
		t.Fatalf("%d %s %s", status, rsc, content)
	}
	request := d.expect("2000", "GET", "/~/tally/"+field(content, "m2m:uri"), "", "")
	if field(request, "m2m:req/rs") != "1" || field(request, "m2m:req/ors/rsc") != "2001" || field(request, "m2m:req/ors/pc/m2m:cnt/rn") != "c" {
		t.Errorf("the <request>: %s", request)
	}
	d.expect("4000", "GET", "/tally/dev?rt=99999", "", "")
	d.expect("4000", "GET", "/tally/dev?rt=4&rp=xxx", "", "")
	d.expect("2000", "GET", "/tally/dev?rt=4&rp=PT1M", "", "")

	// Asynchronous: to the points of access of the originator, to a target of its own, to nobody.
	for _, headers := range [][]string{nil, {"X-M2m-Rtu", in.URL}, {"X-M2m-Rtu", in.URL + "&" + in.URL}} {
		d.expect("1002", "GET", "/tally/dev/c?rt=2", "", "", headers...)
		m := []byte(in.next(t).content)
		if field(m, "m2m:rsp/rsc") != "2000" || field(m, "m2m:rsp/to") != "Cdev" || field(m, "m2m:rsp/fr") != "/tally" || field(m, "m2m:rsp/pc/m2m:cnt/rn") != "c" {
			t.Errorf("the result: %s", m)
		}
	}
	d.expect("1002", "GET", "/tally/dev/c?rt=2", "", "", "X-M2m-Rtu", "")
	select {
	case m := <-in.got:
		t.Errorf("an empty list of targets: %s", m.content)
	case <-time.After(100 * time.Millisecond):
	}

	// No response: the emptiest that HTTP has.
	if status, rsc, content := d.send("PUT", "/tally/dev/c?rt=5", "", `{"m2m:cnt":{"lbl":["x"]}}`); status != http.StatusNoContent || rsc != "" || len(content) > 0 {
		t.Errorf("no response: %d %s %s", status, rsc, content)
	}

	// A blocking request waits for its operation execution time, a non-blocking one does not.
	start := time.Now()
	d.expect("2000", "GET", "/tally/dev", "", "", "X-M2m-Oet", "300", "X-M2m-Ret", "5000.0")
	if time.Since(start) < 300*time.Millisecond {
		t.Error("executed too early")
	}
	d.expect("4008", "GET", "/tally/dev", "", "", "X-M2m-Oet", "3000", "X-M2m-Ret", "1000")
	d.expect("4008", "GET", "/tally/dev", "", "", "X-M2m-Oet", "PT1H")
	later := field(d.expect("1001", "PUT", "/tally/dev/c?rt=1", "", `{"m2m:cnt":{"lbl":["later"]}}`, "X-M2m-Oet", "1500"), "m2m:uri")
	if r := d.expect("2000", "GET", "/"+later, "", ""); field(r, "m2m:req/rs") != "3" {
		t.Errorf("a pending <request>: %s", r)
	}
	d.expect("1002", "PUT", "/tally/dev/c?rt=4", "", `{"m2m:cnt":{"lbl":["later"]}}`, "X-M2m-Oet", "PT1H", "X-M2m-Rtu", "")
	stopNode(t, n)
	n = startNode(t, dir)
	d.n = n
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		r := d.expect("2000", "GET", "/"+later, "", "")
		if field(r, "m2m:req/rs") == "1" && field(r, "m2m:req/ors/rsc") == "2004" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("not executed: %s", r)
		}
	}
	if c := d.expect("2000", "GET", "/tally/dev/c", "", ""); !strings.Contains(string(c), "later") {
		t.Errorf("the operation is not done: %s", c)
	}
	stopNode(t, n)
	report, err := Fsck(context.Background(), dir, false, func(string, uint64, uint64) {})
	if err != nil {
		t.Errorf("fsck: %v, %v", report, err)
	}
}

// TestPolling is a device behind a firewall, which polls for its notifications (TS-0001 clause 10.2.5.13, TS-0004 clause
// 7.4.22.2).
func TestPolling(t *testing.T) {
	n := startNode(t, initNode(t))
	defer stopNode(t, n)
	d := newDevice(t, n, "Cdev", `"rr":false`)
	other := newDevice(t, n, "Cother", `"rr":false`)
	other.expect("2001", "POST", "/tally/other", "3", `{"m2m:cnt":{"rn":"c"}}`)
	other.expect("5204", "POST", "/tally/other/c", "23", `{"m2m:sub":{"rn":"s","nu":["Cdev"],"enc":{"net":[3]}}}`)
	d.expect("2001", "POST", "/tally/dev", "15", `{"m2m:pch":{"rn":"p"}}`)
	d.expect("4008", "GET", "/tally/dev/p/pcu", "", "", "X-M2m-Ret", "200")
	other.expect("4103", "GET", "/tally/dev/p/pcu", "", "")

	// The device agrees to a subscription.
	agreed := make(chan string, 1)
	go func() {
		rqp := d.expect("2000", "GET", "/tally/dev/p/pcu", "", "")
		agreed <- string(rqp)
		rqi := field(rqp, "m2m:rqp/rqi")
		d.expect("4000", "POST", "/tally/dev/p/pcu", "", `{}`)
		d.expect("4004", "POST", "/tally/dev/p/pcu", "", `{"m2m:rsp":{"rsc":2000,"rqi":"unknown","rvi":"4"}}`)
		d.expect("2000", "POST", "/tally/dev/p/pcu", "", fmt.Sprintf(`{"m2m:rsp":{"fr":"Cdev","rqi":%q,"rvi":"4","rsc":2000}}`, rqi))
	}()
	other.expect("2001", "POST", "/tally/other/c", "23", `{"m2m:sub":{"rn":"s","nu":["Cdev"],"enc":{"net":[3]}}}`)
	if rqp := <-agreed; field([]byte(rqp), "m2m:rqp/pc/m2m:sgn/vrq") != "true" || field([]byte(rqp), "m2m:rqp/op") != "5" {
		t.Errorf("the request: %s", rqp)
	}

	// Notifications wait until it polls; each is answered by itself.
	for i := range 3 {
		other.expect("2001", "POST", "/tally/other/c", "4", fmt.Sprintf(`{"m2m:cin":{"con":"%d"}}`, i))
	}
	for i := range 3 {
		rqp := d.expect("2000", "GET", "/tally/dev/p/pcu", "", "")
		if got := field(rqp, "m2m:rqp/pc/m2m:sgn/nev/rep/m2m:cin/con"); got != fmt.Sprint(i) {
			t.Errorf("notification %d: %s", i, rqp)
		}
		d.expect("2000", "POST", "/tally/dev/p/pcu", "", fmt.Sprintf(`{"m2m:rsp":{"rqi":%q,"rsc":2000}}`, field(rqp, "m2m:rqp/rqi")))
	}

	// With aggregation, a list; and the results of non-blocking requests come the same way.
	d.expect("2004", "PUT", "/tally/dev/p", "", `{"m2m:pch":{"rqag":true}}`)
	d.expect("1002", "GET", "/tally/dev?rt=2", "", "")
	list := d.expect("2000", "GET", "/tally/dev/p/pcu", "", "")
	for rqp := range onem2m.Elements(onem2m.Field(list, "m2m:agrp")) {
		if field(rqp, "pc/m2m:rsp/rsc") != "2000" {
			t.Errorf("the result: %s", rqp)
		}
		d.expect("2000", "POST", "/tally/dev/p/pcu", "", fmt.Sprintf(`{"m2m:rsp":{"rqi":%q,"rsc":2000}}`, field(rqp, "rqi")))
	}

	// A node that stops does not wait for a long poll.
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		d.expect("4008", "GET", "/tally/dev/p/pcu", "", "")
	}()
	time.Sleep(100 * time.Millisecond)
	start := time.Now()
	n.polling.Close()
	<-polled
	if time.Since(start) > 2*time.Second {
		t.Errorf("the poll ended after %s", time.Since(start))
	}
}
