package tree

import "slices"

// containerUndo is how to bring one container back to where it was.
type containerUndo struct {
	at   *staged
	kind undoKind
	full *staged // for undoFull

	// For undoPush: what the push of one posting changed besides what the posting itself tells.
	stateTag uint64
	modified int64
	tail     int
	last     posting
}

type undoKind uint8

const (
	undoAdd  undoKind = iota // the block had not touched it
	undoFull                 // a copy
	undoPush                 // one posting more in the tail
)

// addStaged adds a container that the block had not touched.
func (b *Block) addStaged(s *staged) {
	b.encoded = nil
	b.containers[s.ri] = s
	b.containersUndo = append(b.containersUndo, containerUndo{at: s, kind: undoAdd})
	s.saved = b.marks
}

// save keeps a copy of s for Rollback, once for each mark.
func (b *Block) save(s *staged) {
	b.encoded = nil
	if s.saved != b.marks {
		prev := *s
		b.containersUndo = append(b.containersUndo, containerUndo{at: s, kind: undoFull, full: &prev})
		s.saved = b.marks
	}
}

// simplePush says that the next push does nothing but lengthen the tail, so that saveTail will do before it.
func (s *staged) simplePush() bool { return s.dirty && s.tailN > 0 && s.tailN < chunkLimit }

// saveTail is save right before a simple push, which is most of all that happens.
func (b *Block) saveTail(s *staged) {
	b.encoded = nil
	if s.saved != b.marks {
		b.containersUndo = append(b.containersUndo, containerUndo{
			at: s, kind: undoPush, stateTag: s.StateTag, modified: s.Modified, tail: len(s.tail), last: s.last,
		})
	}
}

func (b *Block) undoContainer(u *containerUndo) {
	s := u.at
	switch u.kind {
	case undoAdd:
		delete(b.containers, s.ri)
	case undoFull:
		*s = *u.full
	case undoPush:
		s.Count--
		s.Bytes -= s.last.Size
		if s.last.named {
			s.named--
		}
		s.tail, s.tailN = slices.Clip(s.tail[:u.tail]), s.tailN-1
		s.last, s.Newest = u.last, u.last.Index
		s.StateTag, s.Modified = u.stateTag, u.modified
	}
}
