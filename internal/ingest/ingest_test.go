package ingest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// TestContent: the media type becomes contentInfo and decides how the body is written (TS-0004 table 6.3.3-1).
func TestContent(t *testing.T) {
	for _, tt := range []struct{ mediaType, body, info, con string }{
		{"text/plain", "21.50", "text/plain:0", `"21.50"`},
		{"Text/Plain; charset=UTF-8", "a\"b", "text/plain:0", `"a\"b"`},
		{"application/json", ` {"t":21.50}`, "application/json:0", `" {\"t\":21.50}"`},
		{"application/geo+json", `{}`, "application/geo+json:0", `"{}"`},
		{"application/xml", "<a/>", "application/xml:0", `"<a/>"`},
		{"application/cbor", "\x01", "application/cbor:1", `"AQ=="`},
		{"application/octet-stream", "abc", "application/octet-stream:1", `"YWJj"`},
		{"image/png", "\x89PNG", "image/png:1", `"iVBORw=="`},
		{"", `{"t":1}`, "application/json:0", `"{\"t\":1}"`},
		{"", `[1,2]`, "application/json:0", `"[1,2]"`},
		{"", `{t:1}`, "text/plain:0", `"{t:1}"`},
		{"", "21.5", "text/plain:0", `"21.5"`},
		{"", "\xff", "application/octet-stream:1", `"/w=="`},
		{"", "a\x00", "application/octet-stream:1", `"YQA="`},
		{"application/x-www-form-urlencoded", "21.5", "text/plain:0", `"21.5"`},
		{"application/x-www-form-urlencoded", `{"a":"="}`, "application/json:0", `"{\"a\":\"=\"}"`},
		{"application/x-www-form-urlencoded", "a=1&b=2", "application/x-www-form-urlencoded:0", `"a=1&b=2"`},
	} {
		d := newDoor("tally/dev", "tally/dev/c")
		wantStatus(t, tt.mediaType, d.post("dev/c", tt.mediaType, tt.body), onem2m.StatusCreated)
		wantStored(t, tt.mediaType, d.stored, fmt.Sprintf(`tally/dev/c {"m2m:cin":{"cnf":%q,"con":%s}}`, tt.info, tt.con))
		if d.together != 0 {
			t.Error("one reading for a container that exists took more than one request")
		}
	}
}

// TestRefusedContent: what cannot be stored as what it says it is, is refused and leaves nothing.
func TestRefusedContent(t *testing.T) {
	for _, tt := range []struct {
		mediaType, body string
		status          onem2m.StatusCode
	}{
		{"text/plain", "", 4000},
		{"application/json", "{", 4000},
		{"application/json", "{} {}", 4000},
		{"text/plain", "\xff", 4015},
		{"text/plain;charset=latin1", "a", 4015},
		{"nonsense", "a", 4015},
		{"text/", "a", 4015},
		{"a b/c", "a", 4015},
		{"text/" + strings.Repeat("x", 200), "a", 4015},
		{"text/plain", strings.Repeat("a", 1<<20), 4102},
		{"text/plain", strings.Repeat("\x01", 200_000), 4102},
		{"application/octet-stream", strings.Repeat("a", 800_000), 4102},
		{"application/x-ndjson", "\n \n", 4000},
		{"application/x-ndjson", "{}\n{\n", 4000},
		{"application/x-ndjson", strings.Repeat("1\n", 4097), 4102},
	} {
		d := newDoor("tally/dev", "tally/dev/c")
		wantStatus(t, tt.mediaType, d.post("dev/c", tt.mediaType, tt.body), tt.status)
		wantStored(t, tt.mediaType, d.stored)
	}
}

