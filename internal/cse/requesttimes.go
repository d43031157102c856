package cse

import (
	"github.com/tallystick/tallystick/onem2m"
)

// requestTimes are the times of a request, Unix microseconds; 0 where it has none. A relative one counts from the
// receipt of the request, which has only just been when the request gets here.
type requestTimes struct {
	request   int64 // request expiration timestamp (rqet)
	result    int64 // result expiration timestamp (rset)
	execution int64 // operation execution time (oet)
	keep      int64 // result persistence (rp)
}

// ExecutionTime is when a request is to be executed, Unix microseconds; 0 or the past when at once. A response is the
// refusal of a request whose times contradict each other or have passed.
func (c *Core) ExecutionTime(req *onem2m.Request, now int64) (int64, *onem2m.Response) {
	if req.OperationExecution == "" {
		return 0, nil
	}
	times, err := parseTimes(req, now)
	if err != nil {
		rsp := c.failed(req, err).Response
		return 0, &rsp
	}
	return times.execution, nil
}

// parseTimes reads and checks the times of a request. One whose request or result expiration has come is not executed
// (TS-0004 clauses 7.3.2.1 and 7.3.2.6), nor one that would expire before it is to be executed. The result cannot
// expire before the request (TS-0001 clause 8.1.2).
func parseTimes(req *onem2m.Request, now int64) (requestTimes, error) {
	var t requestTimes
	if req.RequestExpiration == "" && req.ResultExpiration == "" && req.OperationExecution == "" && req.ResultPersistence == "" {
		return t, nil
	}
	for _, field := range [...]struct {
		name, value string
		at          *int64
	}{
		{"request expiration timestamp (rqet)", req.RequestExpiration, &t.request},
		{"result expiration timestamp (rset)", req.ResultExpiration, &t.result},
		{"operation execution time (oet)", req.OperationExecution, &t.execution},
		{"result persistence (rp)", req.ResultPersistence, &t.keep},
	} {
		if field.value == "" {
			continue
		}
		at, err := onem2m.ParseAbsRel(field.value, now)
		if err != nil {
			return t, refuse(onem2m.StatusBadRequest, "%s: %v", field.name, err)
		}
		*field.at = max(at, 1)
	}
	switch {
	case t.request != 0 && t.request <= now:
		return t, refuse(onem2m.StatusRequestTimeout, "request expiration timestamp (rqet) %s has passed", req.RequestExpiration)
	case t.result != 0 && t.result <= now:
		return t, refuse(onem2m.StatusRequestTimeout, "result expiration timestamp (rset) %s has passed", req.ResultExpiration)
	case t.result != 0 && t.result < t.request:
		return t, refuse(onem2m.StatusBadRequest, "the result would expire (rset %s) before the request (rqet %s)", req.ResultExpiration, req.RequestExpiration)
	case t.execution > now && (t.request != 0 && t.request <= t.execution || t.result != 0 && t.result <= t.execution):
		return t, refuse(onem2m.StatusRequestTimeout, "the request would expire before its operation execution time (oet) %s", req.OperationExecution)
	}
	return t, nil
}

// persistence is when the <request> of a non-blocking request expires (TS-0004 table 7.3.2.2-1): as result persistence,
// result expiration or request expiration say, in this order, or as this CSE has it; at most maxPersistence after the
// operation was executed.
func (t *requestTimes) persistence(now int64) (int64, error) {
	executed := max(now, t.execution)
	for _, at := range [...]int64{t.keep, t.result, t.request} {
		switch {
		case at == 0:
		case at <= executed:
			return 0, refuse(onem2m.StatusBadRequest, "the result would not be kept (rp) until the operation is executed")
		default:
			return min(at, executed+maxPersistence), nil
		}
	}
	return executed + defaultPersistence, nil
}
