package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// publishInterval is the shortest time between two checkpoints: under load one signature covers many blocks.
const publishInterval = 50 * time.Millisecond

// startPublisher signs a checkpoint whenever the log has grown.
func (a *App) startPublisher() {
	a.publisher.Go(func() {
		for {
			grown := a.grown.wait()
			if h := a.Head(); h.LogSize > 0 && (a.Published() == nil || h.LogSize > a.Published().Size) {
				if err := a.publish(h); err != nil {
					a.fatal(err)
					return
				}
				select {
				case <-time.After(publishInterval):
				case <-a.closing:
					return
				}
				continue
			}
			select {
			case <-grown:
			case <-a.closing:
				return
			}
		}
	})
}

// publish signs the head as the log and as this member. With one member that is the quorum.
func (a *App) publish(h Status) error {
	c := proof.Checkpoint{Origin: a.genesis.Origin, Size: h.LogSize, Root: h.LogRoot}
	s := &proof.SignedCheckpoint{Checkpoint: c, Signatures: []proof.Signature{
		proof.SignLog(c, a.Key), proof.Cosign(c, a.Name, a.Key, time.Now().Unix()),
	}}
	s, err := a.policy.Open(s)
	if err != nil {
		return fmt.Errorf("publish the log at size %d: %w", h.LogSize, err)
	}
	a.published.Store(s)
	a.grown.broadcast()
	return nil
}

// Published returns the newest checkpoint, nil before the first.
func (a *App) Published() *proof.SignedCheckpoint { return a.published.Load() }

// Errors of Bundle.
var (
	ErrNotCommitted = errors.New("the log has no such entry")
	ErrNotPublished = errors.New("the entry is committed but no checkpoint covers it yet")
)

const localEntry = "entry/"

func entryKey(ri string) string { return localEntry + ri }

// isNewest says whether an entry is noted as the newest one about its resource. The ID of an instance names its entry, and
// what is remembered of messages is about nothing that the CSEBase is.
func isNewest(e *proof.Entry) bool {
	return !onem2m.ResourceType(e.Type).IsInstance() && e.Operation != proof.OpDeliver && e.Operation != proof.OpAudit
}

// EntryOf returns the log index of the newest entry about a resource, given by its unstructured ID.
func (a *App) EntryOf(ri string) (uint64, error) {
	if _, index, ok := onem2m.ParseInstanceRI(ri); ok {
		return index, nil
	}
	v, err := a.tree.Local(entryKey(ri))
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("find the entry of %s: %w", ri, ErrNotCommitted)
	}
	return binary.BigEndian.Uint64(v), nil
}

// Bundle makes the proof bundle of an entry, waiting for a checkpoint that covers it until ctx ends.
func (a *App) Bundle(ctx context.Context, index uint64) (*proof.Bundle, error) {
	if index >= a.Head().LogSize {
		return nil, fmt.Errorf("bundle of entry %d: %w", index, ErrNotCommitted)
	}
	var cp *proof.SignedCheckpoint
	for {
		grown := a.grown.wait()
		if cp = a.Published(); cp != nil && cp.Size > index {
			break
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, fmt.Errorf("bundle of entry %d: %w", index, ErrNotPublished)
		}
	}
	rec, err := a.log.Record(index)
	if err != nil {
		return nil, fmt.Errorf("bundle of entry %d: %w", index, err)
	}
	hashes, err := a.log.Inclusion(index, cp.Size)
	if err != nil {
		return nil, fmt.Errorf("bundle of entry %d: %w", index, err)
	}
	b := &proof.Bundle{Entry: rec.Entry.AppendBinary(nil), Index: index, Hashes: hashes, Erased: rec.Erased, Checkpoint: *cp}
	if !rec.Erased {
		b.Salt, b.Payload = rec.Salt, rec.Payload
	}
	if rec.Signed != nil {
		if err := a.showSignature(b, &rec); err != nil {
			return nil, fmt.Errorf("bundle of entry %d: %w", index, err)
		}
	}
	return b, nil
}
