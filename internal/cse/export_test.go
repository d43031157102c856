package cse

import "github.com/tallystick/tallystick/onem2m"

// Resolved is what an address resolved to, for tests.
type Resolved struct {
	RI      string
	Type    onem2m.ResourceType
	Virtual onem2m.ResourceType
	Rest    string
}

// Resolve resolves an address, for tests.
func (c *Core) Resolve(r Reader, to string, now int64) (Resolved, error) {
	t, err := c.resolve(r, to, now)
	if err != nil {
		return Resolved{}, err
	}
	return Resolved{t.ri(), t.typ(), t.virtual, t.rest}, nil
}

// MatchWildcard matches an accessControlOriginators entry with a wildcard, for tests.
func MatchWildcard(pattern, s string) bool { return matchWildcard(pattern, s) }

// InWindow says whether a schedule entry can be read and contains a time, for tests.
func InWindow(entry string, micros int64) (in, ok bool) {
	s, ok := parseSchedule(entry)
	return ok && s.contains(micros), ok
}
