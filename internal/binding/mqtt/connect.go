package mqttbinding

import (
	"crypto/tls"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// maxClientID bounds client identifiers, in bytes.
const maxClientID = 256

// connect handles CONNECT and answers it. It is false when the client was refused.
func (c *conn) connect(pk *packets.Packet) bool {
	code, cl := c.admit(pk)
	if code.Code != 0 {
		c.refuse(code)
		return false
	}
	if c.memory = c.broker.memory.connect(cl.owner, max(1, c.broker.o.MaxConnections*3/4)); c.memory == nil {
		c.refuse(codeQuota)
		return false
	}
	c.ended = make(chan struct{})
	s, present, err := c.broker.attach(c, cl)
	if err != nil {
		var code packets.Code
		if !errors.As(err, &code) {
			c.broker.o.Log.Warn("keep an MQTT session", "error", err)
			code = packets.ErrServerUnavailable
		}
		c.refuse(code)
		return false
	}
	ack := &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connack}, SessionPresent: present}
	p := &ack.Properties
	p.ReceiveMaximum, p.TopicAliasMaximum, p.MaximumPacketSize = maxInFlight, maxTopicAlias, uint32(c.broker.o.MaxPacket)
	if cl.assigned {
		p.AssignedClientID = cl.id // [MQTT-3.2.2-16]
	}
	if cl.expiry != cl.wanted {
		p.SessionExpiryInterval, p.SessionExpiryIntervalFlag = uint32(cl.expiry/time.Second), true // [MQTT-3.2.2-21]
	}
	b, err := encode(ack, c.version)
	if err != nil {
		c.broker.o.Log.Error("answer an MQTT CONNECT", "error", err)
		c.leave(true)
		return false
	}
	c.mu.Lock()
	c.evidence, c.accepted, c.will = cl.evidence, true, cl.will
	c.append(b)
	c.kick()
	c.mu.Unlock()
	c.unwatch = c.broker.o.Handler.Watch(cl.evidence, func() { c.disconnect(codeNotAuthorized) })
	s.catchUp()
	return true
}

// client is what a CONNECT says, checked.
type client struct {
	id       string
	assigned bool // the ID was
	evidence binding.Evidence
	owner    string // originator that the credential speaks for
	anyone   bool   // a lab network's client without credential, who may claim to be anybody
	clean    bool
	expiry   time.Duration // 0 ends the session with the connection
	wanted   time.Duration
	will     *will
}

var refusalNone packets.Code

// admit decides who a client is and whether it may connect.
func (c *conn) admit(pk *packets.Packet) (packets.Code, *client) {
	p := &pk.Connect
	switch {
	case pk.ReservedBit != 0:
		return packets.ErrProtocolViolationReservedBit, nil // [MQTT-3.1.2-3]
	case p.WillQos > 2 || !p.WillFlag && (p.WillQos > 0 || p.WillRetain):
		return packets.ErrProtocolViolationQosOutOfRange, nil // [MQTT-3.1.2-11] to [MQTT-3.1.2-15]
	case c.version < version5 && p.PasswordFlag && !p.UsernameFlag:
		return packets.ErrProtocolViolation, nil // MQTT 3.1.1 [MQTT-3.1.2-22]
	case pk.Properties.AuthenticationMethod != "":
		return packets.ErrBadAuthenticationMethod, nil
	case len(p.ClientIdentifier) > maxClientID:
		return packets.ErrClientIdentifierNotValid, nil
	case p.ClientIdentifier == "" && c.version < version5 && !p.Clean:
		return packets.ErrClientIdentifierNotValid, nil // MQTT 3.1.1 [MQTT-3.1.3-8]
	}
	cl := &client{id: strings.Clone(p.ClientIdentifier), // the packet's strings share its memory
		evidence: binding.Evidence{Token: string(p.Password), Key: c.peerKey(), Source: c.ip, Binding: "mqtt"}, clean: p.Clean}
	if cl.id == "" {
		cl.id, cl.assigned = newClientID(), true
	}
	if no := c.broker.o.NoPassword; no != nil && no(cl.evidence.Token) {
		cl.evidence.Token = ""
	}
	claimed := string(p.Username)
	if cl.evidence.Anonymous() && claimed == "" {
		claimed = cl.id
	}
	if !c.broker.o.Handler.Known(cl.evidence) {
		binding.Denied(c.broker.o.Handler, cl.evidence, binding.Denial{
			Reason: binding.BadCredential, Doing: "connect", From: claimed,
		})
		return c.stranger(cl.evidence), nil
	}
	owner, ok := c.broker.o.Handler.Claim(cl.evidence, claimed)
	if !ok || owner == "" {
		return codeNotAuthorized, nil
	}
	cl.owner, cl.anyone = owner, cl.evidence.Anonymous()
	if c.broker.blame.blamed(sessionKey{owner, cl.id}, time.Now()) {
		return packets.ErrServerUnavailable, nil
	}
	c.keepalive = time.Duration(p.Keepalive) * time.Second
	c.maxPacket = int(pk.Properties.MaximumPacketSize)
	c.noReasons = pk.Properties.RequestProblemInfoFlag && pk.Properties.RequestProblemInfo == 0 // [MQTT-3.1.2-29]
	c.window = maxWindow
	if c.version == version5 {
		if rm := int(pk.Properties.ReceiveMaximum); rm > 0 {
			c.window = min(c.window, rm)
		}
		if pk.Properties.SessionExpiryIntervalFlag {
			cl.wanted = expiry(pk.Properties.SessionExpiryInterval)
		}
		cl.expiry = min(cl.wanted, maxExpiry)
	} else if !p.Clean {
		cl.expiry, cl.wanted = maxExpiry, maxExpiry
	}
	if p.WillFlag {
		w, code := newWill(pk)
		if code.Code != 0 {
			return code, nil
		}
		cl.will = w
	}
	return refusalNone, cl
}

