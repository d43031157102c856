package node

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/proof"
)

// EnrolRequest asks to bind a credential to an originator: POST /-/credentials.
type EnrolRequest struct {
	Originator   string    `json:"originator"`             // AE-ID, CSE-ID of another CSE, or node:NAME
	Role         string    `json:"role,omitempty"`         // device (default), gateway, operator, organisation or node
	Organisation string    `json:"organisation,omitempty"` // default that of the operator who asks
	PublicKey    string    `json:"publicKey,omitempty"`    // Ed25519 public key in hex; without one a token is drawn
	NotBefore    time.Time `json:"notBefore,omitzero"`
	NotAfter     time.Time `json:"notAfter,omitzero"`
}

// Enrolled is the answer to an enrolment. The token is shown here and never again.
type Enrolled struct {
	Originator   string    `json:"originator"`
	Role         string    `json:"role"`
	Organisation string    `json:"organisation,omitempty"`
	Key          string    `json:"key"`
	Token        string    `json:"token,omitempty"` // unless the credential is a key
	NotAfter     time.Time `json:"notAfter,omitzero"`
	// Certificate is for the key that was enrolled, and Authorities are those that certificates of nodes come from, both
	// PEM; "" in a lab network without.
	Certificate string `json:"certificate,omitempty"`
	Authorities string `json:"authorities,omitempty"`
}

func (n *Node) serveEnrol(w http.ResponseWriter, r *http.Request) {
	var req EnrolRequest
	c := n.asOperator(w, r)
	if c == nil || !decodeBody(w, r, &req) {
		return
	}
	order, out, err := prepareEnrol(c, req)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if n.own(w, r, proof.OpEnrol, order) {
		n.certify(req.PublicKey, &out)
		writeJSON(w, out)
	}
}

// prepareEnrol makes of what an operator asks for what is ordered, and the answer. A token is drawn unless there is a key.
func prepareEnrol(c *identity.Credential, req EnrolRequest) (order ledger.OwnRequest, out Enrolled, err error) {
	if req.Organisation == "" {
		req.Organisation = c.Organisation
	}
	if req.Role == "" {
		req.Role = identity.Device.String()
	}
	order = ledger.OwnRequest{
		Originator: req.Originator, Role: req.Role, Organisation: req.Organisation, PublicKey: req.PublicKey,
		NotBefore: identity.Micro(req.NotBefore), NotAfter: identity.Micro(req.NotAfter),
	}
	out = Enrolled{Originator: req.Originator, Role: req.Role, Organisation: req.Organisation, NotAfter: req.NotAfter}
	if req.PublicKey != "" {
		if out.Key, err = keyID(req.PublicKey); err != nil {
			return order, out, err
		}
	} else {
		out.Token = identity.NewToken()
		hash, _ := identity.TokenHash(out.Token)
		order.TokenHash, out.Key = hex.EncodeToString(hash[:]), hex.EncodeToString(hash[:8])
	}
	return order, out, nil
}

// keyID gives the name on the ledger of a public key in hex.
func keyID(publicKey string) (string, error) {
	public, err := hex.DecodeString(publicKey)
	if err == nil {
		err = identity.CheckKey(public)
	}
	if err != nil {
		return "", fmt.Errorf("publicKey: %w", err)
	}
	id := identity.KeyIDOf([32]byte(public))
	return hex.EncodeToString(id[:]), nil
}

// certify adds what TLS libraries need to the answer to an enrolment: a certificate for the key, "" for a token. One that
// cannot be issued is no reason to fail: the key is bound, and any certificate of it does.
// For a token the pre-shared key is kept that goes with it.
func (n *Node) certify(publicKey string, out *Enrolled) {
	if out.Token != "" {
		if err := n.keepPSK(out.Key, out.Token); err != nil {
			n.log.Error("keep a pre-shared key", "originator", out.Originator, "err", err)
		}
	}
	if n.authority == nil {
		return
	}
	out.Authorities = string(n.authority.PEM())
	public, err := hex.DecodeString(publicKey)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return
	}
	cert, err := n.IssueClient(public, out.Originator)
	if err != nil {
		n.log.Error("issue a certificate", "originator", out.Originator, "err", err)
		return
	}
	out.Certificate = string(cert)
}

func (n *Node) serveRevoke(w http.ResponseWriter, r *http.Request) {
	if n.operator(w, r) && n.own(w, r, proof.OpRevoke, ledger.OwnRequest{Key: r.PathValue("key")}) {
		n.dropPSK(r.PathValue("key"))
		w.WriteHeader(http.StatusNoContent)
	}
}
