package node

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/proof"
)

// defaultInvitation is how long a one-time code counts for which nothing else is asked.
const defaultInvitation = 15 * time.Minute

// InviteRequest asks for a one-time code: POST /-/invitations.
type InviteRequest struct {
	Originator   string    `json:"originator"`
	Role         string    `json:"role,omitempty"`         // as in EnrolRequest
	Organisation string    `json:"organisation,omitempty"` // default that of the operator who asks
	NotBefore    time.Time `json:"notBefore,omitzero"`     // of the credential that the code gives
	NotAfter     time.Time `json:"notAfter,omitzero"`
	// Seconds is how long the code counts. Default 900, at most 30 days.
	Seconds int64 `json:"seconds,omitempty"`
}

// Invited is the answer: a code that is shown here and never again.
type Invited struct {
	Originator   string    `json:"originator"`
	Role         string    `json:"role"`
	Organisation string    `json:"organisation,omitempty"`
	Key          string    `json:"key"` // the invitation's ID on the ledger, by which it can be revoked
	Code         string    `json:"code"`
	Until        time.Time `json:"until"`
	// URL is where the node that was asked can be reached, as far as it knows from the request.
	URL string `json:"url"`
	// Pin is the SHA-256, in base64url, of a certificate that the node shows there, by which a device recognises the node
	// before it sends the code; "" when the node has no TLS.
	Pin string `json:"pin,omitempty"`
}

func (n *Node) serveInvite(w http.ResponseWriter, r *http.Request) {
	var req InviteRequest
	c := n.asOperator(w, r)
	if c == nil || !decodeBody(w, r, &req) {
		return
	}
	if req.Organisation == "" {
		req.Organisation = c.Organisation
	}
	if req.Role == "" {
		req.Role = identity.Device.String()
	}
	if req.Seconds < 0 || req.Seconds > int64(ledger.MaxInvitation/time.Second) {
		refuse(w, http.StatusBadRequest, "a code counts for 30 days at most")
		return
	}
	valid := time.Duration(req.Seconds) * time.Second
	if valid == 0 {
		valid = defaultInvitation
	}
	out := Invited{
		Originator: req.Originator, Role: req.Role, Organisation: req.Organisation, Code: identity.NewCode(),
		// A proposer's clock may be behind this one; a second is what it costs to be sure.
		Until: time.Now().Add(valid - time.Second).UTC().Truncate(time.Microsecond),
	}
	out.URL, out.Pin = n.reachedAt(r.Host)
	secret, _ := identity.CodeSecret(out.Code)
	hash := identity.CodeHash(secret)
	out.Key = hex.EncodeToString(hash[:8])
	if n.own(w, r, proof.OpInvite, ledger.OwnRequest{
		Originator: req.Originator, Role: req.Role, Organisation: req.Organisation,
		NotBefore: identity.Micro(req.NotBefore), NotAfter: identity.Micro(req.NotAfter),
		CodeHash: hex.EncodeToString(hash[:]), Until: out.Until.UnixMicro(),
	}) {
		writeJSON(w, out)
	}
}

// reachedAt is where a device can enrol that reaches the host which a request named, by TLS if the node has it.
func (n *Node) reachedAt(host string) (url, pin string) {
	if n.secure == nil {
		return "http://" + host, ""
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else {
		host = strings.Trim(host, "[]") // of IPv6, without a port
	}
	_, port, _ := net.SplitHostPort(n.secure.Addr().String())
	url = "https://" + net.JoinHostPort(host, port)
	chain := n.certificate().Certificate
	sum := sha256.Sum256(chain[len(chain)-1])
	return url, base64.RawURLEncoding.EncodeToString(sum[:])
}

// RedeemRequest trades a one-time code for a credential: POST /-/enrol.
type RedeemRequest struct {
	Code string `json:"code"`
	// PublicKey is the Ed25519 public key, in hex, of a key that the device made; without one a token is drawn.
	PublicKey string `json:"publicKey,omitempty"`
}

func (n *Node) serveRedeem(w http.ResponseWriter, r *http.Request) {
	var req RedeemRequest
	if !decodeBody(w, r, &req) {
		return
	}
	v, err := n.ingress.Invited(req.Code)
	switch {
	case errors.Is(err, identity.ErrCode):
		n.wrongCode(w, r)
		return
	case err != nil:
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	out := Enrolled{Originator: v.Originator, Role: v.Role.String(), Organisation: v.Organisation, NotAfter: identity.Time(v.NotAfter)}
	tokenHash := ""
	if req.PublicKey == "" {
		out.Token = identity.NewToken()
		hash, _ := identity.TokenHash(out.Token)
		tokenHash, out.Key = hex.EncodeToString(hash[:]), hex.EncodeToString(hash[:8])
	} else if out.Key, err = keyID(req.PublicKey); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	resp := n.ingress.Redeem(r.Context(), req.Code, tokenHash, req.PublicKey)
	if resp.Status >= 3000 {
		refuse(w, resp.Status.HTTPStatus(), debugText(resp))
		return
	}
	n.certify(req.PublicKey, &out)
	writeJSON(w, out)
}

// wrongCode refuses what is no code, or no more, and counts it as any other bad credential from that address. A right one
// is never locked out: nobody guesses 100 bits.
func (n *Node) wrongCode(w http.ResponseWriter, r *http.Request) {
	ev := evidence(r)
	if n.lockedOut(w, r) {
		return
	}
	n.guard.Failed(ev.Source, "", true)
	n.ingress.Denied(ev, binding.Denial{Reason: binding.BadCredential, Doing: "enrol", To: r.URL.Path})
	refuse(w, http.StatusForbidden, identity.ErrCode.Error())
}
