//go:build scenario

package conformance

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/test/scenario"
)

func init() {
	bindings["http"] = func(_ *testing.T, n *scenario.Network, cbor bool) wire { return &httpWire{base: n.URL(), cbor: cbor} }
}

// httpWire speaks TS-0009.
type httpWire struct {
	base string
	cbor bool
}

// headers are the parameters with a header of their own (TS-0009 clause 6.4).
var headers = map[string]string{
	"fr": "X-M2M-Origin", "rqi": "X-M2M-RI", "rvi": "X-M2M-RVI", "ot": "X-M2M-OT", "rqet": "X-M2M-RET", "rset": "X-M2M-RST",
	"oet": "X-M2M-OET", "ec": "X-M2M-EC", "gid": "X-M2M-GID", "vsi": "X-M2M-VSI",
}

func (w *httpWire) do(t *testing.T, req primitive, token string) primitive {
	t.Helper()
	method := map[string]string{"1": "POST", "2": "GET", "3": "PUT", "4": "DELETE", "5": "POST"}[req.text("op")]
	media := "application/json"
	content := []byte(req["pc"])
	if w.cbor {
		media = "application/cbor"
		if content != nil {
			content = toCBOR(t, content)
		}
	}
	address := w.base + "/" + pathOf(req.text("to"))
	if q := queryOf(t, req); len(q) > 0 {
		for i, p := range q {
			name, value, _ := strings.Cut(p, "=")
			q[i] = name + "=" + url.QueryEscape(value)
			if name == "atrl" {
				q[i] = p
			}
		}
		address += "?" + strings.Join(q, "&")
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for name, header := range headers {
		if _, ok := req[name]; ok {
			r.Header.Set(header, req.text(name))
		}
	}
	if targets, ok := targetsOf(req); ok {
		r.Header.Set("X-M2M-RTU", targets)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("Accept", media)
	if len(content) > 0 {
		r.Header.Set("Content-Type", media)
		if ty, ok := req["ty"]; ok {
			r.Header.Set("Content-Type", media+";ty="+string(ty))
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := primitive{"rsc": json.RawMessage(resp.Header.Get("X-M2M-RSC"))}
	out["rqi"], _ = json.Marshal(resp.Header.Get("X-M2M-RI"))
	if len(b) > 0 {
		if got := resp.Header.Get("Content-Type"); got != media {
			t.Errorf("TS-0009 6.4.1: Content-Type %q, want %q", got, media)
		}
		if w.cbor {
			b = fromCBOR(t, b)
		}
		out["pc"] = compactJSON(t, b)
	}
	return out
}

// targetsOf gives rt.nu as HTTP and CoAP have it.
func targetsOf(req primitive) (targets string, ok bool) {
	var rt struct{ NU []string }
	if raw, given := req["rt"]; given && json.Unmarshal(raw, &rt) == nil && rt.NU != nil {
		return strings.Join(rt.NU, "&"), true
	}
	return "", false
}
