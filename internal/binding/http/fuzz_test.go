package httpbinding

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// FuzzRequest sends arbitrary requests. Whatever net/http takes for a request gets a response status code and its
// HTTP status, and what reaches the handler keeps the promises of onem2m.Request.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		"GET /tally/x?rcn=4&lbl=a+b&fu=1 HTTP/1.1\nHost: h\nX-M2M-RI: 1\nX-M2M-RVI: 4\nX-M2M-Origin: C\nAccept: application/cbor;q=0.5,*/*\n\n",
		"POST /~/cse/x HTTP/1.1\nHost: h\nX-M2M-RI: 1\nContent-Type: application/json;ty=4\nContent-Length: 23\n\n{\"m2m:cin\":{\"con\":\"1\"}}",
		"POST /_/sp/cse/x%2F HTTP/1.1\nHost: h\nX-M2M-RI: 1\nContent-Type: application/cbor;ty=4\nTransfer-Encoding: chunked\n\n3\n\xa1\x61\x61\n1\n\x01\n0\n\n",
		"POST /tally/x HTTP/1.1\nHost: h\nX-M2M-RI: 1\nAuthorization: Bearer stranger\nContent-Type: application/json;ty=4\nContent-Length: 2\n\n{}",
		"POST /ingest/dev/c HTTP/1.1\nHost: h\nContent-Type: text/plain\nContent-Length: 2\n\n21",
		"GET /ingest/dev/c?t=1 HTTP/1.1\nHost: h\nAuthorization: Bearer x\n\n",
		"PUT //x HTTP/1.0\nX-M2M-RI: 1\nAuthorization: Bearer x\n\n",
	} {
		f.Add([]byte(strings.ReplaceAll(s, "\n", "\r\n")))
	}
	const maxBody = 300
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(raw))))
		if err != nil {
			return
		}
		r.RemoteAddr = "192.0.2.1:99"
		h := New(handlerFunc(func(_ context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
			if ev.Token == "stranger" && req.Content != nil {
				t.Error("the body of one who is not known was read")
			}
			checkPrimitive(t, req, maxBody)
			return &onem2m.Response{Status: onem2m.StatusOK, Content: req.Content}
		}), Options{MaxBody: maxBody, Plain: plainFunc(func(m *binding.Message, ev binding.Evidence) *onem2m.Response {
			if ev.Token == "stranger" && m.Body != nil || len(m.Body) > maxBody || m.Body != nil && m.Query != "" {
				t.Errorf("a message of %q with %d bytes and query %q", ev.Token, len(m.Body), m.Query)
			}
			return &onem2m.Response{Status: onem2m.StatusCreated}
		})})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		code, err := strconv.Atoi(strings.Join(w.Header()[headerRSC], ""))
		if err != nil {
			t.Fatalf("X-M2M-RSC is %q", w.Header()[headerRSC])
		}
		want := onem2m.StatusCode(code).HTTPStatus()
		if code == int(onem2m.StatusSecurityAssociationRequired) {
			want = http.StatusUnauthorized
		}
		if w.Code != want && w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("HTTP status %d goes with %d", w.Code, code)
		}
	})
}

func checkPrimitive(t *testing.T, req *onem2m.Request, maxBody int) {
	if len(req.Content) > maxBody {
		t.Errorf("content has %d bytes", len(req.Content))
	}
	if req.Content != nil {
		if _, err := onem2m.ScanValue(req.Content); err != nil {
			t.Errorf("content %q: %v", req.Content, err)
		}
	}
	if (req.Operation == onem2m.Create) != (req.Type != 0) || req.Operation < onem2m.Create || req.Operation > onem2m.Notify {
		t.Errorf("operation %d with type %d", req.Operation, req.Type)
	}
	if req.RequestID == "" || req.SourceIP != "192.0.2.1" {
		t.Errorf("request identifier %q, source address %q", req.RequestID, req.SourceIP)
	}
	if to := req.To; to == "" || strings.Contains(to[1:], "//") || strings.ContainsAny(to, " \x00\n") {
		t.Errorf("address %q", to)
	}
}

// FuzzAnswer has the client read arbitrary answers: what it gives is JSON text within its bounds.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 201 Created\nX-M2M-RSC: 2001\nX-M2M-RI: 1\nContent-Type: application/json\nContent-Length: 23\n\n{\"m2m:cin\":{\"con\":\"1\"}}",
		"HTTP/1.1 200 OK\nX-M2M-RSC: 2000\nX-M2M-CTS: 1\nX-M2M-CTO: 7\nContent-Type: application/cbor\nTransfer-Encoding: chunked\n\n3\n\xa1\x61\x61\n1\n\x01\n0\n\n",
		"HTTP/1.1 503 Busy\nRetry-After: 7\nContent-Length: 0\n\n",
	} {
		f.Add([]byte(strings.ReplaceAll(s, "\n", "\r\n")))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, op := range []onem2m.Operation{onem2m.Notify, onem2m.Retrieve} {
			answer, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(raw))), nil)
			if err != nil {
				return
			}
			rsp, err := readAnswer(answer, &onem2m.Request{Operation: op})
			answer.Body.Close()
			if err != nil {
				continue
			}
			if len(rsp.Content) > maxAnswer {
				t.Errorf("content has %d bytes", len(rsp.Content))
			}
			if _, err := onem2m.ScanValue(rsp.Content); rsp.Content != nil && err != nil {
				t.Errorf("content %q: %v", rsp.Content, err)
			}
		}
	})
}