// TestTooLongSaysWhich: the part of a pack that is too long for an instance is named as the sender counts.
func TestTooLongSaysWhich(t *testing.T) {
	long := strings.Repeat(`\u0001`, 170_000)
	for _, tt := range []struct{ mediaType, body, want string }{
		{"application/x-ndjson", "1\n\n\"" + long + "\"\n", "line 3 takes"},
		{"application/senml+json", `[{"bn":"x"},{"v":1},{"t":-9,"vs":"` + long + `"}]`, "SenML record 3 takes"},
		{"text/plain", strings.Repeat("\x01", 200_000), "the message takes"},
	} {
		pack, err := fromBody(tt.mediaType, []byte(tt.body), noon)
		if err == nil {
			err = checkSize(pack)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %.200v", tt.mediaType, err)
		}
	}
}

// TestPath: a path starts with an AE's name or AE-ID, and has names of resources only (TS-0001 clause 7.2).
func TestPath(t *testing.T) {
	for path, status := range map[string]onem2m.StatusCode{
		"dev/c": 2001, "Cdev/c": 2001, "dev/c/d": 2001, "Cdev/c/d": 2001,
		"": 4000, "dev": 4000, "dev/": 4000, "/dev/c": 4000, "dev//c": 4000, "dev/c/": 4000, "dev/c d": 4000, "dev/c\x00": 4000,
		"dev/../c": 4000, "-/dev/c": 4000, "~/tally/dev/c": 4000, "dev/ü": 4000,
		"dev/c/la": 4005, "dev/c/ol": 4005, "dev/g/fopt": 4005, "dev/g/fopt/c": 4005, "dev/pch/pcu": 4005,
		"cnt1/c": 4004, "nobody/c": 4004, "Cnobody/c": 4004, "tally/dev": 4004,
		"other/c": 4103, "Cother/c": 4103, "other/c/d": 4103,
		"dev/" + strings.Repeat("x", 1100):   4000,
		"dev" + strings.Repeat("/x", 32):     4000,
		"dev/c" + strings.Repeat("/x", 30):   2001,
		"dev/c/" + strings.Repeat("x", 1000): 2001,
	} {
		d := newDoor("tally/dev", "tally/dev/c", "tally/dev/c/d", "tally/other", "tally/other/c")
		wantStatus(t, path, d.post(path, "", "1"), status)
		if n := len(d.stored); (n == 1) != (status == 2001) {
			t.Errorf("%s: %d stored", path, n)
		}
	}
}

// TestMissing: what the path lacks is made in the same unit as the reading; the AE only when it is the originator's.
func TestMissing(t *testing.T) {
	for _, tt := range []struct {
		path   string
		there  []string
		status onem2m.StatusCode
		made   string // that exists afterwards
	}{
		{"dev/a/b/c", []string{"tally/dev"}, 2001, "tally/dev/a/b/c"},
		{"dev/a/b", []string{"tally/dev", "tally/dev/a"}, 2001, "tally/dev/a/b"},
		{"Cdev/a/b", []string{"tally/dev", "tally/dev/a"}, 2001, "tally/dev/a/b"},
		{"Cdev/a", nil, 2001, "tally/dev/a"},
		{"dev/a", nil, 2001, "tally/dev/a"},
		{"thing/a", nil, 4004, ""},
		{"Cthing/a", nil, 4004, ""},
		{"Cdev2/a", []string{"tally/dev"}, 4004, ""},
		{"Cdev/a", []string{"tally/Cdev"}, 2001, "tally/Cdev/a"}, // another's AE has that name: it is the one addressed
		{"ev/a", []string{"tally/dev"}, 4004, ""},
		{"other/a", []string{"tally/other"}, 4103, ""},
	} {
		for _, body := range []string{"1", "{}\n{}"} {
			d := newDoor(tt.there...)
			wantStatus(t, tt.path, d.post(tt.path, map[bool]string{true: "application/x-ndjson"}[strings.Contains(body, "\n")], body), tt.status)
			want := len(tt.there) + 1
			if tt.made != "" {
				if _, ok := d.resources[tt.made]; !ok {
					t.Errorf("%s: %s was not made: %v", tt.path, tt.made, d.resources)
				}
				continue
			}
			if len(d.resources) != want || len(d.stored) != 0 {
				t.Errorf("%s: refused, and left %v %v", tt.path, d.resources, d.stored)
			}
		}
	}
}

