package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/client"
)

// loadJob tells a load generator, a process of its own, what to send.
type loadJob struct {
	Addr    string          `json:"addr"`
	Tokens  [sensors]string `json:"tokens"`
	Conns   int             `json:"conns"`
	Only    int             `json:"only"`    // the sensor of all connections, counted from 1; 0 for all sensors in turn
	Get     bool            `json:"get"`     // retrieve the latest instance instead of creating one
	Warm    time.Duration   `json:"warm"`    // sent before anything is counted
	Measure time.Duration   `json:"measure"` // then counted for so long
	// Total ends the job after so many requests instead, all counted. 0 for none.
	Total uint64 `json:"total"`
	// Protocol is how requests are sent, Window how many each connection keeps under way: over HTTP one.
	Protocol protocol `json:"protocol"`
	Window   int      `json:"window"`
	// Keys are the seeds of the keys that the sensors sign with, for the network Origin; "" for tokens alone.
	Keys   [sensors]string `json:"keys"`
	Origin string          `json:"origin"`
	// At is where, unless that is Addr: not all that a node serves is on one port.
	At string `json:"at"`
	// CA is the file with the certificates to verify the server by, over TLS or DTLS; "" for a connection in clear.
	CA string `json:"ca"`
	// Anonymous has requests name their originator and show no credential, as a lab network takes them.
	Anonymous bool `json:"anonymous"`
	// Records has so many readings sent in one request, as a SenML pack. 0 for one reading, without a pack.
	Records int             `json:"records"`
	Pause   time.Duration   `json:"pause"` // of a connection between an answer and the next request
	Next    [sensors]uint64 `json:"next"`  // reading that each sensor begins with
}

// protocol is a way to send readings.
type protocol string

const (
	overHTTP      protocol = "" // oneM2M over HTTP
	overWebSocket protocol = "ws"
	plainHTTP     protocol = "http" // as devices that speak no oneM2M do, from here on
	plainMQTT     protocol = "mqtt"
	plainCoAP     protocol = "coap"
)

// loadResult is what a load generator found.
type loadResult struct {
	Requests uint64          `json:"requests"` // all, those before the measurement included
	Again    uint64          `json:"again"`    // of them, sent more than once because no answer came
	Rate     float64         `json:"rate"`     // requests per second while measuring
	P50      time.Duration   `json:"p50"`
	P99      time.Duration   `json:"p99"`
	Next     [sensors]uint64 `json:"next"` // readings sent by each sensor, all jobs so far
	BodySize int             `json:"bodySize"`
}

// generator runs one job. A connection belongs to one sensor; the connections of a sensor share its readings.
type generator struct {
	loadJob
	readings *readings
	begin    time.Time
	next     [sensors]atomic.Uint64
	left     atomic.Int64 // requests that may still be sent, when Total is given
	signers  [sensors]*client.Signer

	mu      sync.Mutex
	counted histogram
	all     uint64
	again   uint64
	body    int
}

// generate runs the job.
func generate(ctx context.Context, job loadJob) (loadResult, error) {
	r, err := loadReadings()
	if err != nil {
		return loadResult{}, err
	}
	g := &generator{loadJob: job, readings: r}
	g.left.Store(int64(job.Total))
	for i := range g.next {
		g.next[i].Store(job.Next[i])
		if job.Origin != "" {
			if g.signers[i], err = newSigner(job.Origin, job.Keys[i]); err != nil {
				return loadResult{}, err
			}
		}
	}
	conns := make([]net.Conn, 0, job.Conns)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if job.Anonymous {
		g.Tokens = [sensors]string{}
	}
	for range job.Conns {
		c, err := job.dial(ctx)
		if err != nil {
			return loadResult{}, err
		}
		defer c.Close()
		conns = append(conns, c)
	}
	defer context.AfterFunc(ctx, func() {
		for _, c := range conns {
			c.Close()
		}
	})()
	g.begin = time.Now()
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			drive := g.drive
			switch g.Protocol {
			case overWebSocket:
				drive = g.driveSocket
			case plainMQTT:
				drive = g.driveMQTT
			case plainCoAP:
				drive = g.driveCoAP
			}
			sensor := i % sensors
			if g.Only > 0 {
				sensor = g.Only - 1
			}
			if err := drive(c, sensor); err != nil {
				cancel(fmt.Errorf("connection %d: %w", i, err))
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return loadResult{}, err
	}
	return g.result(), nil
}

func (g *generator) result() loadResult {
	took := g.Measure
	if g.Total > 0 {
		took = time.Since(g.begin)
	}
	out := loadResult{
		Requests: g.all, Again: g.again, Rate: float64(g.counted.total) / took.Seconds(),
		P50: g.counted.quantile(0.5), P99: g.counted.quantile(0.99), BodySize: g.body,
	}
	for i := range out.Next {
		out.Next[i] = g.next[i].Load()
	}
	return out
}

