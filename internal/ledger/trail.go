package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/tallystick/tallystick/internal/translog"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// TrailKind says why an entry is on the audit trail.
type TrailKind uint8

// The kinds.
const (
	TrailDenied         TrailKind = 1 // requests were refused
	TrailEnrolment      TrailKind = 2 // a credential was bound or revoked
	TrailRights         TrailKind = 3 // who may do what was changed
	TrailAdministration TrailKind = 4 // the network, its CSEBase, erasure
	TrailQuarantine     TrailKind = 5 // an originator was shut out or let in again
)

var trailNames = [...]string{
	TrailDenied: "denied", TrailEnrolment: "enrolment", TrailRights: "rights",
	TrailAdministration: "administration", TrailQuarantine: "quarantine",
}

func (k TrailKind) String() string {
	if k > 0 && int(k) < len(trailNames) {
		return trailNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// ParseTrailKind is the inverse of String.
func ParseTrailKind(s string) (TrailKind, error) {
	for k := TrailDenied; int(k) < len(trailNames); k++ {
		if trailNames[k] == s {
			return k, nil
		}
	}
	return 0, fmt.Errorf("kind %.40q is none of denied, enrolment, rights, administration and quarantine", s)
}

// TrailEntry is what the index of the audit trail has of an entry of the log.
type TrailEntry struct {
	Index uint64
	Kind  TrailKind
	Time  int64 // Unix microseconds
}

// trailKind says whether an entry belongs on the audit trail; ok is false for all others.
func trailKind(rec *translog.Record) (k TrailKind, ok bool) {
	e := &rec.Entry
	switch e.Operation {
	case proof.OpAudit:
		return TrailDenied, true
	case proof.OpEnrol, proof.OpRevoke, proof.OpInvite:
		return TrailEnrolment, true
	case proof.OpQuarantine, proof.OpRelease:
		return TrailQuarantine, true
	case proof.OpDeliver:
		return 0, false
	}
	if e.Operation >= proof.OpGenesis {
		return TrailAdministration, true
	}
	switch t := onem2m.ResourceType(e.Type); {
	case t == onem2m.TypeACP, t == onem2m.TypeRole, t == onem2m.TypeToken, t == onem2m.TypeDAC:
		return TrailRights, true
	case !t.IsInstance() && e.Operation != proof.Operation(onem2m.Delete) && setsRights(rec.Payload):
		return TrailRights, true
	case t == onem2m.TypeCSEBase, t == onem2m.TypeRemoteCSE:
		return TrailAdministration, true
	}
	return 0, false
}

// setsRights says whether the content of a request has an attribute that decides who may access the resource.
func setsRights(content []byte) bool {
	for _, resource := range onem2m.Fields(content) {
		for name := range onem2m.Fields(resource) {
			switch name {
			case "acpi", "macp", "daci", "cstn":
				return true
			}
		}
	}
	return false
}

// localTrail is where each node keeps the index of the audit trail: it follows from the entries. A record is the kind and
// BE64 of the time.
const localTrail = "audit/"

func trailKey(index uint64) string {
	return localTrail + string(binary.BigEndian.AppendUint64(nil, index))
}

// noteTrail adds the entry at an index to the index of the audit trail, if it belongs there.
func (b *building) noteTrail(index uint64, rec *translog.Record) {
	if k, ok := trailKind(rec); ok {
		b.state.SetLocal(trailKey(index), binary.BigEndian.AppendUint64([]byte{byte(k)}, uint64(b.time)))
	}
}

// Trail lists the entries of the audit trail from a log index on, oldest first.
func (a *App) Trail(from uint64) iter.Seq2[TrailEntry, error] {
	return func(yield func(TrailEntry, error) bool) {
		for l, err := range a.tree.LocalsFrom(trailKey(from), localTrail) {
			var t TrailEntry
			switch key := l.Key[min(len(localTrail), len(l.Key)):]; {
			case err != nil:
			case len(key) != 8 || len(l.Value) != 9:
				err = errors.New("the index of the audit trail is damaged; run tally fsck --repair")
			default:
				t = TrailEntry{
					Index: binary.BigEndian.Uint64([]byte(key)), Kind: TrailKind(l.Value[0]),
					Time: int64(binary.BigEndian.Uint64(l.Value[1:])),
				}
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

// TrailSince gives a log index such that the entries of the audit trail from it on are those from a time on, Unix
// microseconds. It costs a few dozen looks, however long the trail is.
func (a *App) TrailSince(t int64) (uint64, error) {
	low, high := uint64(0), a.Head().LogSize
	for low < high { // all before low are too early, none from high on is
		mid := low + (high-low)/2
		at, found := high, false
		for e, err := range a.Trail(mid) {
			if err != nil {
				return 0, err
			}
			if found = e.Index < high && e.Time < t; found {
				at = e.Index
			}
			break
		}
		if found {
			low = at + 1
		} else {
			high = mid
		}
	}
	return low, nil
}
