package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// maxParameters bounds the parameters of a non-blocking request, in bytes. With the largest content that such a request
// may have they fit into a batch.
const maxParameters = 1 << 19

// Parameters are those parameters of a non-blocking request that only the <request> resource made of it needs.
type Parameters struct {
	ResponseType         uint8    `json:"rtv"`
	NotificationURIs     []string `json:"nu,omitzero"` // nil and empty differ
	RequestID            string   `json:"rqi"`
	Attributes           []string `json:"atrl,omitempty"`
	OriginatingTimestamp string   `json:"ot,omitempty"`
	RequestExpiration    string   `json:"rqet,omitempty"`
	ResultExpiration     string   `json:"rset,omitempty"`
	ResultPersistence    string   `json:"rp,omitempty"`
	OperationExecution   string   `json:"oet,omitempty"`
	EventCategory        string   `json:"ec,omitempty"`
	GroupRequestID       string   `json:"gid,omitempty"`
	VendorInformation    string   `json:"vsi,omitempty"`
	// Outcome is set when the accepting node did the operation, outside of this CSE, or knows its result already.
	Outcome *Outcome `json:"outcome,omitempty"`
}

// Outcome is the result of an operation.
type Outcome struct {
	Status  onem2m.StatusCode `json:"rsc"`
	Content []byte            `json:"pc,omitempty"`
}

// NewParameters takes the parameters of a non-blocking request.
func NewParameters(req *onem2m.Request, outcome *onem2m.Response) *Parameters {
	p := &Parameters{
		ResponseType: req.ResponseType, NotificationURIs: req.NotificationURIs, RequestID: req.RequestID, Attributes: req.Attributes,
		OriginatingTimestamp: req.OriginatingTimestamp, RequestExpiration: req.RequestExpiration, ResultExpiration: req.ResultExpiration,
		ResultPersistence: req.ResultPersistence, OperationExecution: req.OperationExecution, EventCategory: req.EventCategory,
		GroupRequestID: req.GroupRequestID, VendorInformation: req.VendorInformation,
	}
	if outcome != nil {
		p.Outcome = &Outcome{outcome.Status, outcome.Content}
	}
	return p
}

// apply completes a request, and what it is executed with.
func (p *Parameters) apply(req *onem2m.Request, env *cse.Env) {
	req.ResponseType, req.NotificationURIs, req.RequestID, req.Attributes = p.ResponseType, p.NotificationURIs, p.RequestID, p.Attributes
	req.OriginatingTimestamp, req.RequestExpiration, req.ResultExpiration = p.OriginatingTimestamp, p.RequestExpiration, p.ResultExpiration
	req.ResultPersistence, req.OperationExecution, req.EventCategory = p.ResultPersistence, p.OperationExecution, p.EventCategory
	req.GroupRequestID, req.VendorInformation = p.GroupRequestID, p.VendorInformation
	if p.Outcome != nil {
		env.Outcome = &onem2m.Response{Status: p.Outcome.Status, Content: p.Outcome.Content}
	}
}

func encodeParameters(p *Parameters) []byte {
	b, err := json.Marshal(p)
	if err != nil { // a struct of strings, bytes and integers always marshals
		panic(err)
	}
	return b
}

// decodeParameters takes no other text than the one that encodeParameters makes.
func decodeParameters(b []byte) (*Parameters, error) {
	p := new(Parameters)
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("parameters: %w", err)
	}
	if !bytes.Equal(encodeParameters(p), b) {
		return nil, errors.New("parameters that are no valid UTF-8, or not in their one encoding")
	}
	if p.Outcome != nil && len(p.Outcome.Content) > 0 {
		if _, err := onem2m.ScanValue(p.Outcome.Content); err != nil {
			return nil, fmt.Errorf("parameters: the content of the outcome: %w", err)
		}
	}
	return p, nil
}