// drive sends requests over one connection, one at a time, until the job is over.
func (g *generator) drive(c net.Conn, sensor int) error {
	var (
		h        histogram
		n        uint64
		size     int
		in       = bufio.NewReaderSize(c, 4096)
		out      []byte
		body     []byte
		from, to = g.begin.Add(g.Warm), g.begin.Add(g.Warm + g.Measure)
		want     = 201
	)
	if g.Get {
		want = 200
	}
	for !g.over(to) {
		if g.Get {
			out = g.appendGet(out[:0], sensor, n)
		} else {
			out, body = g.appendPost(out[:0], body[:0], sensor, n)
		}
		begin := time.Now()
		if _, err := c.Write(out); err != nil {
			return fmt.Errorf("send a request: %w", err)
		}
		var err error
		if size, err = readResponse(in, want); err != nil {
			return err
		}
		end := time.Now()
		n++
		if g.Total > 0 || begin.After(from) && end.Before(to) {
			h.add(end.Sub(begin))
		}
		if g.Pause > 0 {
			time.Sleep(g.Pause)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counted.merge(&h)
	g.all += n
	g.body = size
	return nil
}

func (g *generator) over(to time.Time) bool {
	if g.Total > 0 {
		return g.left.Add(-1) < 0
	}
	return !time.Now().Before(to)
}

func (g *generator) appendHead(dst []byte, method, suffix string, sensor int, n uint64) []byte {
	dst = append(dst, method...)
	dst = append(dst, " /"...)
	dst = append(dst, container(sensor)...)
	dst = append(dst, suffix...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, g.Addr...)
	dst = append(dst, "\r\nAuthorization: Bearer "...)
	dst = append(dst, g.Tokens[sensor]...)
	dst = append(dst, "\r\nX-M2M-Origin: "...)
	dst = append(dst, deviceID(sensor)...)
	dst = append(dst, "\r\nX-M2M-RVI: 4\r\nX-M2M-RI: "...)
	return strconv.AppendUint(dst, n, 36)
}

func (g *generator) appendGet(dst []byte, sensor int, n uint64) []byte {
	return append(g.appendHead(dst, "GET", "/la", sensor, n), "\r\n\r\n"...)
}

// appendPost appends a request with the next readings of a sensor, whose body it makes in the memory of body.
func (g *generator) appendPost(dst, body []byte, sensor int, n uint64) (request, used []byte) {
	mediaType := "application/json;ty=4"
	switch {
	case g.Protocol != plainHTTP:
		body = g.readings.append(body, sensor, g.take(sensor, 1))
		dst = g.appendHead(dst, "POST", "", sensor, n)
	case g.Records > 0:
		mediaType = "application/senml+json"
		body = g.readings.appendPack(body, sensor, g.take(sensor, g.Records), g.Records)
		dst = g.appendPlainHead(dst, sensor)
	default:
		mediaType = "application/json"
		body = g.readings.appendContent(body, sensor, g.take(sensor, 1))
		dst = g.appendPlainHead(dst, sensor)
	}
	if s := g.signers[sensor]; s != nil {
		dst = append(append(dst, "\r\nX-M2M-VSI: "...), signReading(s, sensor, body)...)
	}
	dst = append(append(dst, "\r\nContent-Type: "...), mediaType...)
	dst = strconv.AppendInt(append(dst, "\r\nContent-Length: "...), int64(len(body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...), body
}

// take gives the first of the next n readings of a sensor, which are the caller's to send.
func (g *generator) take(sensor, n int) uint64 { return g.next[sensor].Add(uint64(n)) - uint64(n) }

// appendPlainHead begins a request of a device that speaks no oneM2M.
func (g *generator) appendPlainHead(dst []byte, sensor int) []byte {
	dst = append(append(dst, "POST /ingest/"...), plainPath(sensor)...)
	dst = append(append(dst, " HTTP/1.1\r\nHost: "...), g.Addr...)
	return append(append(dst, "\r\nAuthorization: Bearer "...), g.Tokens[sensor]...)
}

// maxResponse bounds the body of a response.
const maxResponse = 1 << 20

var (
	contentLength    = []byte("content-length:")
	transferEncoding = []byte("transfer-encoding:")
)

// readResponse reads one response, whose body must have a Content-Length, and returns the body's size. Anything but
// the wanted status is an error that quotes the body.
func readResponse(in *bufio.Reader, want int) (size int, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, fmt.Errorf("read a response: %w", err)
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, fmt.Errorf("read a response: %q is no status line", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, fmt.Errorf("read a response: %q is no status line", line)
	}
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return 0, fmt.Errorf("read a response's header: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if v, ok := cutFold(line, contentLength); ok {
			if size, err = strconv.Atoi(string(bytes.TrimSpace(v))); err != nil || size < 0 || size > maxResponse {
				return 0, fmt.Errorf("read a response: its Content-Length is %q", v)
			}
		} else if _, ok := cutFold(line, transferEncoding); ok {
			return 0, errors.New("read a response: it is chunked, which this client does not read")
		}
	}
	if status != want {
		text, _ := io.ReadAll(io.LimitReader(in, int64(min(size, 300))))
		return 0, fmt.Errorf("the server answers %d instead of %d: %s", status, want, text)
	}
	if _, err := in.Discard(size); err != nil {
		return 0, fmt.Errorf("read a response's body: %w", err)
	}
	return size, nil
}

// cutFold is bytes.CutPrefix for an ASCII prefix in lower case, in any case.
func cutFold(s, prefix []byte) (after []byte, ok bool) {
	if len(s) < len(prefix) || !bytes.EqualFold(s[:len(prefix)], prefix) {
		return nil, false
	}
	return s[len(prefix):], true
}

// runLoad is the load generator's process: a job on in, its result on out.
func runLoad(ctx context.Context, in io.Reader, out io.Writer) error {
	var job loadJob
	if err := json.NewDecoder(in).Decode(&job); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	res, err := generate(ctx, job)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(res)
}
