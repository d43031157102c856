// Package binding is what the protocol bindings share: the doors that they hand what they parsed to, and how requests
// go out to other machines. A binding turns bytes into request primitives and back; it holds no rights and decides
// nothing about resources.
package binding

import (
	"context"

	"github.com/tallystick/tallystick/onem2m"
)

// Handler serves request primitives. It is safe for concurrent use.
type Handler interface {
	// Known says whether what a client showed is a valid credential. It is asked before a body is read: the body of one
	// who is not known costs no memory. True when that cannot be found out; Do then gives the error. In a lab network
	// who shows nothing is known.
	Known(ev Evidence) bool
	// Do executes req for the client that showed ev. The handler may keep req and its content
	// after it returned. The result is never nil; its content is JSON text. A write is committed when Do returns.
	Do(ctx context.Context, req *onem2m.Request, ev Evidence) *onem2m.Response
}

// Watcher is a Handler that tells when what a client showed is worth nothing any more, so that connections end with the
// credential that they were made with.
type Watcher interface {
	// Watch has end called, once, within a second of the commit that ends the credential that ev shows, and of its end by
	// itself: it is revoked, it expires, or its originator is put into quarantine. At once when ev shows none that is
	// valid, and never when it shows nothing. stop has end not called any more, unless it is being called. end must not
	// wait for anything.
	Watch(ev Evidence, end func()) (stop func())
}

// Starter is a Handler that can take a request without a goroutine waiting for it, and that keeps the order in which
// readings come.
type Starter interface {
	// Start does what Do does, and gives the response to done, exactly once: before it returns or later, from any
	// goroutine. done must not wait for anything. Instances that one goroutine starts to create one after another are
	// committed in that order, when the network does not lose them on the way.
	Start(ctx context.Context, req *onem2m.Request, ev Evidence, done func(*onem2m.Response))
}

// Message is what a device sends that speaks no oneM2M: content for one container.
type Message struct {
	// Path is "<ae>/<container path>", resource names below the CSEBase without a leading slash.
	Path string
	// MediaType is the type of Body as the client said it, with parameters; "" when it said none.
	MediaType string
	Body      []byte
	// Query is the raw query of a GET whose parameters are the content; Body is nil then.
	Query string
	// From is the originator that the client claims to be, "" when it claims none: then it is the credential's.
	From     string
	SourceIP string
	Delivery *onem2m.Delivery
}

// Plain serves devices that speak no oneM2M. It is safe for concurrent use.
type Plain interface {
	// Ingest stores a message for the client that showed ev: one instance, or one a record when the message is a pack of
	// them. All of it is committed when Ingest returns with a status of success, or else nothing of it. The result is
	// never nil. It may keep m and its body.
	Ingest(ctx context.Context, m *Message, ev Evidence) *onem2m.Response
}

// PlainStarter is a Plain that can take a message without a goroutine waiting for it, and that keeps the order in which
// messages come.
type PlainStarter interface {
	// Start does what Ingest does, and gives the response to done, exactly once: before it returns or later, from any
	// goroutine. done must not wait for anything. What one goroutine starts to store in a container, message after
	// message, is committed in that order.
	Start(ctx context.Context, m *Message, ev Evidence, done func(*onem2m.Response))
}

// Address is where another machine can be reached.
type Address struct {
	// URL names protocol, machine and whatever the protocol needs besides: http, https, mqtt, mqtts, ws, wss, coap,
	// coaps, or one of a node's own: conn (an open connection of an originator) and pch (a polling channel).
	URL string
	// CBOR says that contents are to be encoded as CBOR, else as JSON.
	CBOR bool
	// Token is the bearer token to show there, "" for none. It is never sent where the protocol has no place for it.
	Token string
}

// Client sends request primitives to other machines by one protocol: notifications, and requests for other CSEs.
// It is safe for concurrent use.
type Client interface {
	// Send sends a request and waits for its response, until ctx ends at most. req.Content and the response's content
	// are JSON text. An error means that there was no response that can be read; it may have been executed.
	Send(ctx context.Context, to Address, req *onem2m.Request) (*onem2m.Response, error)
}
