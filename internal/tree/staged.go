package tree

import (
	"cmp"
	"errors"
	"slices"
)

// staged is a container as the block in progress has changed it. A copy of the struct is all it takes to come back.
type staged struct {
	container
	ri         string
	base       *container    // as committed; nil when the block created it
	present    bool          // it exists now
	wiped      bool          // it was removed in this block: none of the committed postings and names count
	dirty      bool          // there is something to write
	generation uint32        // how often it was removed in this block
	chunks     []stagedChunk // ascending; appended to or replaced, never changed
	saved      uint64        // the mark since which a copy is kept
	top        topPage
}

// masked says that nothing committed below the container counts.
func (s *staged) masked() bool { return s.base == nil || s.wiped }

func (s *staged) list(v *version) *chunks {
	return &chunks{v: v, ri: s.ri, masked: s.masked(), staged: s.chunks}
}

// committed says that there is a chunk of that name in the committed version.
func (s *staged) committed(name uint64) bool {
	return !s.masked() && s.base.hasChunks() && name <= s.base.Newest && (s.base.tailN == 0 || name < s.base.tailName)
}

// setChunk writes a chunk, or deletes it when record is nil.
func (s *staged) setChunk(list *chunks, name uint64, record []byte) {
	next := slices.Clone(s.chunks)
	i, found := search(next, name)
	switch {
	case record == nil && !s.committed(name):
		if found {
			next = slices.Delete(next, i, i+1)
		}
	case found:
		next[i].record = record
	default:
		next = slices.Insert(next, i, stagedChunk{name, record})
	}
	s.chunks = next
	list.staged = next
}

// clear makes the container an empty one that does not exist.
func (s *staged) clear() {
	s.container = container{}
	s.chunks = nil
	s.wiped = s.wiped || s.base != nil
	s.present = false
	s.dirty = true
	s.generation++
}

var errAbsent = errors.New("not there")

// remove takes the posting of one instance out.
func (s *staged) remove(list *chunks, index uint64) (p posting, err error) {
	switch {
	case s.Count == 0 || index < s.Oldest || index > s.Newest:
		return p, errAbsent
	case index == s.Oldest:
		return s.removeOldest(list)
	case s.tailN > 0 && index >= s.tailName:
		return s.removeFromTail(list, index)
	}
	return s.removeFromChunk(list, index)
}

// cut takes the posting with that index out of ps.
func cut(ps []posting, index uint64) (rest []posting, p posting, err error) {
	i, ok := slices.BinarySearchFunc(ps, index, func(p posting, index uint64) int { return cmp.Compare(p.Index, index) })
	if !ok {
		return ps, p, errAbsent
	}
	p = ps[i]
	return slices.Delete(ps, i, i+1), p, nil
}

func (s *staged) removeFromTail(list *chunks, index uint64) (p posting, err error) {
	var room [chunkLimit]posting
	ps, err := list.decodeTail(room[:], &s.container)
	if err != nil {
		return p, err
	}
	rest, p, err := cut(ps, index)
	if err != nil {
		return p, err
	}
	s.setTail(rest)
	if len(rest) > 0 {
		s.Newest = s.last.Index
	} else if err := s.newestBelow(list, index); err != nil {
		return p, err
	}
	s.discount(&p)
	return p, nil
}

// newestBelow finds the newest live posting in the chunks, the tail being empty.
func (s *staged) newestBelow(list *chunks, index uint64) error {
	chunk, ok, err := list.floor(index - 1)
	if err != nil {
		return err
	}
	if !ok {
		return list.corrupt(s.first, "missing")
	}
	var room [chunkLimit]posting
	ps, err := list.decode(room[:], &s.container, chunk)
	if err != nil {
		return err
	}
	s.Newest = ps[len(ps)-1].Index
	return nil
}

