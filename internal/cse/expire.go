package cse

import (
	"github.com/tallystick/tallystick/onem2m"
)

// Expire removes resources whose expirationTime has come at env.Time, soonest first, with all that is below them: at
// most limit of them, not counting what is below. Each has one DELETE effect whose originator is the CSE-ID. The
// response of the result means nothing. When Result.Err is set, the writes must be rolled back.
//
// contentInstances are not among them. One that has outlived its time is hidden from every request, but still counts
// in currentNrOfInstances and currentByteSize until a write to its container comes upon it (see retain): to find such
// instances in time would take an index of all of them.
func (c *Core) Expire(st State, env Env, limit int) Result {
	var due []string
	for ri, err := range st.Expiring(env.Time) {
		if err != nil {
			return Result{Err: err}
		}
		if len(due) == limit {
			break
		}
		due = append(due, ri)
	}
	var all Result
	for _, ri := range due {
		res, err := st.Resource(ri)
		if err != nil {
			return Result{Err: err}
		}
		if res == nil {
			continue // it went with a parent that expired before it
		}
		one, err := c.expire(st, env, res)
		if err != nil {
			return Result{Err: err}
		}
		all.Effects = append(all.Effects, one.Effects...)
		all.Events = append(all.Events, one.Events...)
	}
	return all
}

func (c *Core) expire(st State, env Env, res *Resource) (Result, error) {
	parent, err := st.Resource(res.PI)
	if err != nil {
		return Result{}, err
	}
	req := onem2m.Request{Operation: onem2m.Delete, From: c.cfg.CSEID, To: res.RI, ResultContent: onem2m.ResultContentNothing}
	return c.remove(st, &req, env, &removal{originator: c.cfg.CSEID, parent: parent, resource: res})
}
