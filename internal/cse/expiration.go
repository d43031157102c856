package cse

import (
	"math"

	"github.com/tallystick/tallystick/onem2m"
)

// neverExpires is the expirationTime of a resource that nobody gave one: the last second of the year 9999, the system
// default of this CSE (TS-0004 clause 7.3.3.3 has the Hosting CSE set one). Resource.Expires and InstanceRef.Expires
// keep it as 0.
const neverExpires = (onem2m.MaxTime / second) * second

// neverExpiresText is neverExpires as JSON text.
var neverExpiresText = []byte(`"99991231T235959"`)

// expirationOf reads et, which must lie in the future (TS-0004 clauses 7.3.3.3 and 7.3.3.4); null asks for the default.
func expirationOf(value []byte, now int64) (int64, error) {
	if onem2m.IsNull(value) {
		return 0, nil
	}
	at, err := onem2m.ParseTime(text(value))
	switch {
	case err != nil:
		return 0, refuse(onem2m.StatusBadRequest, "expirationTime (et): %v", err)
	case at <= now:
		return 0, refuse(onem2m.StatusBadRequest, "expirationTime (et) %s is not in the future", value)
	case at >= neverExpires:
		return 0, nil
	}
	return at, nil
}

// lifetime gives an expirationTime that is within the limit of this CSE.
func (c *Core) lifetime(expires, now int64) int64 {
	if c.cfg.MaxLifetime == 0 {
		return expires
	}
	return earlier(expires, now+c.cfg.MaxLifetime*second)
}

// earlier gives the earlier of two expirationTimes, 0 being never.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// checkChildrenExpire refuses an UPDATE that would end a resource before one of its children (TS-0004 clause 7.3.3.4).
// contentInstances do not count: they end with their container.
func checkChildrenExpire(r Reader, before, after *Resource) error {
	if earlier(after.Expires, before.Expires) != after.Expires || after.Expires == before.Expires {
		return nil
	}
	for ref, err := range r.Children(after.RI, "") {
		if err != nil {
			return err
		}
		child, err := r.Resource(ref.RI)
		if err != nil {
			return err
		}
		if child != nil && earlier(child.Expires, after.Expires) != child.Expires {
			return refuse(onem2m.StatusBadRequest, "expirationTime (et) is earlier than that of %s below %s", child.RI, after.RI)
		}
	}
	return nil
}

// expires is the expirationTime of an instance: the earliest of its own, its container's, and its creationTime with
// the container's maxInstanceAge (TS-0004 clause 7.4.7.2.1, TS-0001 clause 9.6.7: the strictest policy applies).
func (in *instance) expires() int64 {
	at := earlier(in.ref.Expires, in.container.Expires)
	if age := ageLimit(in.container); age != math.MaxInt64 && in.ref.Time <= math.MaxInt64-age {
		at = earlier(at, in.ref.Time+age)
	}
	if at == 0 {
		return neverExpires
	}
	return min(at, neverExpires)
}

// ageLimit is a container's maxInstanceAge in microseconds, math.MaxInt64 without a limit.
func ageLimit(container *Resource) int64 {
	if n, ok := onem2m.Int(container.Get("mia")); ok && n >= 0 && n < math.MaxInt64/second {
		return n * second
	}
	return math.MaxInt64
}
