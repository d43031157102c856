package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestQuantiles(t *testing.T) {
	for _, c := range []struct {
		values      []float64
		p50, p99, m float64
	}{
		{nil, 0, 0, 0},
		{[]float64{3}, 3, 3, 3},
		{[]float64{4, 1, 3, 2}, 3, 4, 2.5},
		{[]float64{5, 1, 4, 2, 3}, 3, 5, 3},
	} {
		if got := quantile(slices.Clone(c.values), 0.5); got != c.p50 {
			t.Errorf("p50 of %v is %v, want %v", c.values, got, c.p50)
		}
		if got := quantile(slices.Clone(c.values), 0.99); got != c.p99 {
			t.Errorf("p99 of %v is %v, want %v", c.values, got, c.p99)
		}
		if got := median(slices.Clone(c.values)); got != c.m {
			t.Errorf("median of %v is %v, want %v", c.values, got, c.m)
		}
	}
}

// A histogram's quantiles lie within 1/64 of the exact ones, merged or not.
func TestHistogram(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var a, b histogram
	var exact []float64
	for i := range 20_000 {
		d := time.Duration(math.Exp(rng.Float64() * 25))
		exact = append(exact, float64(d))
		if i%3 == 0 {
			a.add(d)
		} else {
			b.add(d)
		}
	}
	a.merge(&b)
	a.merge(new(histogram))
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.9999} {
		want, got := quantile(exact, q), float64(a.quantile(q))
		if math.Abs(got-want) > want/64+1 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	last := -1
	for d := time.Duration(1); d < 1<<45; d += d/100 + 1 {
		i := bucketOf(d)
		if i < last || i >= histogramBuckets {
			t.Fatalf("%v is in bucket %d, after %d", d, i, last)
		}
		if m := bucketMiddle(i); d < 1<<41 && (m > d+d/64+1 || m < d-d/64-1) {
			t.Fatalf("%v is in the bucket of %v", d, m)
		}
		last = i
	}
}

func TestGoals(t *testing.T) {
	var s Section
	s.add("a", "us", 4, 2, atMost(5))
	s.add("b", "us", 4, 2, ratioAtMost(1.5))
	s.add("c", "requests/s", 3, 4, ratioAtLeast(0.6))
	s.add("d", "us", 1, 0, nil)
	for i, want := range []bool{true, false, true} {
		if m := s.Measures[i]; m.Met == nil || *m.Met != want {
			t.Errorf("%s: met is %v, want %v", m.Name, m.Met, want)
		}
	}
	if m := s.Measures[3]; m.Met != nil || m.Ratio != 0 {
		t.Errorf("a measure without reference and goal has %+v", m)
	}
	var out bytes.Buffer
	if err := s.print(&out); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "SHORT"); got != 1 {
		t.Errorf("the table says SHORT %d times, want once:\n%s", got, out.String())
	}
}

// Every reading is valid JSON, in every pass; the first pass has the files' own values and no later one repeats it.
func TestReadings(t *testing.T) {
	r, err := loadReadings()
	if err != nil {
		t.Fatal(err)
	}
	for sensor := range sensors {
		rows := uint64(len(r.rows[sensor]))
		for _, n := range []uint64{0, 1, rows - 1, rows, rows + 1, 7*rows + 5} {
			var content struct {
				Instance struct {
					Content struct {
						Time  time.Time       `json:"time"`
						Value json.RawMessage `json:"value"`
					} `json:"con"`
				} `json:"m2m:cin"`
			}
			b := r.append(nil, sensor, n)
			if err := json.Unmarshal(b, &content); err != nil {
				t.Fatalf("sensor %d, reading %d: %v: %s", sensor, n, err, b)
			}
			c, row := content.Instance.Content, r.rows[sensor][n%rows]
			if n < rows && (string(c.Value) != row.Value || !c.Time.Equal(row.Time)) {
				t.Errorf("sensor %d, reading %d is %s at %s, want %s at %s", sensor, n, c.Value, c.Time, row.Value, row.Time)
			}
			if n >= rows && (len(c.Value) != len(row.Value) || !c.Time.After(r.rows[sensor][rows-1].Time)) {
				t.Errorf("sensor %d, reading %d is %s at %s", sensor, n, c.Value, c.Time)
			}
		}
	}
	for n, want := range map[uint64][sensors]uint64{0: {}, 1: {1}, 7: {2, 1, 1, 1, 1, 1}, 12: {2, 2, 2, 2, 2, 2}} {
		if got := turns(n); got != want {
			t.Errorf("%d readings in turn are %v, want %v", n, got, want)
		}
	}
}

func TestReadResponse(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int
		size int
		err  string
	}{
		{"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", 201, 2, ""},
		{"HTTP/1.1 201 Created\r\nX: y\r\nCONTENT-LENGTH:0\r\n\r\n", 201, 0, ""},
		{"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nwhy", 201, 0, "answers 403 instead of 201: why"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, 0, "chunked"},
		{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 200, 0, "Content-Length"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", 200, 0, "body"},
		{"HTTP/1.1 2x0 OK\r\n\r\n", 200, 0, "status line"},
		{"SSH-2.0\r\n\r\n", 200, 0, "status line"},
		{"", 200, 0, "EOF"},
	} {
		size, err := readResponse(bufio.NewReader(strings.NewReader(c.in)), c.want)
		switch {
		case c.err == "" && (err != nil || size != c.size):
			t.Errorf("%q: %d, %v; want %d", c.in, size, err, c.size)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%q: the error is %v, want one with %q", c.in, err, c.err)
		}
	}
}