// peerKey is the key that the client proved to hold, whose first packet was read.
func (c *conn) peerKey() string {
	secure, ok := c.net.(*tls.Conn)
	if !ok {
		return ""
	}
	state := secure.ConnectionState()
	return binding.PeerKey(&state)
}

// stranger gives the code for a client that is not known: who is in quarantine or locked out is told that much.
func (c *conn) stranger(ev binding.Evidence) packets.Code {
	if r, ok := c.broker.o.Handler.(binding.Refuser); ok && c.version == version5 {
		switch why, _ := r.Refusal(ev); {
		case why == nil:
		case why.Status == onem2m.StatusOriginatorHasNoPrivilege:
			return packets.ErrBanned
		case why.Status == onem2m.StatusServiceSubscriptionLimitsExceeded:
			return codeQuota
		}
	}
	return packets.ErrBadUsernameOrPassword
}

// expiry is a Session Expiry Interval (MQTT 5.0 clause 3.1.2.11.2).
func expiry(seconds uint32) time.Duration {
	if seconds == math.MaxUint32 {
		return math.MaxInt64
	}
	return time.Duration(seconds) * time.Second
}

// refuse answers CONNECT with a refusal.
func (c *conn) refuse(code packets.Code) {
	if c.version < version5 {
		if code.Code == packets.ErrMalformedPacket.Code || code.Code == packets.ErrProtocolViolation.Code {
			return // MQTT 3.1.1 [MQTT-3.1.4-1]
		}
		code = refusal3(code)
	}
	ack := &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connack}, ReasonCode: code.Code}
	ack.Properties.ReasonString = code.Reason
	if b, err := encode(ack, c.version); err == nil {
		c.net.SetWriteDeadline(time.Now().Add(time.Second))
		c.net.Write(b)
	}
}

// refusal3 is the return code of MQTT 3.1.1 (clause 3.2.2.3) for a reason.
func refusal3(code packets.Code) packets.Code {
	switch code {
	case packets.ErrUnsupportedProtocolVersion:
		return packets.Err3UnsupportedProtocolVersion
	case packets.ErrClientIdentifierNotValid:
		return packets.Err3ClientIdentifierNotValid
	case packets.ErrBadUsernameOrPassword:
		return packets.ErrMalformedUsernameOrPassword
	case codeNotAuthorized, packets.ErrTopicNameInvalid: // the topic is the will's
		return packets.Err3NotAuthorized
	default:
		return packets.Err3ServerUnavailable
	}
}

// refuseConnect answers a first packet that is no CONNECT that can be read. Only a version that is not supported gets
// an answer: what else comes speaks no MQTT.
func (c *conn) refuseConnect(err error) {
	if !errors.Is(err, packets.ErrUnsupportedProtocolVersion) {
		return
	}
	c.version = version311
	c.refuse(packets.ErrUnsupportedProtocolVersion)
}
