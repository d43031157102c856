package mqttbinding

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// store keeps sessions across a restart: one small file a session, written when its subscriptions change, and one file
// with what moves all the time, written every second at most and, with very many sessions, as often as it takes no more
// than a twentieth of the time. Messages are not kept: they are in the log, and every session knows from where it has to
// be read.
type store struct {
	dir  string
	mu   sync.Mutex // one writer at a time
	last []byte     // moving file as written
	seen uint64     // the broker's moved when it was
	rest time.Time  // it is not written again before
}

// The largest files that are read, in bytes.
const (
	maxSessionFile = 4 << 20
	maxMovingFile  = 1 << 29
)

const (
	storeVersion = 1
	movingFile   = "positions.json"
	sessionExt   = ".session.json"
)

// sessionRecord is a session's file.
type sessionRecord struct {
	Version int    `json:"version"`
	Owner   string `json:"originator"`
	Client  string `json:"client"`
	Expiry  int64  `json:"expiry"` // seconds
	// Goodbyes is also in the file of what moves; the greater is right. Here it is written before the client publishes.
	Goodbyes uint64               `json:"goodbyes,omitempty"`
	Epoch    uint64               `json:"epoch"`
	From     uint64               `json:"from"` // log index where the session began; a later position may be known
	Subs     []subscriptionRecord `json:"subscriptions"`
}

type subscriptionRecord struct {
	Filter            string `json:"filter"`
	QoS               byte   `json:"qos"`
	NoLocal           bool   `json:"noLocal,omitempty"`
	RetainAsPublished bool   `json:"retainAsPublished,omitempty"`
	Identifier        int    `json:"identifier,omitempty"`
	From              uint64 `json:"from"`
}

// movingRecord is the file of what moves.
type movingRecord struct {
	Version  int               `json:"version"`
	Sessions map[string]moving `json:"sessions"` // by file name without extension
	Retained map[string]uint64 `json:"retained"`
}

type moving struct {
	Position uint64 `json:"position"`
	Since    int64  `json:"since,omitempty"` // Unix seconds since when the client is away
	Goodbyes uint64 `json:"goodbyes,omitempty"`
}

func (s *session) file() string {
	h := sha256.Sum256([]byte(s.owner + "\x00" + s.client))
	return hex.EncodeToString(h[:16])
}

// save writes a session's file, if the session outlives its connection; else it removes it.
func (t *store) save(s *session) error {
	if !s.lasts() {
		t.remove(s)
		return nil
	}
	r := sessionRecord{Version: storeVersion, Owner: s.owner, Client: s.client, Epoch: s.epoch, From: s.position()}
	for _, sub := range s.subscriptions() {
		r.Subs = append(r.Subs, subscriptionRecord{
			Filter: sub.text, QoS: sub.options.Qos, NoLocal: sub.options.NoLocal,
			RetainAsPublished: sub.options.RetainAsPublished, Identifier: sub.options.Identifier, From: sub.from,
		})
	}
	s.mu.Lock()
	r.Expiry, r.Goodbyes = int64(s.expiry/time.Second), s.goodbyes
	s.stored = true
	s.mu.Unlock()
	b, err := json.Marshal(&r)
	if err != nil {
		return err
	}
	return t.write(s.file()+sessionExt, b)
}

// remove removes a session's file.
func (t *store) remove(s *session) {
	s.mu.Lock()
	stored := s.stored
	s.stored = false
	s.mu.Unlock()
	if stored {
		os.Remove(filepath.Join(t.dir, s.file()+sessionExt))
	}
}

