package node

import (
	"context"
	"fmt"
	"net"
	"time"

	coapbinding "github.com/tallystick/tallystick/internal/binding/coap"
)

// coap is what a node has of CoAP. Its sockets are nil where the configuration names no address.
type coap struct {
	server      *coapbinding.Server
	client      *coapbinding.Client
	udp, secure *net.UDPConn
}

// listenCoAP opens the sockets that the configuration names.
func (n *Node) listenCoAP() (err error) {
	for _, l := range []struct {
		field, addr string
		conn        **net.UDPConn
	}{{"coap", n.cfg.CoAP, &n.coap.udp}, {"coaps", n.cfg.CoAPS, &n.coap.secure}} {
		if l.addr == "" {
			continue
		}
		if *l.conn, err = coapbinding.ListenUDP(l.addr); err != nil {
			return fmt.Errorf("listen on %s: %w; stop what uses it, or choose another address (%s in config.json)", l.addr, err, l.field)
		}
	}
	return nil
}

// serveCoAP serves the sockets.
func (n *Node) serveCoAP() {
	if n.coap.udp == nil && n.coap.secure == nil {
		return
	}
	n.coap.server = coapbinding.New(n.ingress, coapbinding.Options{
		MaxBody: int(n.cfg.MaxBody), Plain: n.plain, Mobius: n.app.Genesis().CSE.Mobius, TokensInClear: n.cfg.CoAPTokensInClear, PreSharedKey: n.preSharedKey, Log: n.log,
	})
	if n.coap.udp != nil {
		n.running.Go(func() {
			if err := n.coap.server.Serve(n.coap.udp); err != nil {
				n.fail(fmt.Errorf("serve CoAP: %w", err))
			}
		})
	}
	if n.coap.secure != nil {
		n.running.Go(func() {
			if err := n.coap.server.ServeDTLS(n.coap.secure, n.certificate); err != nil {
				n.fail(fmt.Errorf("serve CoAP over DTLS: %w", err))
			}
		})
	}
}

// stopCoAP takes no more requests and answers those under way.
func (n *Node) stopCoAP(ctx context.Context) {
	if n.coap.server != nil {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := n.coap.server.Shutdown(ctx); err != nil {
			n.log.Warn("requests were left without an answer", "err", err)
		}
		return
	}
	for _, conn := range []*net.UDPConn{n.coap.udp, n.coap.secure} {
		if conn != nil {
			conn.Close()
		}
	}
}
