package coapbinding

import (
	"github.com/plgd-dev/go-coap/v3/message"

	"github.com/tallystick/tallystick/onem2m"
)

// none stands for a Content-Format or Accept option that is not there. Numbers have two bytes.
const none = 1 << 16

// The Content-Formats of oneM2M (TS-0008 clause 6.2.2.2, table 6.2.2.2-1).
const (
	formatResJSON  = 10001
	formatNtfyJSON = 10003
	formatResCBOR  = 10010
	formatNtfyCBOR = 10011
)

// isCBOR gives the serialization of a Content-Format; ok is false when it is neither JSON nor CBOR.
func isCBOR(format uint32) (cbor, ok bool) {
	switch format {
	case none, uint32(message.AppJSON), formatResJSON, formatNtfyJSON:
		return false, true
	case uint32(message.AppCBOR), formatResCBOR, formatNtfyCBOR:
		return true, true
	}
	return false, false
}

// negotiate picks the Content-Format of the response (TS-0008 clause 6.2.2.2): the one asked for, else one of the
// request's serialization.
func (c *call) negotiate() error {
	switch c.accept {
	case none:
		if c.inCBOR {
			c.answer = uint32(message.AppCBOR)
		}
		return nil
	case uint32(message.AppJSON), formatResJSON, uint32(message.AppCBOR), formatResCBOR:
		c.answer = c.accept
		return nil
	}
	return onem2m.Errorf(onem2m.StatusNotAcceptable, "Accept %d is neither JSON (50, 10001) nor CBOR (60, 10010)", c.accept)
}

// content converts the payload of a request to JSON text, nil when there is none.
func (c *call) content(payload []byte) ([]byte, error) {
	if len(payload) == 0 {
		return nil, nil
	}
	if c.inCBOR {
		text, err := onem2m.CBORToJSON(payload)
		if err != nil {
			return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the payload is no usable CBOR: %v", err)
		}
		return text, nil
	}
	text, err := onem2m.ScanValue(payload)
	if err != nil {
		return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the payload is no JSON: %v", err)
	}
	return text, nil
}

// mediaTypes are the Content-Formats of plain devices (IANA registry "CoAP Content-Formats").
var mediaTypes = map[uint32]string{
	0: "text/plain;charset=utf-8", 40: "application/link-format", 41: "application/xml", 42: "application/octet-stream",
	50: "application/json", 60: "application/cbor", 63: "application/cbor-seq",
	110: "application/senml+json", 111: "application/sensml+json", 112: "application/senml+cbor", 113: "application/sensml+cbor",
	11542: "application/vnd.oma.lwm2m+tlv", 11543: "application/vnd.oma.lwm2m+json", 11544: "application/vnd.oma.lwm2m+cbor",
	formatResJSON: "application/json", formatResCBOR: "application/cbor",
}

// mediaType gives the media type of a Content-Format: bytes that only the application knows, for a number that is not
// in the table.
func mediaType(format uint32) string {
	if format == none {
		return ""
	}
	if m, ok := mediaTypes[format]; ok {
		return m
	}
	return "application/octet-stream"
}
