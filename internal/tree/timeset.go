package tree

import "slices"

// timeSet is a set of times. It never changes: with and without give a new set that shares what did not change, so that
// an old one stays what it was.
type timeSet [][]int64 // ascending throughout; no part is empty

// maxPart is the number of times that a part of a set is kept to. Adding to it copies the part.
const maxPart = 512

// part gives the position of the part in which t belongs.
func (s timeSet) part(t int64) int {
	i, found := slices.BinarySearchFunc(s, t, func(p []int64, t int64) int {
		switch {
		case p[0] > t:
			return 1
		case p[0] < t:
			return -1
		}
		return 0
	})
	if !found && i > 0 {
		i--
	}
	return i
}

func (s timeSet) has(t int64) bool {
	if len(s) == 0 {
		return false
	}
	_, found := slices.BinarySearch(s[s.part(t)], t)
	return found
}

// with is the set with t, which must not be in it.
func (s timeSet) with(t int64) timeSet {
	if len(s) == 0 {
		return timeSet{{t}}
	}
	i := s.part(t)
	p := s[i]
	at, _ := slices.BinarySearch(p, t)
	next := slices.Clone(s)
	switch {
	case at == len(p) && i == len(s)-1 && len(p) < maxPart:
		// Most times come in ascending order. The new one lies behind the end of the old part, which nobody else sees.
		next[i] = append(p, t)
		return next
	case at == len(p) && i == len(s)-1:
		return append(next, []int64{t})
	}
	grown := make([]int64, 0, len(p)+1)
	grown = append(append(append(grown, p[:at]...), t), p[at:]...)
	if len(grown) <= maxPart {
		next[i] = grown
		return next
	}
	half := len(grown) / 2
	next[i] = grown[:half:half]
	return slices.Insert(next, i+1, grown[half:])
}

// without is the set without t, which must be in it.
func (s timeSet) without(t int64) timeSet {
	i := s.part(t)
	at, _ := slices.BinarySearch(s[i], t)
	next := slices.Clone(s)
	if len(s[i]) == 1 {
		return slices.Delete(next, i, i+1)
	}
	p := make([]int64, 0, len(s[i])-1)
	next[i] = append(append(p, s[i][:at]...), s[i][at+1:]...)
	return next
}

// times lists the whole set.
func (s timeSet) times() []int64 { return slices.Concat(s...) }