// TestRace: messages that find the same container missing all end up in it, and what is removed each
// time does not hold one for ever.
func TestRace(t *testing.T) {
	d := newDoor()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			g := d.ingest()
			done := make(chan *onem2m.Response, 1)
			m := &binding.Message{Path: "dev/a/b", Body: fmt.Append(nil, i)}
			g.Start(context.Background(), m, shown("dev"), func(rsp *onem2m.Response) { done <- rsp })
			wantStatus(t, "race", <-done, onem2m.StatusCreated)
		})
	}
	wg.Wait()
	if len(d.stored) != 50 {
		t.Errorf("%d of 50 readings are there", len(d.stored))
	}
	d = newDoor("tally/dev")
	d.before = func(d *door) { d.resources["tally/dev/a"] = onem2m.TypeContainer }
	wantStatus(t, "made meanwhile", d.post("dev/a", "", "1"), onem2m.StatusCreated)
	d = newDoor("tally/dev", "tally/dev/a")
	d.before = func(d *door) {
		delete(d.resources, "tally/dev")
		delete(d.aes, "Cdev")
		d.before = nil
	}
	wantStatus(t, "removed meanwhile", d.post("dev/b", "", "1"), onem2m.StatusCreated)
	d = newDoor("tally/dev")
	d.before = func(d *door) { delete(d.resources, "tally/dev") }
	if rsp := d.post("dev/b", "", "1"); rsp.Status.Success() || d.together > attempts {
		t.Errorf("removed each time: %d after %d attempts", rsp.Status, d.together)
	}
}

// TestPackIsWhole: a pack with one bad record leaves nothing.
func TestPackIsWhole(t *testing.T) {
	d := newDoor("tally/dev", "tally/dev/c")
	wantStatus(t, "lines", d.post("dev/c", "application/x-ndjson", "{\"a\":1}\n\r\n 2 \n\"x\""), onem2m.StatusCreated)
	wantStored(t, "lines", d.stored,
		`tally/dev/c {"m2m:cin":{"cnf":"application/json:0","con":"{\"a\":1}"}}`,
		`tally/dev/c {"m2m:cin":{"cnf":"application/json:0","con":"2"}}`,
		`tally/dev/c {"m2m:cin":{"cnf":"application/json:0","con":"\"x\""}}`)
	d = newDoor("tally/dev")
	d.before = func(d *door) { d.resources["tally/dev/c"] = 29 }
	wantStatus(t, "a series came in the way", d.post("dev/c", "", "1"), onem2m.StatusCreated)
}

// TestSeries: below a timeSeries the records become timeSeriesInstances with the time that they were generated at
// (TS-0004 clause 7.4.39).
func TestSeries(t *testing.T) {
	d := newDoor("tally/dev", "tally/dev/series")
	wantStatus(t, "plain", d.post("dev/series", "", "1"), onem2m.StatusCreated)
	wantStatus(t, "SenML", d.post("dev/series", "application/senml+json", `[{"bn":"x","bt":1276020076.001,"v":1},{"t":-5,"v":2}]`), onem2m.StatusCreated)
	wantStored(t, "series", d.stored,
		`tally/dev/series {"m2m:tsi":{"dgt":"20261123T120000,000000","con":"1"}}`,
		`tally/dev/series {"m2m:tsi":{"dgt":"20100608T180111,001000","con":"[{\"n\":\"x\",\"v\":2,\"t\":1276020071.001}]"}}`,
		`tally/dev/series {"m2m:tsi":{"dgt":"20100608T180116,001000","con":"[{\"n\":\"x\",\"v\":1,\"t\":1276020076.001}]"}}`)
}

