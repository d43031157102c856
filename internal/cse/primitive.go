package cse

import (
	"slices"
	"strconv"

	"github.com/tallystick/tallystick/onem2m"
)

// releases are the values of rvi that this CSE speaks (TS-0004 clause 6.4.1).
var releases = []string{"2a", "3", "4", "5"}

// CheckPrimitive checks what every request must have whatever it is about; Check does so too. A response is the refusal.
func (c *Core) CheckPrimitive(req *onem2m.Request, now int64) *onem2m.Response {
	err := checkPrimitive(req, now)
	if err == nil {
		return nil
	}
	rsp := c.failed(req, err).Response
	return &rsp
}

// checkPrimitive checks what every request must have (TS-0004 clause 7.3.2.1). The originator may be missing only
// from the registration of an AE, which asks for an ID that way. A request without rvi counts as one of release 1.
func checkPrimitive(req *onem2m.Request, now int64) error {
	switch {
	case req.RequestID == "":
		return refuse(onem2m.StatusBadRequest, "the request has no request identifier (rqi)")
	case req.ReleaseVersion == "":
		return refuse(onem2m.StatusReleaseVersionNotSupported, "the request has no release version indicator (rvi), which makes it one of release 1; supported are 2a, 3, 4 and 5")
	case !slices.Contains(releases, req.ReleaseVersion):
		return refuse(onem2m.StatusReleaseVersionNotSupported, "release version indicator (rvi) %q is not one of 2a, 3, 4 and 5", req.ReleaseVersion)
	case req.From == "" && (req.Operation != onem2m.Create || req.Type != onem2m.TypeAE):
		return refuse(onem2m.StatusBadRequest, "the request has no originator (fr)")
	case len(req.From) > maxID:
		return refuse(onem2m.StatusBadRequest, "the originator (fr) has %d bytes; the limit is %d", len(req.From), maxID)
	case !printable(req.From):
		return refuse(onem2m.StatusBadRequest, "the originator (fr) has characters that no ID has")
	case req.Operation == onem2m.Create && req.Filter != nil:
		return refuse(onem2m.StatusBadRequest, "filter criteria (fc) do not go with a CREATE")
	case req.DesiredIDType > 2:
		return refuse(onem2m.StatusBadRequest, "desired identifier result type (drt) %d is neither 1 nor 2", req.DesiredIDType)
	}
	if req.ResponseType > onem2m.ResponseTypeNone {
		return refuse(onem2m.StatusBadRequest, "response type (rt) %d is not one of 1 to 5", req.ResponseType)
	}
	if len(req.RoleIDs) > MaxTokens || len(req.TokenIDs)+len(req.LocalTokenIDs)+len(req.Tokens) > MaxTokens {
		return refuse(onem2m.StatusNotAcceptable, "the request has more than %d Role-IDs (rids), or more than %d tokens (tkns, tids, ltids)", MaxTokens, MaxTokens)
	}
	if req.EventCategory != "" && !validCategory(req.EventCategory) {
		return refuse(onem2m.StatusBadRequest, "event category (ec) %q is none of 2, 3, 4 and 100 to 999", req.EventCategory)
	}
	times, err := parseTimes(req, now)
	if err == nil && times.execution > now && !NonBlocking(req) {
		err = refuse(onem2m.StatusNotImplemented, "operation execution time (oet) %s has not come", req.OperationExecution)
	}
	return err
}

// validCategory says whether ec is a value of m2m:eventCat (TS-0004 clause 6.3.4.2.10): immediate, best effort, latest,
// or one that a user defined. Without CMDH policies they all mean the same here, and are echoed.
func validCategory(ec string) bool {
	v, err := strconv.ParseUint(ec, 10, 16)
	return err == nil && (v >= 2 && v <= 4 || v >= 100 && v <= 999)
}

// printable says whether a string has visible ASCII characters only, as every ID has (TS-0001 clause 7.2).
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// maxID bounds originators and resource IDs, in bytes; a log entry holds no longer ones.
const maxID = 512
