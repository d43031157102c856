package node

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

// command sends a command to the upper tester and gives its result.
func command(t *testing.T, n *Node, text string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+n.Addr()+"/"+upperTesterPath, nil)
	must(t, err)
	req.Header.Set("X-M2M-UTCMD", text)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("X-M2M-RSC") != "2000" {
		t.Errorf("%s: %d %v", text, resp.StatusCode, resp.Header)
	}
	return resp.Header.Get("X-M2M-UTRSP")
}

// TestShortExpirations: what a suite shortens by the upper tester is short, and as it was when that ends.
func TestShortExpirations(t *testing.T) {
	n, err := StartLab(context.Background(), initCSE(t, "id-in", true), watchedLog)
	must(t, err)
	defer stopNode(t, n)

	// A <request> goes when its time is over.
	if got := command(t, n, "enableShortResourceExpiration 1"); got != "1,157680000" {
		t.Errorf("what it was: %s", got)
	}
	var accepted struct {
		URI string `json:"m2m:uri"`
	}
	got := ask(t, n, "GET", "/cse-id-in?rt=1", "CAdmin", "", "", "")
	must(t, json.Unmarshal([]byte(got[5:]), &accepted))
	path := "/~/id-in/" + accepted.URI
	if accepted.URI != "" && accepted.URI[0] == '/' {
		path = "/~" + accepted.URI
	}
	wants(t, "its <request>", ask(t, n, "GET", path, "CAdmin", "", "", ""), "2000")
	time.Sleep(1100 * time.Millisecond)
	wants(t, "its <request>, later", ask(t, n, "GET", path, "CAdmin", "", "", ""), "4004")
	command(t, n, "disableShortResourceExpiration")

	// A long poll without a time of its own ends when the one for all does.
	wants(t, "AE", ask(t, n, "POST", "/cse-id-in", "Cpoll", "", "2", aeBody), "2001")
	wants(t, "polling channel", ask(t, n, "POST", "/cse-id-in/ae", "Cpoll", "", "15", `{"m2m:pch":{"rn":"pch"}}`), "2001")
	if got := command(t, n, "enableShortRequestExpiration 0.3"); got != "30.0" {
		t.Errorf("what it was: %s", got)
	}
	begin := time.Now()
	wants(t, "poll", ask(t, n, "GET", "/cse-id-in/ae/pch/pcu", "Cpoll", "", "", ""), "4008")
	if took := time.Since(begin); took < 250*time.Millisecond || took > 5*time.Second {
		t.Errorf("the poll took %s", took)
	}
	command(t, n, "disableShortRequestExpiration")
	if got := command(t, n, "GetConfig cse.requestExpirationDelta"); got != "30.0" {
		t.Errorf("after it ended: %s", got)
	}
}
