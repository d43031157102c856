package ledger

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// Bounds of an Audit, enforced by every validator.
const (
	MaxAuditBytes = 32 << 10 // encoded
	MaxAuditRows  = 128      // Denied and Others, each
	MaxAuditText  = 96       // bytes of a text that a client chose
	maxAuditWord  = 16       // bytes of a reason, an operation, a binding
	maxAudits     = 32       // of one node within a minute
)

// Audit is the payload of an entry of operation 39: what one node refused for want of identity or rights since it told
// last. Nodes do not agree about its truth, only about who says it: Node is the member that signed the batch.
type Audit struct {
	Node string `json:"node"`
	// Since and Until are the node's clock, Unix microseconds. What an earlier entry told of that time is not repeated.
	Since  int64    `json:"since"`
	Until  int64    `json:"until"`
	Denied []Denied `json:"denied,omitempty"`
	// Others are the refusals for which there was no room, by reason.
	Others []DeniedOthers `json:"others,omitempty"`
	// Unsure counts refusals of which the node told before, and does not know whether that was committed.
	Unsure uint64 `json:"unsure,omitempty"`
}

// Denied are refusals of one client that differ in nothing but when they were.
type Denied struct {
	// Source is the client's address: an IPv4 address, or the first 64 bits of an IPv6 one in prefix notation; "" when it
	// is not known.
	Source string `json:"source,omitempty"`
	// Claimed is the originator that the client claimed to be, cut to MaxAuditText; "" for none.
	Claimed string `json:"claimed,omitempty"`
	// Key is the ID of the credential that it proved to hold, in hex; "" for none. Originator is whom that is for.
	Key        string `json:"key,omitempty"`
	Originator string `json:"originator,omitempty"`
	Reason     string `json:"reason"`
	Doing      string `json:"doing"`
	Binding    string `json:"binding,omitempty"`
	// On is what the first of them addressed, cut to MaxAuditText; "" when it is not known.
	On    string `json:"on,omitempty"`
	Count uint64 `json:"count"`
}

// DeniedOthers are refusals of any clients.
type DeniedOthers struct {
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

// Encode gives the one encoding of an Audit that validators take.
func (a *Audit) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // it would let a client make a text six times as long
	err := e.Encode(a)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

// DecodeAudit decodes the payload of an entry of operation 39, and checks it.
func DecodeAudit(b []byte) (*Audit, error) {
	if len(b) > MaxAuditBytes {
		return nil, fmt.Errorf("an audit of %d bytes, the limit is %d", len(b), MaxAuditBytes)
	}
	a := new(Audit)
	if err := json.Unmarshal(b, a); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if again, err := a.Encode(); err != nil || !bytes.Equal(again, b) {
		return nil, errors.New("an audit that is not in its one encoding")
	}
	return a, a.check()
}

func (a *Audit) check() error {
	switch {
	case a.Since <= 0 || a.Until < a.Since:
		return errors.New("an audit of a time that runs backwards")
	case len(a.Denied) > MaxAuditRows || len(a.Others) > MaxAuditRows:
		return fmt.Errorf("an audit of more than %d rows", MaxAuditRows)
	case len(a.Denied)+len(a.Others) == 0 && a.Unsure == 0:
		return errors.New("an audit that says nothing")
	}
	for i := range a.Denied {
		if err := a.Denied[i].check(); err != nil {
			return fmt.Errorf("audit, row %d: %w", i, err)
		}
	}
	for i, o := range a.Others {
		if !IsAuditWord(o.Reason) || o.Count == 0 {
			return fmt.Errorf("audit, others %d: no reason, or nothing counted", i)
		}
	}
	return nil
}

func (d *Denied) check() error {
	switch {
	case !IsAuditWord(d.Reason) || !IsAuditWord(d.Doing) || d.Binding != "" && !IsAuditWord(d.Binding):
		return errors.New("reason, operation and binding are words of 1 to 16 lower-case letters")
	case d.Count == 0:
		return errors.New("nothing is counted")
	case len(d.Claimed) > MaxAuditText || len(d.On) > MaxAuditText || len(d.Originator) > proof.MaxID:
		return errors.New("a text is too long")
	case !utf8.ValidString(d.Claimed) || !utf8.ValidString(d.On) || !utf8.ValidString(d.Originator):
		return errors.New("a text is no valid UTF-8")
	}
	if d.Key != "" {
		if b, err := hex.DecodeString(d.Key); err != nil || len(b) != len(identity.KeyID{}) || hex.EncodeToString(b) != d.Key {
			return errors.New("the credential's ID is not 8 bytes in hex")
		}
	}
	if d.Source != "" {
		a, err := netip.ParseAddr(d.Source)
		if err == nil && (!a.Is4() || a.String() != d.Source) {
			return fmt.Errorf("the source %q is not in its one form", d.Source)
		}
		if p, err2 := netip.ParsePrefix(d.Source); err != nil && (err2 != nil || p.Bits() != 64 || p.Masked().String() != d.Source) {
			return fmt.Errorf("the source %q is neither an IPv4 address nor 64 bits of an IPv6 one", d.Source)
		}
	}
	return nil
}

// IsAuditWord says whether a text can be a reason, an operation or a binding of an Audit: 1 to 16 lower-case letters.
func IsAuditWord(s string) bool {
	for _, c := range []byte(s) {
		if c < 'a' || c > 'z' {
			return false
		}
	}
	return s != "" && len(s) <= maxAuditWord
}

// auditedKey has, by member, when it told of refusals in the last minute: an array of Unix microseconds.
const auditedKey = "audited/"

// audit records what a member says that it refused. The state keeps how often it did: one that errs, or lies, is not to
// fill the log with it.
func (a *App) audit(b *building, it *Item, auth proof.Auth) (onem2m.Response, error) {
	audit, err := DecodeAudit(it.Content)
	switch {
	case err != nil:
		return failure(onem2m.StatusBadRequest, err.Error()), nil
	case it.From != a.genesis.CSE.CSEID || auth != noAuth:
		return denied("only a node itself may say what it refused"), nil
	case b.node != audit.Node && b.node != "":
		return denied("the audit says that it is by %q, the batch is by another", audit.Node), nil
	}
	recent, err := getJSON[[]int64](b.state, auditedKey+audit.Node)
	if err != nil {
		return onem2m.Response{}, err
	}
	*recent = slices.DeleteFunc(*recent, func(t int64) bool { return t <= b.time-microsecMinute })
	if len(*recent) >= maxAudits {
		return failure(onem2m.StatusConflict, fmt.Sprintf("node %s told of refusals %d times within a minute, the limit", audit.Node, len(*recent))), nil
	}
	if err := setJSON(b.state, auditedKey+audit.Node, append(*recent, b.time)); err != nil {
		return onem2m.Response{}, err
	}
	b.record(proof.Entry{
		Operation: proof.OpAudit, Originator: it.From, Target: a.genesis.CSE.BaseRI, Resource: a.genesis.CSE.BaseRI,
		Status: uint32(onem2m.StatusCreated), Auth: auth,
	}, it.Content)
	return onem2m.Response{Status: onem2m.StatusCreated}, nil
}
