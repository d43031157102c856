package translog

import (
	"fmt"

	"github.com/tallystick/tallystick/proof"
)

// Staged is a block with its hashes, ready for Append. It shares the block with the caller, who must not change it
// any more.
type Staged struct {
	block  *Block
	before Head
	head   Head
	edge   edge
	leaves [][32]byte
	sums   []sum
}

// Head is what the log's Head will be after Append.
func (s *Staged) Head() Head { return s.head }

// Block is the staged block, complete with commitments and salts.
func (s *Staged) Block() *Block { return s.block }

// Stage computes the commitments, salts and leaf hashes of a block that is to follow the last one, and the size and
// root of the log that it makes. It completes the block's records in place (height, time, salt, commitment, and the
// index of the first) and changes nothing else: without Append it has not happened. A block without records
// leaves the log as it is. The error says why the block cannot be a block of this log.
func (l *Log) Stage(b *Block) (*Staged, error) {
	l.mu.RLock()
	s := &Staged{block: b, before: l.head, edge: l.edge}
	err := l.writable()
	l.mu.RUnlock()
	if err == nil {
		err = b.check()
	}
	if err == nil && len(b.Records) > 0 && s.before.Size > 0 && b.Height <= s.before.Height {
		err = fmt.Errorf("the log is at height %d", s.before.Height)
	}
	if err != nil {
		return nil, fmt.Errorf("translog: stage the block of height %d: %w", b.Height, err)
	}
	b.First = s.before.Size
	s.head = s.before
	if len(b.Records) == 0 {
		return s, nil
	}
	s.leaves = make([][32]byte, len(b.Records))
	var buf [2 * proof.MaxID]byte
	entry := buf[:0]
	for i := range b.Records {
		r := &b.Records[i]
		r.complete(b)
		entry = r.Entry.AppendBinary(entry[:0])
		s.leaves[i] = proof.LeafHash(entry)
		s.sums = s.edge.add(s.leaves[i], s.sums)
	}
	s.head = Head{Size: s.edge.size, Root: s.edge.root(), Height: b.Height}
	return s, nil
}
