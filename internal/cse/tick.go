package cse

import (
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// maxTickBytes is how much effects and notifications one call of Tick makes before it leaves the rest to the next.
const maxTickBytes = 4 << 20

// Tick does what time alone calls for at env.Time: it acts on at most limit resources whose Wake has come, soonest
// first, and stops early when they make too much, or an instance; the others are due the next time. What it does to each
// depends on the type, and must leave a Wake that lies ahead, or none. The response of the result means nothing. When
// Result.Err is set, the writes must be rolled back.
//
// The log must give the same state when its entries are repeated one by one, without Tick: so every write is called
// for by an effect whose payload, executed with Env.Agreed, makes it again.
func (c *Core) Tick(st State, env Env, limit int) Result {
	var due []string
	for ri, err := range st.Due(env.Time) {
		if err != nil {
			return Result{Err: err}
		}
		if len(due) == limit {
			break
		}
		due = append(due, ri)
	}
	var all Result
	env.used = &usage{lossy: true}
	size := 0
	for _, ri := range due {
		if size > maxTickBytes {
			break
		}
		res, err := st.Resource(ri)
		if err != nil {
			return Result{Err: err}
		}
		if res == nil || res.Wake == 0 || res.Wake > env.Time || expired(res, env.Time) {
			continue
		}
		one := env
		one.NextIndex += uint64(len(all.Effects))
		result, err := c.wake(st, res, one)
		if err != nil {
			return Result{Err: err}
		}
		all.Effects = append(all.Effects, result.Effects...)
		all.Events = append(all.Events, result.Events...)
		size += weight(&result)
		if slices.ContainsFunc(result.Effects, makesInstance) {
			break // the ledger has its content after this call only, and the next one might read it
		}
	}
	return all
}

func makesInstance(e Effect) bool { return e.Operation == onem2m.Create && e.Type.IsInstance() }

// wake acts on one resource whose Wake has come.
func (c *Core) wake(st State, res *Resource, env Env) (Result, error) {
	switch res.Type {
	case onem2m.TypeTimeSeries:
		return c.detectMissing(st, res, env)
	case onem2m.TypeRequest:
		return c.executeLater(st, res, env)
	}
	return Result{}, &corruption{"resource " + res.RI + " of type " + onem2m.ResourceType(res.Type).String() + " has nothing to wake for"}
}

// weight is what the effects and notifications of a result take.
func weight(result *Result) int {
	size := 0
	for i := range result.Effects {
		size += eventOverhead + len(result.Effects[i].Payload)
	}
	for i := range result.Events {
		size += eventSize(len(result.Events[i].Content), result.Events[i].Targets)
	}
	return size
}
