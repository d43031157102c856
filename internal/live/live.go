// Package live follows what is committed and gives it as readings: the instances of containers and time series, by the
// path and with the payload that a plain device knows them by.
package live

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/internal/translog"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// Live reads a node's ledger. It is safe for concurrent use.
type Live struct {
	app   *ledger.App
	paths paths
}

var _ binding.Live = (*Live)(nil)

// New returns the readings of a ledger.
func New(app *ledger.App) *Live { return &Live{app: app} }

// Head implements binding.Live.
func (l *Live) Head() uint64 { return l.app.Head().LogSize }

// Grown implements binding.Live.
func (l *Live) Grown() <-chan struct{} { return l.app.Grown() }

// maxRead is how many bytes of readings Read gives at a time, unless one alone has more.
const maxRead = 4 << 20

// Read implements binding.Live.
func (l *Live) Read(from uint64, max int, want func(path string) bool) (rs []binding.Reading, next uint64, changed bool, err error) {
	end := l.Head()
	if end > from+uint64(max) {
		end = from + uint64(max)
	}
	if from >= end {
		return nil, from, false, nil
	}
	view := l.app.View()
	defer view.Close()
	next = from
	size := 0
	for b, err := range l.app.Log().Blocks(from) {
		if err != nil {
			return nil, from, false, fmt.Errorf("read the log from %d: %w", from, err)
		}
		for i := range b.Records {
			index := b.First + uint64(i)
			if index < next {
				continue
			}
			if index >= end {
				return rs, end, changed, nil
			}
			next = index + 1
			rec := &b.Records[i]
			if !isInstance(&rec.Entry) {
				changed = true
				continue
			}
			if rec.Entry.Operation != proof.Operation(onem2m.Create) || rec.Payload == nil {
				continue // removed or erased
			}
			path, err := l.paths.of(view, rec.Entry.Target)
			if err != nil {
				return nil, from, false, err
			}
			if path == "" || !want(path) {
				continue
			}
			rs = append(rs, reading(index, path, rec))
			if size += len(rs[len(rs)-1].Payload); size >= maxRead {
				return rs, next, changed, nil
			}
		}
		if next >= end {
			break
		}
	}
	return rs, next, changed, nil
}

func isInstance(e *proof.Entry) bool {
	return e.Type == uint32(onem2m.TypeContentInstance) || e.Type == uint32(onem2m.TypeTimeSeriesInst)
}

func reading(index uint64, path string, rec *translog.Record) binding.Reading {
	r := binding.Reading{
		Index: index, Path: path, Container: rec.Entry.Target, Originator: rec.Entry.Originator, Time: rec.Entry.Time,
	}
	r.Payload, r.MediaType = payload(rec.Payload)
	return r
}

// Reading implements binding.Live.
func (l *Live) Reading(index uint64) (r binding.Reading, ok bool, err error) {
	view := l.app.View()
	defer view.Close()
	container, _, ok, err := view.LookupInstance(index)
	if err != nil || !ok {
		return r, false, err
	}
	c, err := view.InstanceContent(index)
	if err != nil || c.Content == nil {
		return r, false, err
	}
	path, err := l.paths.of(view, container)
	if err != nil || path == "" {
		return r, false, err
	}
	r = binding.Reading{Index: index, Path: path, Container: container, Originator: c.Originator, Time: c.Time}
	r.Payload, r.MediaType = payload(c.Content)
	return r, true, nil
}

// payload gives the content of an instance as a plain device sends it: a string without its quotes, what contentInfo
// calls base64 decoded, anything else as JSON text.
func payload(content []byte) (body []byte, mediaType string) {
	var con, info []byte
	_, members, err := onem2m.ParseContent(content)
	if err != nil {
		return content, ""
	}
	for i := range members {
		switch members[i].Name {
		case "con":
			con = members[i].Value
		case "cnf":
			info = members[i].Value
		}
	}
	cnf, _ := onem2m.Unquote(info)
	mediaType, encoding, _ := strings.Cut(cnf, ":")
	text, ok := onem2m.Unquote(con)
	if !ok {
		return bytes.Clone(con), mediaType // it shares the memory of its block
	}
	if strings.HasPrefix(encoding, "1") || strings.HasPrefix(encoding, "2") {
		if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
			return raw, mediaType
		}
	}
	return []byte(text), mediaType
}

// paths remembers where containers are. A resource never moves, and an ID is never given again.
type paths struct {
	mu    sync.RWMutex
	known map[string]string
}

// maxPaths bounds the paths that are remembered.
const maxPaths = 1 << 16

// of returns the path of a container below the CSEBase, "" when it is gone.
func (p *paths) of(view cse.Reader, ri string) (string, error) {
	p.mu.RLock()
	path, ok := p.known[ri]
	p.mu.RUnlock()
	if ok {
		return path, nil
	}
	for at := ri; ; {
		r, err := view.Resource(at)
		if err != nil {
			return "", fmt.Errorf("find the place of %s: %w", ri, err)
		}
		if r == nil {
			return "", nil
		}
		if r.PI == "" {
			break
		}
		if path != "" {
			path = "/" + path
		}
		path, at = r.RN+path, r.PI
	}
	p.mu.Lock()
	if p.known == nil || len(p.known) >= maxPaths {
		p.known = make(map[string]string)
	}
	p.known[ri] = path
	p.mu.Unlock()
	return path, nil
}
