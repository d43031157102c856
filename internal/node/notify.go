package node

import (
	"context"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	coapbinding "github.com/tallystick/tallystick/internal/binding/coap"
	httpbinding "github.com/tallystick/tallystick/internal/binding/http"
	wsbinding "github.com/tallystick/tallystick/internal/binding/ws"
	"github.com/tallystick/tallystick/internal/notify"
	"github.com/tallystick/tallystick/internal/polling"
)

// clients gives what sends requests to other machines, by scheme of the address.
func (n *Node) clients() (map[string]binding.Client, error) {
	roots, err := n.trusted()
	if err != nil {
		return nil, err
	}
	n.coap.client = coapbinding.NewClient(coapbinding.ClientOptions{RootCAs: roots})
	n.web, n.sockets = httpbinding.NewClient(httpbinding.NewTransport(roots)), n.newWebSockets(roots)
	if err := n.openMQTT(roots); err != nil {
		return nil, err
	}
	n.polling = polling.New(polling.Options{Arrived: func(owner string) { n.deliverer.Wake(owner) }})
	clients := map[string]binding.Client{
		"http": n.web, "https": n.web, "ws": n.sockets, "wss": n.sockets, wsbinding.SchemeConn: n.sockets,
		polling.Scheme: n.polling, "mqtt": n.mqtt, "mqtts": n.mqtt, "coap": n.coap.client, "coaps": n.coap.client,
	}
	if n.app.Genesis().CSE.Mobius {
		for scheme, c := range clients {
			clients[scheme] = newMobiusClient(scheme, c)
		}
	}
	return clients, nil
}

// resolve gives the way to a notification target: its points of access in their order, then its polling channel. An
// open connection of the entity itself takes the place of the first point of access over WebSocket; without one it comes
// after all of them.
func (n *Node) resolve(target string) notify.Route {
	view := n.app.View()
	defer view.Close()
	to := n.app.Core().Route(view, target)
	if to.Entity != "" && n.app.Quarantined(to.Entity) != nil {
		return notify.Route{Entity: to.Entity, To: to.To} // what it is to be told waits for its release
	}
	route := notify.Route{Entity: to.Entity, To: to.To, Releases: to.Releases}
	connected := to.Entity != "" && to.Reachable
	connection := binding.Address{URL: wsbinding.SchemeConn + ":" + to.Entity, CBOR: to.CBOR, Token: n.peers[to.Entity]}
	for _, a := range to.URLs {
		if own(a.URL) {
			continue
		}
		if connected && overWebSocket(a.URL) {
			route.Addresses = append(route.Addresses, connection)
			connected = false
		}
		route.Addresses = append(route.Addresses, binding.Address{URL: a.URL, CBOR: a.CBOR, Token: n.peers[to.Entity]})
	}
	if connected {
		route.Addresses = append(route.Addresses, connection)
	}
	if to.Polls {
		route.Addresses = append(route.Addresses, binding.Address{URL: polling.Scheme + ":" + to.Entity, CBOR: to.CBOR})
	}
	return route
}

// own says whether an address is of a scheme that only the node itself makes addresses of. As a point of access it would
// lead to somebody else's connection or polling channel.
func own(address string) bool {
	scheme, _, _ := strings.Cut(address, ":")
	return strings.EqualFold(scheme, wsbinding.SchemeConn) || strings.EqualFold(scheme, polling.Scheme)
}

func overWebSocket(address string) bool {
	scheme, _, _ := strings.Cut(address, ":")
	return strings.EqualFold(scheme, "ws") || strings.EqualFold(scheme, "wss")
}

// wake delivers what an originator has missed, now that requests can be sent to it.
func (n *Node) wake(originator string) { n.deliverer.Wake(originator) }

// settleLimit bounds how long a lab network's answer to a DELETE waits for the notifications of it.
const settleLimit = 250 * time.Millisecond

// settle gives what lets a lab network answer a DELETE after the notifications of it, nil in others: conformance tests
// look for them as soon as they have the answer.
func (n *Node) settle() func(context.Context) {
	if !n.app.Genesis().CSE.Lab {
		return nil
	}
	return func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, settleLimit)
		defer cancel()
		n.deliverer.Settle(ctx)
	}
}

// subscribed says whether a subscription still exists, and is not of somebody in quarantine.
func (n *Node) subscribed(ri string) bool {
	view := n.app.View()
	defer view.Close()
	r, err := view.Resource(ri)
	return err != nil || r != nil && n.app.Quarantined(r.Owner) == nil
}
