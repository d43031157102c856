package cse

import (
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// releases are the values of rvi that this CSE speaks (TS-0004 clause 6.4.1).
var releases = []string{"2a", "3", "4", "5"}

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
	if err := checkResponseType(req.ResponseType); err != nil {
		return err
	}
	return checkTimes(req, now)
}

// The response types (rt; m2m:responseType, TS-0004 clause 6.3.4.2.6).
const (
	nonBlockingSync  = 1
	nonBlockingAsync = 2
	noResponse       = 5
)

// checkResponseType refuses what would need a <request> resource or a later answer.
func checkResponseType(rt uint8) error {
	switch {
	case rt == nonBlockingSync:
		return refuse(onem2m.StatusNonBlockingSynchRequestNotSupported, "response type (rt) 1, nonBlockingRequestSynch, is not supported")
	case rt == nonBlockingAsync:
		return refuse(onem2m.StatusNotImplemented, "response type (rt) 2, nonBlockingRequestAsynch, is not supported")
	case rt > noResponse:
		return refuse(onem2m.StatusBadRequest, "response type (rt) %d is not one of 1 to 5", rt)
	}
	return nil
}

// checkTimes checks the times of a request: one whose request expiration has come is not executed (TS-0004 clause
// 7.3.2.2), and none is executed later than it is ordered. A relative time counts from the receipt of the request,
// which has only just been when the request gets here.
func checkTimes(req *onem2m.Request, now int64) error {
	if req.RequestExpiration != "" {
		at, err := onem2m.ParseAbsRel(req.RequestExpiration, now)
		if err != nil {
			return refuse(onem2m.StatusBadRequest, "request expiration timestamp (rqet): %v", err)
		}
		if at <= now {
			return refuse(onem2m.StatusRequestTimeout, "request expiration timestamp (rqet) %s has passed", req.RequestExpiration)
		}
	}
	if req.ResultExpiration != "" {
		if _, err := onem2m.ParseAbsRel(req.ResultExpiration, now); err != nil {
			return refuse(onem2m.StatusBadRequest, "result expiration timestamp (rset): %v", err)
		}
	}
	if req.OperationExecution != "" {
		at, err := onem2m.ParseAbsRel(req.OperationExecution, now)
		if err != nil {
			return refuse(onem2m.StatusBadRequest, "operation execution time (oet): %v", err)
		}
		if at > now {
			return refuse(onem2m.StatusNotImplemented, "operation execution time (oet) in the future is not supported")
		}
	}
	return nil
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
