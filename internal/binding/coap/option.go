package coapbinding

import (
	"errors"
	"strings"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"github.com/tallystick/tallystick/onem2m"
)

// The option numbers of oneM2M (TS-0008 clause 6.2.2.4, table 6.2.2.4.0-1). All are critical and given once at most.
const (
	optionOT    message.OptionID = 259 // originating timestamp
	optionRTURI message.OptionID = 263 // notification URIs of the response type, joined by '&'
	optionTY    message.OptionID = 267 // resource type
	optionRVI   message.OptionID = 271 // release version indicator
	optionASRI  message.OptionID = 275 // authorization signature request information
	optionFR    message.OptionID = 279 // originator
	optionRQI   message.OptionID = 283 // request identifier
	optionRQET  message.OptionID = 291 // request expiration timestamp
	optionRSET  message.OptionID = 295 // result expiration timestamp
	optionOET   message.OptionID = 299 // operation execution time
	optionEC    message.OptionID = 303 // event category
	optionRSC   message.OptionID = 307 // response status code
	optionGID   message.OptionID = 311 // group request identifier
	optionCTO   message.OptionID = 319 // content offset
	optionCTS   message.OptionID = 323 // content status
	optionATI   message.OptionID = 327 // assigned token identifiers
	optionVSI   message.OptionID = 331 // vendor information
	optionGTM   message.OptionID = 335 // group request target members
	optionAUS   message.OptionID = 339 // authorization signatures
	optionOMR   message.OptionID = 343 // ontology mapping resources
	optionPRPI  message.OptionID = 347 // primitive profile identifier
	optionMSU   message.OptionID = 351 // M2M service user
)

// The option numbers before release 3 where they differ, which devices written for Mobius still send. 259, 263 and
// 267 are as above.
const (
	mobiusFR   message.OptionID = 256
	mobiusRQI  message.OptionID = 257
	mobiusRQET message.OptionID = 260
	mobiusRSET message.OptionID = 261
	mobiusOET  message.OptionID = 262
	mobiusEC   message.OptionID = 264
	mobiusRSC  message.OptionID = 265
	mobiusGID  message.OptionID = 266
)

// fromMobius gives today's number of an older one.
var fromMobius = map[message.OptionID]message.OptionID{
	mobiusFR: optionFR, mobiusRQI: optionRQI, mobiusRQET: optionRQET, mobiusRSET: optionRSET, mobiusOET: optionOET,
	mobiusEC: optionEC, mobiusRSC: optionRSC, mobiusGID: optionGID,
}

// definition is what a request's option must be like.
type definition struct {
	longest    int // bytes
	repeatable bool
	set        func(c *call, value []byte) error
}

// definitions are the options that the server understands in requests. Any other is ignored when it is elective, and
// refuses the request when it is critical (RFC 7252 clause 5.4.1); so is one that is given too often or too long
// (clauses 5.4.3 and 5.4.5). Timestamps may be of any form of TS-0004 clause 6.3.3, not only of the 15 characters that
// TS-0008 gives them.
var definitions = map[message.OptionID]definition{
	message.URIHost:       {255, false, ignore},
	message.URIPort:       {2, false, ignore},
	message.URIPath:       {255, true, func(c *call, v []byte) error { c.path = append(c.path, string(v)); return nil }},
	message.URIQuery:      {255, true, func(c *call, v []byte) error { c.query = append(c.query, string(v)); return nil }},
	message.ContentFormat: {2, false, number(func(c *call) *uint32 { return &c.contentFormat })},
	message.Accept:        {2, false, number(func(c *call) *uint32 { return &c.accept })},
	message.Block1:        {3, false, func(c *call, v []byte) (err error) { c.block1, err = parseBlock(v); return err }},
	message.Block2:        {3, false, func(c *call, v []byte) (err error) { c.block2, err = parseBlock(v); return err }},
	message.ProxyURI:      {1034, false, noProxy},
	message.ProxyScheme:   {255, false, noProxy},

	optionFR:    {255, false, text(func(c *call) *string { return &c.req.From })},
	optionRQI:   {255, false, text(func(c *call) *string { return &c.req.RequestID })},
	optionRVI:   {8, false, text(func(c *call) *string { return &c.req.ReleaseVersion })},
	optionOT:    {64, false, text(func(c *call) *string { return &c.req.OriginatingTimestamp })},
	optionRQET:  {64, false, text(func(c *call) *string { return &c.req.RequestExpiration })},
	optionRSET:  {64, false, text(func(c *call) *string { return &c.req.ResultExpiration })},
	optionOET:   {64, false, text(func(c *call) *string { return &c.req.OperationExecution })},
	optionGID:   {255, false, text(func(c *call) *string { return &c.req.GroupRequestID })},
	optionVSI:   {255, false, text(func(c *call) *string { return &c.req.VendorInformation })},
	optionRTURI: {1024, false, setTargets},
	optionTY:    {2, false, setType},
	optionEC:    {2, false, setCategory},

	// What these ask for would change what the request means, or who may do it, if they were left out.
	optionASRI: {255, false, unsupported("authorization signature request information (ASRI)")},
	optionGTM:  {512, false, unsupported("group request target members (GTM)")},
	optionAUS:  {255, false, unsupported("authorization signatures (AUS)")},
	optionOMR:  {512, false, unsupported("ontology mapping resources (OMR)")},
	optionPRPI: {255, false, unsupported("primitive profile identifier (PRPI)")},
	optionMSU:  {255, false, unsupported("M2M service user (MSU)")},

	optionRSC: {4, false, notInRequests}, optionCTO: {4, false, notInRequests}, optionCTS: {4, false, notInRequests},
	optionATI: {255, false, notInRequests},
}

