package tree

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tallystick/tallystick/internal/cse"
)

// A timeSeries has no two instances with the same time of generation (dgt). To find out, its times are kept in pages,
// ordered: a reading that comes in order touches the last page only, so a block writes few pages for many readings.

// pageLimit is the number of times that a page holds when it is written.
const pageLimit = 128

var errPage = errors.New("malformed page of times")

// appendPage encodes a page: the times, ascending, as differences, the first from the page's name.
func appendPage(dst []byte, name int64, times []int64) []byte {
	for _, t := range times {
		dst = binary.AppendUvarint(dst, uint64(t-name))
		name = t
	}
	return dst
}

func decodePage(name uint64, b []byte) ([]int64, error) {
	if name >= maxNumber || len(b) == 0 {
		return nil, errPage
	}
	var times []int64
	for at := int64(name); len(b) > 0; {
		d, n := binary.Uvarint(b)
		if n <= 0 || d >= maxNumber || d == 0 && len(times) > 0 || at+int64(d) >= maxNumber || len(times) == pageLimit {
			return nil, errPage
		}
		at += int64(d)
		times = append(times, at)
		b = b[n:]
	}
	return times, nil
}

// noPage stands for the page of a timeSeries that has none in the committed version.
const noPage = -1

// page finds the committed page that a time belongs to: the last one that is not named after it, or else the first.
func (v *version) page(ri string, at int64) (name int64, times []int64, err error) {
	lower, upper := rangeOf(spaceTimes, ri)
	it, err := v.iterate(lower, upper)
	if err != nil {
		return 0, nil, err
	}
	name = noPage
	if it.SeekLT(appendNumberKey(nil, spaceTimes, ri, uint64(at)+1)) || it.First() {
		name, times, err = pageAt(it)
	} else if err = it.Error(); err != nil {
		err = readError(lower, err)
	}
	if err2 := it.Close(); err == nil && err2 != nil {
		err = readError(lower, err2)
	}
	return name, times, err
}

func pageAt(it *pebble.Iterator) (name int64, times []int64, err error) {
	key := it.Key()
	_, n, ok := splitNumber(key)
	if !ok {
		return 0, nil, corrupt(key, "malformed key")
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return 0, nil, readError(key, err)
	}
	if times, err = decodePage(n, value); err != nil {
		return 0, nil, corrupt(key, "%v", err)
	}
	return int64(n), times, nil
}

func (v *version) generated(ri string, at int64) (bool, error) {
	_, times, err := v.page(ri, at)
	_, found := slices.BinarySearch(times, at)
	return found, err
}

// timesPlace names a committed page of a timeSeries and with it all times up to the next committed page. What a block
// changes of them is kept as one set, and parted into pages when the block is written.
type timesPlace struct {
	ri         string
	generation uint32
	page       int64
}

// topPage is the last committed page, where most times belong.
type topPage struct {
	known bool
	page  int64
}

// timesAt gives the times among which at belongs, as they are now.
func (b *Block) timesAt(s *staged, at int64) (timesPlace, timeSet, error) {
	place := timesPlace{s.ri, s.generation, noPage}
	if s.masked() || s.base.Count == 0 {
		return place, b.times.m[place], nil
	}
	if s.top.known && at >= s.top.page {
		place.page = s.top.page
		if set, ok := b.times.m[place]; ok {
			return place, set, nil
		}
	}
	name, times, err := b.v.page(s.ri, at)
	if err != nil {
		return place, nil, err
	}
	place.page = name
	set, changed := b.times.m[place]
	if !changed && len(times) > 0 {
		set = timeSet{times}
	}
	return place, set, nil
}

// addTime notes the time of generation of an instance that is being appended.
func (b *Block) addTime(s *staged, ref *cse.InstanceRef) error {
	place, set, err := b.timesAt(s, ref.Generated)
	if err != nil {
		return err
	}
	if set.has(ref.Generated) {
		return corrupt(appendNumberKey(nil, spaceTimes, s.ri, uint64(ref.Generated)), "instance %d has a time of generation that another one has", ref.Index)
	}
	b.times.set(place, set.with(ref.Generated))
	return b.noteTop(s, place, ref.Generated)
}

// noteTop remembers the last committed page once a time has gone there: from then on its set is in the block.
func (b *Block) noteTop(s *staged, place timesPlace, at int64) error {
	if s.top.known || place.page == noPage || at < place.page {
		return nil
	}
	name, _, err := b.v.page(s.ri, maxNumber)
	if err == nil && name == place.page {
		s.top = topPage{true, name}
	}
	return err
}

// dropTime forgets the time of generation of an instance that was removed.
func (b *Block) dropTime(s *staged, at int64) error {
	place, set, err := b.timesAt(s, at)
	if err != nil {
		return err
	}
	if !set.has(at) {
		return corrupt(appendNumberKey(nil, spaceTimes, s.ri, uint64(at)), "missing, but an instance has that time of generation")
	}
	b.times.set(place, set.without(at))
	return nil
}

// Generated implements cse.Reader.
func (b *Block) Generated(ri string, at int64) (bool, error) {
	s := b.containers[ri]
	if s == nil {
		return b.v.generated(ri, at)
	}
	if !s.present {
		return false, nil
	}
	_, set, err := b.timesAt(s, at)
	return set.has(at), err
}

// Generated implements cse.Reader.
func (r *View) Generated(ri string, at int64) (bool, error) { return r.v.generated(ri, at) }

// times writes the pages into which the set at a place is parted.
func (e *encoded) times(place timesPlace, set timeSet) {
	times := set.times()
	kept := false
	for i := 0; i < len(times); i += pageLimit {
		page := times[i:min(i+pageLimit, len(times))]
		name := page[0]
		if i == 0 && place.page != noPage && place.page <= name {
			name = place.page
		}
		kept = kept || name == place.page
		e.set(e.numberKey(spaceTimes, place.ri, uint64(name)), e.made(func(dst []byte) []byte { return appendPage(dst, name, page) }))
	}
	if !kept && place.page != noPage {
		e.delete(e.numberKey(spaceTimes, place.ri, uint64(place.page)))
	}
}