// write replaces a file.
func (t *store) write(name string, b []byte) error {
	path := filepath.Join(t.dir, name)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := os.MkdirAll(t.dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// saveSometimes does what saveMoving does, unless it was done a moment ago.
func (t *store) saveSometimes(b *Broker, now time.Time) error {
	if now.Before(t.rest) {
		return nil
	}
	began := time.Now()
	err := t.saveMoving(b)
	t.rest = now.Add(20 * time.Since(began))
	return err
}

// saveMoving writes the positions of all sessions and the retained messages, if they have changed.
func (t *store) saveMoving(b *Broker) error {
	moved := b.moved.Load()
	if moved == t.seen {
		return nil
	}
	r := movingRecord{Version: storeVersion, Sessions: make(map[string]moving)}
	b.mu.RLock()
	all := make([]*session, 0, len(b.sessions))
	for _, s := range b.sessions {
		all = append(all, s)
	}
	b.mu.RUnlock()
	for _, s := range all {
		s.mu.Lock()
		stored, since, goodbyes := s.stored, int64(0), s.goodbyes
		if s.conn == nil {
			since = s.since.Unix()
		}
		s.mu.Unlock()
		if stored {
			r.Sessions[s.file()] = moving{Position: s.position(), Since: since, Goodbyes: goodbyes}
		}
	}
	b.retain.mu.Lock()
	r.Retained = maps.Clone(b.retain.index)
	b.retain.mu.Unlock()
	if len(r.Sessions) == 0 && len(r.Retained) == 0 && t.last == nil {
		t.seen = moved
		return nil
	}
	text, err := json.Marshal(&r)
	if err != nil {
		return err
	}
	if !slices.Equal(text, t.last) {
		if err := t.write(movingFile, text); err != nil {
			return err
		}
	}
	t.last, t.seen = text, moved
	return nil
}

// load reads what the folder keeps. A file that says nothing, as a power failure may leave it, costs its client the
// session: it has to subscribe again, which a new session tells it.
func (b *Broker) load() error {
	dir := b.store.dir
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var m movingRecord
	if err := readRecord(filepath.Join(dir, movingFile), maxMovingFile, &m); err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.o.Log.Warn("read how far MQTT clients have come: they get more than they missed", "error", err)
		m = movingRecord{}
	}
	if m.Retained != nil {
		b.retain.index = m.Retained
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), sessionExt)
		if !ok {
			continue
		}
		var r sessionRecord
		if err := readRecord(filepath.Join(dir, e.Name()), maxSessionFile, &r); err != nil {
			b.o.Log.Warn("read the session of an MQTT client: it begins a new one", "error", err)
			continue
		}
		at, known := m.Sessions[name]
		if !known {
			at = moving{Position: r.From}
		}
		if err := b.revive(name, &r, at); err != nil {
			b.o.Log.Warn("resume the session of an MQTT client: it begins a new one", "file", e.Name(), "error", err)
		}
	}
	return nil
}

func readRecord(path string, limit int64, into any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return err
	}
	if int64(len(b)) > limit {
		return fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// revive makes a session of what its file says.
func (b *Broker) revive(name string, r *sessionRecord, at moving) error {
	if r.Version != storeVersion {
		return fmt.Errorf("it is of version %d; this program knows version %d", r.Version, storeVersion)
	}
	if len(r.Subs) > maxSubscriptions || r.Expiry < 0 || r.Expiry > int64(maxExpiry/time.Second) {
		return fmt.Errorf("it has %d subscriptions and expires after %d s: more than a session may", len(r.Subs), r.Expiry)
	}
	if len(b.sessions) >= b.o.MaxSessions {
		return fmt.Errorf("there are %d sessions already", len(b.sessions))
	}
	s := &session{broker: b, owner: r.Owner, client: r.Client, epoch: r.Epoch, expiry: time.Duration(r.Expiry) * time.Second, stored: true}
	if s.file() != name {
		return errors.New("it is the file of another session")
	}
	s.since, s.goodbyes = time.Now(), max(r.Goodbyes, at.Goodbyes)
	if at.Since != 0 {
		s.since = time.Unix(at.Since, 0)
	}
	s.behind, s.cursor = true, min(max(at.Position, r.From), b.o.Live.Head())
	for _, x := range r.Subs {
		f, err := parseFilter(x.Filter)
		if err != nil {
			b.unsubscribeAll(s)
			return fmt.Errorf("subscription %q: %w", x.Filter, err)
		}
		sub := &subscription{session: s, text: x.Filter, filter: f, from: x.From, options: packets.Subscription{
			Filter: x.Filter, Qos: x.QoS, NoLocal: x.NoLocal, RetainAsPublished: x.RetainAsPublished, Identifier: x.Identifier,
		}}
		if s.subs == nil {
			s.subs = make(map[string]*subscription)
		}
		s.subs[x.Filter] = sub
		b.trie.add(sub)
	}
	b.sessions[s.key()] = s
	b.away[s.owner]++
	return nil
}