func ignore(*call, []byte) error { return nil }

func text(field func(*call) *string) func(*call, []byte) error {
	return func(c *call, v []byte) error {
		if !isText(v) {
			return onem2m.Errorf(onem2m.StatusBadRequest, "an option has a control character or is not UTF-8")
		}
		*field(c) = string(v)
		return nil
	}
}

func number(field func(*call) *uint32) func(*call, []byte) error {
	return func(c *call, v []byte) error {
		n, ok := uintValue(v)
		if !ok {
			return errBadOption
		}
		*field(c) = n
		return nil
	}
}

func setType(c *call, v []byte) error {
	n, _ := uintValue(v)
	if n == 0 {
		return onem2m.Errorf(onem2m.StatusBadRequest, "the resource type (TY) is 0")
	}
	c.req.Type = onem2m.ResourceType(n)
	return nil
}

func setCategory(c *call, v []byte) error {
	n, _ := uintValue(v)
	c.req.EventCategory = decimal(n)
	return nil
}

func unsupported(what string) func(*call, []byte) error {
	return func(*call, []byte) error {
		return onem2m.Errorf(onem2m.StatusNotImplemented, "%s is not supported", what)
	}
}

func notInRequests(*call, []byte) error { return errBadOption }

func noProxy(*call, []byte) error { return errProxy }

// refusal is a refusal in CoAP's own terms: a code, and a diagnostic payload (RFC 7252 clause 5.5.2).
type refusal struct {
	code   codes.Code
	status onem2m.StatusCode
	why    string
	maxAge uint32 // seconds to wait before another try, with 5.03
	size1  uint32 // the largest payload, with 4.13
}

func (r *refusal) Error() string { return r.why }

var (
	errBadOption = &refusal{code: codes.BadOption, status: onem2m.StatusBadRequest, why: "an option is not known, too long, or given too often"}
	errProxy     = &refusal{code: codes.ProxyingNotSupported, status: onem2m.StatusNotImplemented, why: "this server is no proxy"}
)

// setOptions fills a call with the options of a request.
func (c *call) setOptions(options message.Options, mobius bool) error {
	for i, o := range options {
		id := o.ID
		if now, ok := fromMobius[id]; ok && mobius {
			id, c.mobius = now, true
		}
		d, ok := definitions[id]
		switch {
		case ok && len(o.Value) <= d.longest && (d.repeatable || i == 0 || options[i-1].ID != o.ID):
			if err := d.set(c, o.Value); err != nil {
				if err == error(errBadOption) {
					return badOption(o.ID)
				}
				return err
			}
		case critical(o.ID):
			return badOption(o.ID)
		}
	}
	return nil
}

// setTargets reads RTURI. An empty one is an empty list, which is not the same as none.
func setTargets(c *call, value []byte) error {
	if !isText(value) {
		return onem2m.Errorf(onem2m.StatusBadRequest, "an option has a control character or is not UTF-8")
	}
	if c.req.NotificationURIs = []string{}; len(value) > 0 {
		c.req.NotificationURIs = strings.Split(string(value), "&")
	}
	return nil
}

func isBadOption(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.code == codes.BadOption
}

func badOption(id message.OptionID) error {
	r := *errBadOption
	r.why = "option " + decimal(uint32(id)) + " is not known here, has a bad value, or is given too often"
	return &r
}
