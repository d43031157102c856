package coapbinding

import (
	"slices"
	"strconv"
	"strings"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// call is a request on its way through the server.
type call struct {
	req      onem2m.Request
	evidence binding.Evidence
	known    bool // the credential is valid
	plain    bool // from a device that speaks no oneM2M
	code     codes.Code

	path, query           []string
	contentFormat, accept uint32
	block1, block2        block
	inCBOR                bool   // the request's payload
	answer                uint32 // Content-Format of the response
	mobius                bool   // it has option numbers from before release 3
	size                  int    // of the datagram
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// newCall reads everything of a request but its payload. With an error the call has what the answer needs to know.
func (s *Server) newCall(p peer, m *message.Message, size int) (*call, error) {
	c := &call{code: m.Code, contentFormat: none, accept: none, answer: uint32(message.AppJSON), size: size}
	c.req.ResultContent = onem2m.ResultContentDefault
	c.req.SourceIP = p.ip()
	c.evidence = p.link.proven()
	c.evidence.Source, c.evidence.Binding = c.req.SourceIP, "coap"
	c.plain = s.plain != nil && isPlain(m.Options)
	if err := c.setOptions(m.Options, s.o.Mobius); err != nil {
		return c, err
	}
	c.evidence = c.evidence.SignedBy(&c.req)
	return c, c.takeToken(p, s.o.TokensInClear)
}

// isPlain says whether a request's path begins with "ingest". It is asked first, because the answer to a plain device
// has no options that it does not know, whatever is wrong with the request.
func isPlain(options message.Options) bool {
	for _, o := range options {
		if o.ID == message.URIPath {
			return string(o.Value) == plainPrefix
		}
	}
	return false
}

// tokenParameter begins the parameter that carries a credential.
const tokenParameter = "tkns="

// takeToken takes the credential and authorization tokens out of the query: parameter Tokens (tkns; TS-0008 clause
// 6.2.2.3).
func (c *call) takeToken(p peer, inClear bool) error {
	rest := c.query[:0]
	for _, q := range c.query {
		token, ok := strings.CutPrefix(q, tokenParameter)
		if !ok {
			rest = append(rest, q)
			continue
		}
		if onem2m.IsJWT(token) {
			c.req.Tokens = append(c.req.Tokens, token)
			continue
		}
		if c.evidence.Token != "" {
			return onem2m.Errorf(onem2m.StatusBadRequest, "parameter tkns is given twice")
		}
		c.evidence.Token = token
	}
	c.query = rest
	if c.evidence.Token != "" && !p.secure && !inClear && !p.addr.Addr().Unmap().IsLoopback() {
		c.evidence.Token = ""
		return onem2m.Errorf(onem2m.StatusSecurityAssociationRequired,
			"a token came over the network in clear and is not accepted: use coaps (DTLS), and have this token replaced, others may have read it")
	}
	return nil
}

// parse makes the primitive of what is not the payload.
func (c *call) parse() error {
	if c.req.RequestID == "" {
		return onem2m.Errorf(onem2m.StatusBadRequest, "the request has no request identifier (option oneM2M-RQI, 283)")
	}
	if err := c.parseMethod(); err != nil {
		return err
	}
	var ok bool
	if c.inCBOR, ok = isCBOR(c.contentFormat); !ok && c.hasContent() {
		return onem2m.Errorf(onem2m.StatusUnsupportedMediaType, "Content-Format %d is neither JSON (50) nor CBOR (60)", c.contentFormat)
	}
	if err := c.negotiate(); err != nil {
		return err
	}
	if err := c.parseAddress(); err != nil {
		return err
	}
	return c.parseQuery()
}

// hasContent says whether the operation has a content. The payload of others is ignored (RFC 7252 clause 5.5).
func (c *call) hasContent() bool {
	return c.req.Operation != onem2m.Retrieve && c.req.Operation != onem2m.Delete
}

// repeatable says whether the request can be executed again, should it come again: it only reads, and gives then what is
// true then. One to a polling channel takes what it gives, and one that does not wait makes a <request> resource.
func (c *call) repeatable() bool {
	waits := c.req.ResponseType == 0 || c.req.ResponseType == onem2m.ResponseTypeBlocking
	return c.code == codes.GET && waits && !slices.Contains(c.path, pollingChannelURI)
}

// pollingChannelURI is the name of the virtual resource of polling channels (TS-0004 clause 7.4.22).
const pollingChannelURI = "pcu"

// parseMethod finds the operation (TS-0008 clause 6.2.1, table 6.2.1-1). A POST may name it in the query, as
// non-blocking requests do (clause 6.3.2); else it is a CREATE when it has a resource type, a NOTIFY when not.
func (c *call) parseMethod() error {
	switch c.code {
	case codes.GET:
		c.req.Operation = onem2m.Retrieve
	case codes.PUT:
		c.req.Operation = onem2m.Update
	case codes.DELETE:
		c.req.Operation = onem2m.Delete
	case codes.POST:
		c.req.Operation = onem2m.Notify
		if c.req.Type != 0 {
			c.req.Operation = onem2m.Create
		}
	default:
		return onem2m.Errorf(onem2m.StatusOperationNotAllowed, "method 0.%02d is none of GET, POST, PUT and DELETE", c.code)
	}
	if err := c.takeOperation(); err != nil {
		return err
	}
	if c.req.Type != 0 && c.req.Operation != onem2m.Create {
		return onem2m.Errorf(onem2m.StatusBadRequest, "only a CREATE has a resource type (option oneM2M-TY, 267)")
	}
	return nil
}

// takeOperation takes the parameter op out of the query.
func (c *call) takeOperation() error {
	const prefix = "op="
	rest, given := c.query[:0], false
	for _, q := range c.query {
		v, ok := strings.CutPrefix(q, prefix)
		if !ok {
			rest = append(rest, q)
			continue
		}
		n, err := strconv.ParseUint(v, 10, 8)
		op := onem2m.Operation(n)
		if err != nil || given || op < onem2m.Create || op > onem2m.Notify || c.code != codes.POST && op != c.req.Operation {
			return onem2m.Errorf(onem2m.StatusBadRequest, "parameter %.64q: want one op from 1 to 5, with POST or the operation's own method", q)
		}
		c.req.Operation, given = op, true
	}
	c.query = rest
	if given && c.req.Operation == onem2m.Create && c.req.Type == 0 {
		return onem2m.Errorf(onem2m.StatusBadRequest, "a CREATE needs a resource type (option oneM2M-TY, 267)")
	}
	return nil
}

// parseAddress maps the path to the To parameter (TS-0008 clause 6.2.2.3, table 6.2.2.3-1):
//
//	cse x             cse/x               CSE-relative
//	~ cse-id x        /cse-id/x           SP-relative
//	_ sp-id cse-id x  //sp-id/cse-id/x    absolute
//
// An empty segment at the end is dropped: that is how a slash at the end of a URI arrives.
func (c *call) parseAddress() error {
	path := c.path
	for _, segment := range path {
		if segment == "" {
			return onem2m.Errorf(onem2m.StatusBadRequest, "the path has an empty segment; write ~ for an SP-relative and _ for an absolute address")
		}
		for i := range len(segment) {
			if b := segment[i]; b <= ' ' || b >= 0x7f || b == '/' {
				return onem2m.Errorf(onem2m.StatusBadRequest, "the path has a segment with a character that no resource name has")
			}
		}
	}
	prefix := ""
	if len(path) > 0 && (path[0] == "~" || path[0] == "_") {
		if prefix = "/"; path[0] == "_" {
			prefix = "//"
		}
		path = path[1:]
	}
	if len(path) == 0 {
		return onem2m.Errorf(onem2m.StatusNotFound, "the path names no resource")
	}
	c.req.To = prefix + strings.Join(path, "/")
	return nil
}

// parseQuery hands each parameter to onem2m.SetParameter. Values of Uri-Query options are what they are: nothing in
// them is percent-encoded (RFC 7252 clause 6.4).
func (c *call) parseQuery() error {
	for _, q := range c.query {
		if q == "" {
			continue
		}
		name, value, _ := strings.Cut(q, "=")
		if name == "ty" && (c.req.Operation == onem2m.Create || c.req.Operation == onem2m.Notify) {
			return onem2m.Errorf(onem2m.StatusBadRequest, "the query has ty; the resource type of a CREATE goes into option oneM2M-TY (267)")
		}
		if err := onem2m.SetParameter(&c.req, name, value); err != nil {
			return err
		}
	}
	return nil
}
