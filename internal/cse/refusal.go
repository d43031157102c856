package cse

import (
	"errors"

	"github.com/tallystick/tallystick/onem2m"
)

// An error in this package is either an *onem2m.Error, which refuses the request with a status code, or a failure
// of the Reader or State.

// refuse returns a refusal with a formatted detail.
func refuse(status onem2m.StatusCode, format string, args ...any) error {
	return onem2m.Errorf(status, format, args...)
}

// asRefusal returns the refusal in err, nil when err is a failure of the state.
func asRefusal(err error) *onem2m.Error {
	var e *onem2m.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// failed turns an error into the result of a request. A refusal becomes its status code with the detail as
// debugging information (m2m:dbg, TS-0004 clause 7.3.3); anything else becomes INTERNAL_SERVER_ERROR and Result.Err.
func (c *Core) failed(req *onem2m.Request, err error) Result {
	if e := asRefusal(err); e != nil {
		return Result{Response: c.refusal(req, e)}
	}
	return Result{Response: c.response(req, onem2m.StatusInternalServerError), Err: err}
}

// refusal is the response that refuses req.
func (c *Core) refusal(req *onem2m.Request, e *onem2m.Error) onem2m.Response {
	rsp := c.response(req, e.Status)
	rsp.Content = append(rsp.Content, `{"m2m:dbg":`...)
	rsp.Content = onem2m.AppendQuote(rsp.Content, e.Message)
	rsp.Content = append(rsp.Content, '}')
	return rsp
}

// response starts the response to req with what TS-0004 clause 7.3.2 has echoed.
func (c *Core) response(req *onem2m.Request, status onem2m.StatusCode) onem2m.Response {
	release := req.ReleaseVersion
	if release == "" {
		release = c.cfg.Release
	}
	return onem2m.Response{
		Status:               status,
		RequestID:            req.RequestID,
		ReleaseVersion:       release,
		To:                   req.From,
		From:                 c.cfg.CSEID,
		OriginatingTimestamp: req.OriginatingTimestamp,
		ResultExpiration:     req.ResultExpiration,
		EventCategory:        req.EventCategory,
		VendorInformation:    req.VendorInformation,
	}
}