// The load generator and the bare server understand each other, and every request is counted.
func TestGenerate(t *testing.T) {
	s := httptest.NewServer(bare(300))
	defer s.Close()
	addr := s.Listener.Addr().String()
	ctx := t.Context()

	res, err := generate(ctx, loadJob{Addr: addr, Conns: 8, Total: 100, Next: [sensors]uint64{5}})
	if err != nil {
		t.Fatal(err)
	}
	var sent uint64
	for _, n := range res.Next {
		sent += n
	}
	if res.Requests != 100 || sent != 105 || res.Rate <= 0 || res.P50 <= 0 || res.P99 < res.P50 {
		t.Errorf("100 readings: %+v", res)
	}
	res, err = generate(ctx, loadJob{Addr: addr, Conns: 2, Get: true, Warm: 5 * time.Millisecond, Measure: 30 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if res.BodySize != 300 || res.Requests == 0 {
		t.Errorf("retrieving for a while: %+v", res)
	}
	for _, records := range []int{0, 100} {
		res, err := generate(ctx, loadJob{Addr: addr, Conns: 2, Total: 10, Protocol: plainHTTP, Records: records})
		if err != nil {
			t.Fatal(err)
		}
		var sent uint64
		for _, n := range res.Next {
			sent += n
		}
		if want := uint64(10 * max(records, 1)); res.Requests != 10 || sent != want {
			t.Errorf("10 requests of plain devices with %d records sent %d readings, want %d: %+v", records, sent, want, res)
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := generate(cancelled, loadJob{Addr: addr, Conns: 2, Get: true, Measure: time.Hour}); err == nil {
		t.Error("a cancelled job ends without an error")
	}
}

// A pack is SenML, with the same readings as single messages (RFC 8428).
func TestPack(t *testing.T) {
	r, err := loadReadings()
	if err != nil {
		t.Fatal(err)
	}
	for sensor := range sensors {
		n := uint64(len(r.rows[sensor])) - 3 // over the end of a pass
		var pack []struct {
			Name  string          `json:"bn"`
			Time  int64           `json:"t"`
			Value json.RawMessage `json:"v"`
		}
		if err := json.Unmarshal(r.appendPack(nil, sensor, n, 7), &pack); err != nil || len(pack) != 7 || pack[0].Name != aeName(sensor) {
			t.Fatalf("sensor %d: %+v, %v", sensor, pack, err)
		}
		for i, rec := range pack {
			var one struct {
				Time  time.Time       `json:"time"`
				Value json.RawMessage `json:"value"`
			}
			if err := json.Unmarshal(r.appendContent(nil, sensor, n+uint64(i)), &one); err != nil {
				t.Fatal(err)
			}
			if one.Time.Unix() != rec.Time || !bytes.Equal(one.Value, rec.Value) {
				t.Errorf("sensor %d, record %d is %s at %d, want %s at %s", sensor, i, rec.Value, rec.Time, one.Value, one.Time)
			}
		}
	}
}

// The apply path takes what it is given, its floor hashes the same bytes, and a grown ledger proves its entries.
func TestApplyAndGrow(t *testing.T) {
	a, err := newApplier(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := loadReadings()
	if err != nil {
		t.Fatal(err)
	}
	src := &source{readings: r, a: a}
	before := a.app.Head().LogSize
	tx := src.batch(10)
	var whole []byte
	n := 0
	for s := range shares(tx, 10) {
		whole = append(whole, s...)
		n++
	}
	if n != 10 || !bytes.Equal(whole, tx) {
		t.Errorf("the shares of a batch are %d with %d bytes, want 10 with %d", n, len(whole), len(tx))
	}
	block, err := a.propose(tx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.apply(block); err != nil {
		t.Fatal(err)
	}
	if err := a.check(10); err != nil {
		t.Fatal(err)
	}
	if got := a.app.Head().LogSize - before; got != 10 {
		t.Errorf("10 readings made %d entries", got)
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}

	job, err := json.Marshal(growJob{Dir: t.TempDir(), Block: 64, Sizes: []uint64{100, 1000}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := runGrow(t.Context(), bytes.NewReader(job), &out); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(&out)
	for _, size := range []uint64{100, 1000} {
		var g growth
		if err := d.Decode(&g); err != nil {
			t.Fatal(err)
		}
		if g.Readings != size || g.Wall <= 0 || g.LatestP50 <= 0 || g.BundleP50 <= 0 || g.VerifyP50 <= 0 || g.MaxBundle == 0 || g.LogBytes == 0 {
			t.Errorf("at %d readings: %+v", size, g)
		}
	}
}

func TestChoose(t *testing.T) {
	todo, err := choose([]string{"la", "apply"})
	if err != nil || len(todo) != 2 || todo[0].name != "apply" || todo[1].name != "la" {
		t.Errorf("apply and la are %v, %v", todo, err)
	}
	if _, err := choose([]string{"lo"}); err == nil || !strings.Contains(err.Error(), `no section "lo"; there are apply, signed, http`) {
		t.Errorf("an unknown section: %v", err)
	}
}
