//go:build scenario

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/udp"
	"github.com/plgd-dev/go-coap/v3/udp/client"

	"github.com/tallystick/tallystick/test/scenario"
)

func init() {
	bindings["coap"] = func(t *testing.T, n *scenario.Network, cbor bool) wire {
		c, err := udp.Dial(n.CoAP)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return &coapWire{conn: c, cbor: cbor}
	}
}

// coapWire speaks TS-0008.
type coapWire struct {
	conn *client.Conn
	cbor bool
}

// Option numbers of TS-0008 clause 6.2.2.4.
var coapOptions = map[string]message.OptionID{
	"fr": 279, "rqi": 283, "rvi": 271, "ot": 259, "rqet": 291, "rset": 295, "oet": 299, "ec": 303, "gid": 311, "vsi": 331,
}

const (
	coapTargets message.OptionID = 263
	coapType    message.OptionID = 267
	coapStatus  message.OptionID = 307
)

func (w *coapWire) do(t *testing.T, req primitive, token string) primitive {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	code := map[string]codes.Code{"1": codes.POST, "2": codes.GET, "3": codes.PUT, "4": codes.DELETE, "5": codes.POST}[req.text("op")]
	m := w.conn.AcquireMessage(ctx)
	defer w.conn.ReleaseMessage(m)
	m.SetCode(code)
	tok, err := message.GetToken()
	if err != nil {
		t.Fatal(err)
	}
	m.SetToken(tok)
	for _, segment := range strings.Split(pathOf(req.text("to")), "/") {
		m.AddOptionString(message.URIPath, segment)
	}
	for _, q := range queryOf(t, req) {
		m.AddOptionString(message.URIQuery, q)
	}
	if token != "" {
		m.AddOptionString(message.URIQuery, "tkns="+token)
	}
	for name, option := range coapOptions {
		if _, ok := req[name]; ok {
			m.AddOptionString(option, req.text(name))
		}
	}
	if targets, ok := targetsOf(req); ok {
		m.AddOptionString(coapTargets, targets)
	}
	if ty, ok := req["ty"]; ok {
		n, err := strconv.ParseUint(string(ty), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		m.SetOptionUint32(coapType, uint32(n))
	}
	format := message.AppJSON
	if w.cbor {
		format = message.AppCBOR
	}
	m.SetAccept(format)
	if content := []byte(req["pc"]); content != nil {
		if w.cbor {
			content = toCBOR(t, content)
		}
		m.SetContentFormat(format)
		m.SetBody(bytes.NewReader(content))
	}
	resp, err := w.conn.Do(m)
	if err != nil {
		t.Fatal(err)
	}
	out := primitive{}
	rsc, err := resp.Options().GetUint32(coapStatus)
	if err != nil {
		t.Fatalf("TS-0008 6.2.2.4: no response status code in %v", resp)
	}
	out["rsc"] = json.RawMessage(fmt.Sprint(rsc))
	rqi, err := resp.Options().GetString(coapOptions["rqi"])
	if err != nil {
		t.Errorf("TS-0008 6.2.2.4: no request identifier in %v", resp)
	}
	out["rqi"], _ = json.Marshal(rqi)
	if resp.Body() == nil {
		return out
	}
	b, err := io.ReadAll(resp.Body())
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 0 {
		if w.cbor {
			b = fromCBOR(t, b)
		}
		out["pc"] = compactJSON(t, b)
	}
	return out
}
