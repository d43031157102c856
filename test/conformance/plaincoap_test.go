//go:build scenario

package conformance

import (
	"bytes"
	"context"
	"fmt"
	"io"
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
	for name, kind := range map[string]message.Type{"coap": message.Confirmable, "coap-non": message.NonConfirmable} {
		plainWays[name] = func(t *testing.T, n *scenario.Network) plainWay {
			c, err := udp.Dial(n.CoAP)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return &plainCoAP{conn: c, kind: kind}
		}
	}
}

// plainCoAP posts to /ingest/<ae>/<path>.
type plainCoAP struct {
	conn *client.Conn
	kind message.Type
}

// contentFormats are the registered numbers of the media types of the corpus.
var contentFormats = map[string]message.MediaType{
	"text/plain;charset=utf-8": 0, "application/xml": 41, octets: 42, "application/json": 50, "application/cbor": 60,
	senMLJSON: 110, "application/sensml+json": 111, senMLCBOR: 112, "application/sensml+cbor": 113,
}

func (*plainCoAP) has(m *plainMessage) bool {
	_, ok := contentFormats[m.media]
	return (ok || m.media == "") && m.method != "GET"
}

func (w *plainCoAP) send(t *testing.T, path string, m *plainMessage, token string) plainAnswer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req := w.conn.AcquireMessage(ctx)
	defer w.conn.ReleaseMessage(req)
	req.SetType(w.kind)
	req.SetCode(codes.POST)
	if m.method == "PUT" {
		req.SetCode(codes.PUT)
	}
	tok, err := message.GetToken()
	if err != nil {
		t.Fatal(err)
	}
	req.SetToken(tok)
	for name := range strings.SplitSeq("ingest/"+path, "/") {
		req.AddOptionString(message.URIPath, name)
	}
	if m.query != "" {
		req.AddOptionString(message.URIQuery, m.query)
	}
	if token != "" {
		req.AddOptionString(message.URIQuery, "tkns="+token)
	}
	if m.media != "" {
		req.SetContentFormat(contentFormats[m.media])
	}
	if m.body != "" {
		req.SetBody(bytes.NewReader([]byte(m.body)))
	}
	rsp, err := w.conn.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var why []byte
	if rsp.Body() != nil {
		if why, err = io.ReadAll(rsp.Body()); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range rsp.Options() {
		if o.ID&1 == 1 && o.ID != message.Block1 && o.ID != message.Block2 { // RFC 7252 clause 5.4.6: critical
			t.Errorf("the answer has option %d, which such a device does not know", o.ID)
		}
	}
	return plainAnswer{fmt.Sprintf("%d.%02d", rsp.Code()>>5, rsp.Code()&31), string(why)}
}
