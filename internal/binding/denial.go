package binding

import "github.com/tallystick/tallystick/onem2m"

// Reason says why a client was refused, for the audit trail: lower-case letters, at most 16.
type Reason string

// Reasons of refusals for want of identity or rights.
const (
	BadCredential Reason = "credential" // none was shown, or none that is valid
	NotOriginator Reason = "originator" // a valid one, for another originator than the client claims to be
	NoPrivilege   Reason = "privilege"  // no rule allows it
	Quarantined   Reason = "quarantine" // the originator is in quarantine
	LockedOut     Reason = "lockout"    // no valid credential, and the last of too many from that address
	BadSignature  Reason = "signature"  // a request's own signature is not valid
)

// Denial is a refusal for want of identity or rights.
type Denial struct {
	Reason Reason
	// Doing is what the client wanted: connect, subscribe, publish, or an operation in lower-case letters.
	Doing string
	// From is the originator that the client claims to be, "" for none; To is what it addressed. Both are the client's
	// words, of any length.
	From, To string
}

// Auditor is a Handler that keeps account of refusals. What it refuses itself it knows; a binding tells it what it
// refuses without asking, once for each refusal.
type Auditor interface {
	// Denied notes a refusal of a client that showed ev. It waits for nothing.
	Denied(ev Evidence, d Denial)
}

// Denied tells a handler of a refusal if it keeps account of them.
func Denied(handler any, ev Evidence, d Denial) {
	if a, ok := handler.(Auditor); ok {
		a.Denied(ev, d)
	}
}

// Doing is what a Denial calls an operation.
func Doing(op onem2m.Operation) string {
	switch op {
	case onem2m.Create:
		return "create"
	case onem2m.Retrieve:
		return "retrieve"
	case onem2m.Update:
		return "update"
	case onem2m.Delete:
		return "delete"
	case onem2m.Notify:
		return "notify"
	}
	return "send"
}