func (s *staged) removeFromChunk(list *chunks, index uint64) (p posting, err error) {
	chunk, ok, err := list.floor(index)
	if err != nil {
		return p, err
	}
	if !ok {
		return p, list.corrupt(s.first, "missing")
	}
	var room [chunkLimit]posting
	ps, err := list.decode(room[:], &s.container, chunk)
	if err != nil {
		return p, err
	}
	rest, p, err := cut(ps, index)
	if err != nil {
		return p, err
	}
	if chunk.name == s.first {
		s.skip, s.head = 0, head{}
	}
	if len(rest) == 0 {
		s.setChunk(list, chunk.name, nil)
	} else {
		s.setChunk(list, chunk.name, encodeChunk(len(rest), appendPostings(nil, chunk.name, rest, s.dated)))
	}
	if index == s.Newest {
		if err := s.newestBelow(list, index); err != nil {
			return p, err
		}
	}
	s.discount(&p)
	return p, nil
}

// removeOldest only moves the head on, and deletes the oldest chunk when it has become empty.
func (s *staged) removeOldest(list *chunks) (p posting, err error) {
	p, n, err := s.peek(list)
	if err != nil {
		return p, err
	}
	if p.Index != s.Oldest {
		return p, list.corrupt(s.first, "the oldest posting is not the one that the container names")
	}
	inTail, first := s.headInTail(), s.first
	s.discount(&p)
	if s.Count == 0 {
		if !inTail {
			s.setChunk(list, first, nil)
		}
		return p, nil
	}
	s.skip++
	s.head.off += n
	s.head.prev = p
	if inTail && s.skip >= s.tailN {
		return p, list.corrupt(s.first, "fewer postings than the container counts")
	}
	if !inTail && s.skip >= s.head.n {
		if err := s.nextChunk(list); err != nil {
			return p, err
		}
	}
	next, _, err := s.peek(list)
	if err != nil {
		return p, err
	}
	s.Oldest = next.Index
	return p, nil
}

// nextChunk deletes the first chunk, which is used up, and moves the head to the one after it.
func (s *staged) nextChunk(list *chunks) error {
	used := s.first
	s.setChunk(list, used, nil)
	chunk, ok, err := list.ceil(used + 1)
	if err != nil {
		return err
	}
	s.skip = 0
	if ok {
		s.first = chunk.name
		return s.loadHead(list, chunk)
	}
	if s.tailN == 0 {
		return list.corrupt(used, "fewer postings than the container counts")
	}
	s.first = s.tailName
	s.head = headOf(s.tailName)
	return nil
}

// loadHead sets the head to the start of a full chunk.
func (s *staged) loadHead(list *chunks, chunk stagedChunk) error {
	n, postings, err := splitChunk(slices.Clone(chunk.record))
	if err != nil {
		return list.corrupt(chunk.name, err)
	}
	s.head = headOf(chunk.name)
	s.head.chunk, s.head.n = postings, n
	return nil
}

// peek decodes the oldest live posting and says how long it is.
func (s *staged) peek(list *chunks) (p posting, n int, err error) {
	if !s.head.known {
		if err := s.findHead(list); err != nil {
			return p, 0, err
		}
	}
	b := s.head.chunk
	if s.headInTail() {
		b = s.tail
	}
	n, err = readPosting(b[s.head.off:], &s.head.prev, &p, s.dated)
	if err != nil {
		return p, 0, list.corrupt(s.first, err)
	}
	return p, n, nil
}

// findHead goes to the first chunk, or the tail, and past the postings that are gone.
func (s *staged) findHead(list *chunks) error {
	b := s.tail
	if s.headInTail() {
		s.head = headOf(s.tailName)
	} else {
		chunk, ok, err := list.ceil(s.first)
		if err != nil {
			return err
		}
		if !ok || chunk.name != s.first {
			return list.corrupt(s.first, "missing")
		}
		if err := s.loadHead(list, chunk); err != nil {
			return err
		}
		if s.skip >= s.head.n {
			return list.corrupt(s.first, "all postings of the oldest chunk are gone")
		}
		b = s.head.chunk
	}
	for range s.skip {
		var p posting
		n, err := readPosting(b[s.head.off:], &s.head.prev, &p, s.dated)
		if err != nil {
			s.head = head{}
			return list.corrupt(s.first, err)
		}
		s.head.off += n
		s.head.prev = p
	}
	return nil
}
