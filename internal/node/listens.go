package node

import (
	"fmt"
	"net"
	"net/url"
)

// Listening is an address at which the node takes connections or datagrams.
type Listening struct {
	Protocol  string `json:"protocol"` // http, https, mqtt, mqtts, coap or coaps
	Address   string `json:"address"`
	Encrypted bool   `json:"encrypted"`
	Why       string `json:"why"`               // what in the configuration has it open
	Warning   string `json:"warning,omitempty"` // what is wrong with that
}

// String is the protocol, a blank and the address.
func (l Listening) String() string { return l.Protocol + " " + l.Address }

// Listens returns what the node serves, HTTP first.
func (n *Node) Listens() (all []Listening) {
	add := func(protocol string, encrypted bool, addr net.Addr) {
		l := Listening{Protocol: protocol, Address: addr.String(), Encrypted: encrypted, Why: fmt.Sprintf("%s in %s", protocol, configFile)}
		if protocol == "https" && n.cfg.byDefault {
			l.Why = fmt.Sprintf("the default: %s has neither http nor https", configFile)
		}
		if !encrypted && loopback(l.Address) != nil {
			l.Warning = fmt.Sprintf("in plain text for other machines: who is on the way can read everything, tokens too; use %ss", protocol)
		}
		all = append(all, l)
	}
	for _, l := range []struct {
		protocol  string
		encrypted bool
		listener  net.Listener
	}{{"http", false, n.listener}, {"https", true, n.secure}, {"mqtt", false, n.mqttPlain}, {"mqtts", true, n.mqttTLS}} {
		if l.listener != nil {
			add(l.protocol, l.encrypted, l.listener.Addr())
		}
	}
	if n.coap.udp != nil {
		add("coap", false, n.coap.udp.LocalAddr())
	}
	if n.coap.secure != nil {
		add("coaps", true, n.coap.secure.LocalAddr())
	}
	return all
}

// Addr returns the address that the node serves HTTP on, in plain text if it does that too.
func (n *Node) Addr() string {
	if n.listener != nil {
		return n.listener.Addr().String()
	}
	return n.secure.Addr().String()
}

// URL is where the node serves HTTP, encrypted if it does that too.
func (n *Node) URL() string {
	if n.secure != nil {
		return reach("https", n.secure.Addr().String())
	}
	return reach("http", n.listener.Addr().String())
}

// URL is where the node of this configuration serves HTTP, for clients on its machine, encrypted if it does that too.
func (c *Config) URL() string {
	if c.HTTPS != "" {
		return reach("https", c.HTTPS)
	}
	return reach("http", c.HTTP)
}

// reach is the URL by which this machine reaches a listener of its own.
func reach(scheme, address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		address = net.JoinHostPort("localhost", port)
	}
	return (&url.URL{Scheme: scheme, Host: address}).String()
}
