package httpbinding

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

var update = flag.Bool("update", false, "write what the binding does into testdata/*.txt")

// TestStories runs the scripts in testdata. A script is a list of steps, each
//
//	# what it shows, with the clause
//	> the request, a line each, body after an empty line; a body "cbor {...}" is sent as CBOR
//	= the primitive that the handler gets, or "(not reached)"
//	< the response
//
// The handler answers as the resource name at the end of the address says; see answer.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(text), got); diff != "" {
				t.Errorf("(-script +binding):\n%s", diff)
			}
		})
	}
}

// play gives the script with what the binding does now.
func play(t *testing.T, script string) string {
	var out strings.Builder
	var request []string
	flush := func() {
		if request == nil {
			return
		}
		primitive, response := exchangeText(t, request)
		out.WriteString(primitive + response + "\n")
		request = nil
	}
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "#"):
			flush()
			out.WriteString(line + "\n")
		case strings.HasPrefix(line, ">"):
			request = append(request, strings.TrimPrefix(strings.TrimPrefix(line, ">"), " "))
			out.WriteString(line + "\n")
		}
	}
	flush()
	return out.String()
}

func exchangeText(t *testing.T, lines []string) (primitive, response string) {
	head, body := lines, ""
	if i := slices.Index(lines, ""); i >= 0 {
		head, body = lines[:i], strings.Join(lines[i+1:], "\n")
	}
	if text, ok := strings.CutPrefix(body, "cbor "); ok {
		b, err := onem2m.JSONToCBOR([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		body = string(b)
	}
	raw := strings.Join(head, "\r\n") + "\r\nHost: h\r\n"
	if body != "" {
		raw += "Content-Length: " + strconv.Itoa(len(body)) + "\r\n"
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw + "\r\n" + body)))
	if err != nil {
		t.Fatalf("request %q: %v", raw, err)
	}
	r.RemoteAddr = "[2001:db8::7]:4711"
	primitive = "= (not reached)\n"
	h := New(handlerFunc(func(_ context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
		primitive = primitiveText(t, req, ev)
		return answer(req)
	}), Options{MaxBody: 200, Plain: plainFunc(func(m *binding.Message, ev binding.Evidence) *onem2m.Response {
		primitive = messageText(m, ev)
		if strings.HasSuffix(m.Path, "/none") {
			return &onem2m.Response{Status: onem2m.StatusNotFound, Content: []byte(`{"m2m:dbg":"there is none"}`)}
		}
		return &onem2m.Response{Status: onem2m.StatusCreated}
	})})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return primitive, responseText(w)
}

// primitiveText lists the fields that are set.
func primitiveText(t *testing.T, req *onem2m.Request, ev binding.Evidence) string {
	b, err := json.Marshal(struct {
		*onem2m.Request
		Content string
	}{req, string(req.Content)})
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&fields); err != nil {
		t.Fatal(err)
	}
	fields["token"] = ev.Token
	var out []string
	for k, v := range fields {
		if f, ok := v.(map[string]any); ok {
			for k, v := range f {
				if isSet(v) {
					out = append(out, fmt.Sprintf("= Filter.%s: %v\n", k, v))
				}
			}
		} else if isSet(v) && !(k == "ResultContent" && fmt.Sprint(v) == "-1") && k != "SourceIP" {
			out = append(out, fmt.Sprintf("= %s: %v\n", k, v))
		}
	}
	slices.Sort(out)
	if req.SourceIP != "2001:db8::7" {
		t.Errorf("source address %q", req.SourceIP)
	}
	return strings.Join(out, "")
}

type plainFunc func(m *binding.Message, ev binding.Evidence) *onem2m.Response

func (f plainFunc) Ingest(_ context.Context, m *binding.Message, ev binding.Evidence) *onem2m.Response {
	return f(m, ev)
}

// messageText lists the fields of a plain device's message that are set.
func messageText(m *binding.Message, ev binding.Evidence) string {
	out := ""
	for _, f := range [...]struct{ name, value string }{
		{"Path", m.Path}, {"MediaType", m.MediaType}, {"Body", string(m.Body)}, {"Query", m.Query}, {"From", m.From},
		{"SourceIP", m.SourceIP}, {"token", ev.Token},
	} {
		if f.value != "" {
			out += "= " + f.name + ": " + f.value + "\n"
		}
	}
	return out
}

func isSet(v any) bool { return v != nil && v != "" && fmt.Sprint(v) != "0" }

func responseText(w *httptest.ResponseRecorder) string {
	var out []string
	for k, v := range w.Header() {
		out = append(out, fmt.Sprintf("< %s: %s\n", k, strings.Join(v, " | ")))
	}
	slices.Sort(out)
	text := fmt.Sprintf("< %d\n", w.Code) + strings.Join(out, "")
	switch body := w.Body.Bytes(); {
	case len(body) == 0:
	case body[0] == '{':
		text += "<\n< " + string(body) + "\n"
	default:
		text += fmt.Sprintf("<\n< hex %x\n", body)
	}
	return text
}

// answer is what the fake handler says of a request, by the last segment of its address.
func answer(req *onem2m.Request) *onem2m.Response {
	rsp := &onem2m.Response{Status: onem2m.StatusOK, RequestID: req.RequestID, ReleaseVersion: req.ReleaseVersion}
	switch name := req.To[strings.LastIndexByte(req.To, '/')+1:]; name {
	case "secret":
		rsp.Status, rsp.Content = onem2m.StatusSecurityAssociationRequired, []byte(`{"m2m:dbg":"a valid bearer token is required (tally device enrol makes one)"}`)
	case "partial":
		rsp.ContentStatus, rsp.ContentOffset = 1, 20
		rsp.OriginatingTimestamp, rsp.VendorInformation = req.OriginatingTimestamp, req.VendorInformation
		rsp.Content = []byte(`{"m2m:uril":["tally/a"]}`)
	case "unrepresentable":
		rsp.Content = []byte(`{"m2m:cin":{"con":0.123456789012345678901}}`)
	default:
		if n, err := strconv.Atoi(name); err == nil {
			rsp.Status = onem2m.StatusCode(n)
			return rsp
		}
		switch req.Operation {
		case onem2m.Create:
			rsp.Status, rsp.Location, rsp.Content = onem2m.StatusCreated, req.To+"/new", req.Content
		case onem2m.Retrieve:
			rsp.Content = []byte(`{"m2m:cin":{"con":"21"}}`)
		case onem2m.Update:
			rsp.Status, rsp.Content = onem2m.StatusUpdated, req.Content
		case onem2m.Delete:
			rsp.Status = onem2m.StatusDeleted
		}
	}
	return rsp
}