// TestGET: parameters become a JSON object, in a container that takes them so and nowhere else.
func TestGET(t *testing.T) {
	for query, con := range map[string]string{
		"temperature=21.50&humidity=40": `{"temperature":21.50,"humidity":40}`,
		"a=-1e3&b=0x1&c=&d=true&e":      `{"a":-1e3,"b":"0x1","c":"","d":"true","e":""}`,
		"a+b=c%22d+e&&x=01":             `{"a b":"c\"d e","x":"01"}`,
		"a=%201":                        `{"a":" 1"}`,
		"a=NaN&b=-":                     `{"a":"NaN","b":"-"}`,
	} {
		d := newDoor("tally/dev", "tally/dev/c")
		d.labelled["tally/dev/c"] = true
		for _, path := range []string{"dev/c", "Cdev/c"} {
			d.stored = nil
			rsp := d.ingest().Ingest(context.Background(), &binding.Message{Path: path, Query: query}, shown("dev"))
			wantStatus(t, query, rsp, onem2m.StatusCreated)
			wantStored(t, query, d.stored, `tally/dev/c {"m2m:cin":{"cnf":"application/json:0","con":`+string(onem2m.AppendQuote(nil, con))+`}}`)
		}
	}
	many := "p0=1"
	for i := range 64 {
		many += fmt.Sprintf("&p%d=1", i+1)
	}
	for query, status := range map[string]onem2m.StatusCode{
		"a=1&a=2": 4000, "=1": 4000, "&": 4000, "a=%zz": 4000, "a=%ff": 4000, "%ff=1": 4000, many: 4102, "a=" + strings.Repeat("1", 9000): 4102,
	} {
		d := newDoor("tally/dev", "tally/dev/c")
		d.labelled["tally/dev/c"] = true
		wantStatus(t, query, d.ingest().Ingest(context.Background(), &binding.Message{Path: "dev/c", Query: query}, shown("dev")), status)
	}
	d := newDoor("tally/dev", "tally/dev/c")
	for path, status := range map[string]onem2m.StatusCode{"dev/c": 4005, "Cdev/c": 4005, "dev/new": 4004, "Cdev/new": 4004, "dev/c/new": 4004} {
		wantStatus(t, path, d.ingest().Ingest(context.Background(), &binding.Message{Path: path, Query: "a=1"}, shown("dev")), status)
	}
	if len(d.stored) != 0 || len(d.resources) != 3 {
		t.Errorf("a GET that is not allowed left %v %v", d.stored, d.resources)
	}
}

// TestOriginator: the originator is the token's, or what the client claims to be, which ingress judges.
func TestOriginator(t *testing.T) {
	d := newDoor()
	for _, m := range []*binding.Message{{Path: "dev/c", From: "Cdev", Body: []byte("1")}, {Path: "dev/c", Query: "a=1"}} {
		wantStatus(t, "a stranger", d.ingest().Ingest(context.Background(), m, binding.Evidence{}), onem2m.StatusSecurityAssociationRequired)
	}
	d.lab = true
	wantStatus(t, "no token", d.ingest().Ingest(context.Background(), &binding.Message{Path: "dev/c", From: "Cdev", Body: []byte("1")}, binding.Evidence{}), onem2m.StatusCreated)
	d = newDoor()
	m := &binding.Message{Path: "dev/c", From: "/tally/Cdev", Body: []byte("1"), Delivery: &onem2m.Delivery{ID: 3}}
	wantStatus(t, "SP-relative", d.ingest().Ingest(context.Background(), m, shown("dev")), onem2m.StatusCreated)
}

func BenchmarkReading(b *testing.B) {
	d := newDoor("tally/dev", "tally/dev/c")
	g := d.ingest()
	m := &binding.Message{Path: "dev/c", MediaType: "text/plain", Body: []byte("21.5")}
	b.ReportAllocs()
	for b.Loop() {
		msg, err := g.read(m, shown("dev"))
		if err != nil {
			b.Fatal(err)
		}
		if req := msg.instance(g.byName(msg), 0); len(req.Content) == 0 {
			b.Fatal("no content")
		}
	}
}
