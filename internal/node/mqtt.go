package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"path/filepath"

	"github.com/tallystick/tallystick/internal/binding"
	mqttbinding "github.com/tallystick/tallystick/internal/binding/mqtt"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/live"
	"github.com/tallystick/tallystick/onem2m"
)

// mqttDir is where the broker keeps sessions, in the data folder.
const mqttDir = "mqtt"

// listenMQTT opens the broker's listeners, if the configuration names any.
func (n *Node) listenMQTT() (err error) {
	if n.cfg.MQTT != "" {
		if n.mqttPlain, err = n.listen("mqtt", n.cfg.MQTT); err != nil {
			return err
		}
	}
	if n.cfg.MQTTS != "" {
		if n.mqttTLS, err = n.listen("mqtts", n.cfg.MQTTS); err != nil {
			return err
		}
		n.mqttTLS = tls.NewListener(n.mqttTLS, n.tlsConfig())
	}
	return nil
}

// openMQTT makes the broker, if it has a listener, and the client that sends over MQTT.
func (n *Node) openMQTT(roots *x509.CertPool) (err error) {
	cse := n.app.Genesis().CSE
	if n.mqttPlain != nil || n.mqttTLS != nil {
		o := mqttbinding.Options{
			Handler: door{n}, Plain: plainDoor{n}, Live: live.New(n.app), Remembered: n.app.Deliveries, CSEID: cse.CSEID, CSEName: cse.Name,
			Dir: filepath.Join(n.dir, mqttDir), MaxPacket: int(n.cfg.MaxBody) + 64<<10, Log: n.log,
		}
		if cse.Lab {
			o.NoPassword = noToken
		}
		n.broker, err = mqttbinding.New(o)
		if err != nil {
			return err
		}
	}
	n.mqtt = mqttbinding.NewClient(mqttbinding.ClientOptions{CSEID: cse.CSEID, Broker: n.broker, Mobius: cse.Mobius, RootCAs: roots})
	return nil
}

// noToken says whether a password cannot be a token. Suites that also test other brokers show theirs.
func noToken(password string) bool {
	_, ok := identity.TokenHash(password)
	return !ok
}

func (n *Node) serveMQTT() {
	for _, l := range []net.Listener{n.mqttPlain, n.mqttTLS} {
		if l == nil {
			continue
		}
		n.running.Go(func() {
			if err := n.broker.Serve(l); err != nil {
				n.fail(fmt.Errorf("serve MQTT: %w", err))
			}
		})
	}
}

func (n *Node) closeMQTT() error {
	if n.mqtt != nil {
		n.mqtt.Close()
	}
	for _, l := range []net.Listener{n.mqttPlain, n.mqttTLS} {
		if l != nil {
			l.Close()
		}
	}
	if n.broker != nil {
		return n.broker.Close()
	}
	return nil
}

// Claim implements the broker's Handler.
func (d door) Claim(ev binding.Evidence, claimed string) (string, bool) {
	return d.n.ingress.Claim(ev, claimed)
}

// plainDoor is the way in for plain devices, for a broker that is made before it is and serves nobody until it is there.
type plainDoor struct{ n *Node }

func (d plainDoor) Ingest(ctx context.Context, m *binding.Message, ev binding.Evidence) *onem2m.Response {
	return d.n.plain.Ingest(ctx, m, ev)
}

func (d plainDoor) Start(ctx context.Context, m *binding.Message, ev binding.Evidence, done func(*onem2m.Response)) {
	d.n.plain.Start(ctx, m, ev, done)
}
