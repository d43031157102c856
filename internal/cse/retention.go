package cse

import (
	"math"

	"github.com/tallystick/tallystick/onem2m"
)

// limits are what a container keeps (TS-0001 clause 9.6.6): maxNrOfInstances, maxByteSize and maxInstanceAge.
type limits struct {
	count uint64 // instances; math.MaxUint64 without a limit
	bytes uint64 // content bytes; math.MaxUint64 without a limit
	age   int64  // microseconds; math.MaxInt64 without a limit
}

const second = 1_000_000 // microseconds

func limitsOf(res *Resource) limits {
	l := limits{count: math.MaxUint64, bytes: math.MaxUint64, age: ageLimit(res)}
	if n, ok := onem2m.Int(res.Get("mni")); ok && n >= 0 {
		l.count = uint64(n)
	}
	if n, ok := onem2m.Int(res.Get("mbs")); ok && n >= 0 {
		l.bytes = uint64(n)
	}
	return l
}

// expired says whether a resource's expirationTime has come.
func expired(res *Resource, now int64) bool { return res.Expires != 0 && res.Expires <= now }

// instanceExpired says whether an instance has outlived its own expirationTime or its container's maxInstanceAge.
// Such an instance is hidden until the next write to the container, or the expiry of the container, removes it.
func (c *Core) instanceExpired(container *Resource, ref InstanceRef, now int64) bool {
	return c.compile(container).limits.overdue(ref, now)
}

func (l *limits) overdue(ref InstanceRef, now int64) bool {
	return ref.Expires != 0 && ref.Expires <= now || l.age != math.MaxInt64 && now-ref.Time >= l.age
}

// exceeded says whether a container with added more instances of addedBytes more bytes is over its limits.
func (l *limits) exceeded(counters *Counters, added, addedBytes uint64) bool {
	return l.count != math.MaxUint64 && counters.Count+added > l.count ||
		l.bytes != math.MaxUint64 && counters.Bytes+addedBytes > l.bytes
}

// retain removes the oldest instances of a container until what is left, with added more instances of addedBytes, is
// within the limits (TS-0004 clause 7.4.6.2.1). Instances that have outlived their time at the old end go too, where
// there is an age limit; finding out costs a read.
func retain(st State, container string, counters *Counters, l *limits, added, addedBytes uint64, now int64) error {
	if counters.Count == 0 || l.age == math.MaxInt64 && !l.exceeded(counters, added, addedBytes) {
		return nil
	}
	return evict(st, container, *counters, l, added, addedBytes, now)
}

func evict(st State, container string, left Counters, l *limits, added, addedBytes uint64, now int64) error {
	var gone []uint64
	for ref, err := range st.Instances(container, false) {
		if err != nil {
			return err
		}
		if !l.exceeded(&left, added, addedBytes) && !l.overdue(ref, now) {
			break
		}
		gone = append(gone, ref.Index)
		left.Count--
		left.Bytes -= ref.Size
	}
	for _, index := range gone {
		if err := st.RemoveInstance(container, index); err != nil {
			return err
		}
	}
	return nil
}

// checkFits refuses an instance that could never be kept: larger than maxByteSize, or in a container that keeps
// none (TS-0004 clause 7.4.7.2.1).
func (l *limits) checkFits(container string, size uint64) error {
	switch {
	case size > l.bytes:
		return refuse(onem2m.StatusNotAcceptable, "content of %d bytes exceeds maxByteSize (mbs) %d of container %s", size, l.bytes, container)
	case l.count == 0:
		return refuse(onem2m.StatusNotAcceptable, "maxNrOfInstances (mni) of container %s is 0", container)
	}
	return nil
}
