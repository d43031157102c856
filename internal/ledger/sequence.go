package ledger

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// sequence is which numbers of one sender were used: of a member's batches, or of a key's signed requests.
//
// A member's follows from the blocks alone, so all nodes agree on it, but the log does not carry it; it is therefore kept
// beside the state that the application hash covers.
type sequence struct {
	newest uint64
	used   uint64 // bit i: newest-i was used
}

// seqWindow is how far behind the newest one a number may be used: by a member's batch, or a key's signed request.
const seqWindow = 64

// MaxInFlight is how many batches a member may have under way at once, so that whatever the order in which proposers
// take them, none falls out of the window.
const MaxInFlight = seqWindow / 2

// use marks a number as used and says whether it was free: neither used before nor further back than the window, so
// that no proposer can replay an old batch.
func (s *sequence) use(seq uint64) bool {
	switch {
	case seq > s.newest:
		if d := seq - s.newest; d < seqWindow {
			s.used = s.used<<d | 1
		} else {
			s.used = 1
		}
		s.newest = seq
		return true
	case s.newest-seq >= seqWindow || s.used&(1<<(s.newest-seq)) != 0:
		return false
	}
	s.used |= 1 << (s.newest - seq)
	return true
}

// usedBefore is the sequence of a member whose batches from seq on are executed again: all numbers below count as used.
func usedBefore(seq uint64) sequence { return sequence{newest: max(seq, 1) - 1, used: ^uint64(0)} }

const localSeq = "seq/"

func (s sequence) encode() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(make([]byte, 0, 16), s.newest), s.used)
}

func (b *building) useSeq(seqs map[string]sequence, node string, seq uint64) bool {
	s := seqs[node]
	fresh := s.use(seq)
	if fresh {
		seqs[node] = s
		b.state.SetLocal(localSeq+node, s.encode())
	}
	return fresh
}

// resumeSeq sets the number of this node's next batch. It leaves a gap: a batch from before a restart may still come
// out of CometBFT's write-ahead log.
func (a *App) resumeSeq() { a.seq.Store(a.seqs[a.Name].newest + seqWindow) }

// loadSeqs reads the used numbers.
func (a *App) loadSeqs() error {
	for l, err := range a.tree.Locals(localSeq) {
		if err == nil && len(l.Value) != 16 {
			err = fmt.Errorf("%q has %d bytes", l.Key, len(l.Value))
		}
		if err != nil {
			return fmt.Errorf("read the batch numbers: %w", err)
		}
		v := l.Value
		a.seqs[strings.TrimPrefix(l.Key, localSeq)] = sequence{binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])}
	}
	a.resumeSeq()
	return nil
}

// Sign makes a batch of this node: it numbers, encodes and signs it.
func (a *App) Sign(seed [32]byte, items []Item) (seq uint64, tx []byte) {
	seq = a.seq.Add(1)
	tx = EncodeBatch(&Batch{Node: a.Name, Seq: seq, Seed: seed, Items: items}, a.ChainID, a.Key)
	a.verified.add(tx, nil) // as good as checked
	a.devices.sign(tx, a.genesis.Origin, items)
	return seq, tx
}
