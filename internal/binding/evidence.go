package binding

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// Evidence is what a client showed of who it is, as its binding saw it. What it is worth is decided by ingress, from
// the credentials on the ledger. The zero value is that of an anonymous client whose address is not known.
type Evidence struct {
	// Token is a bearer token, "" for none: the password of MQTT, tkns, or an Authorization header.
	Token string
	// Key is the Ed25519 public key, 32 bytes, that the client proved to hold in the handshake of TLS or DTLS; "" for
	// none. Nothing else of its certificate counts.
	Key string
	// PSK is the ID, 16 hex digits, of the credential from whose token the pre-shared key was derived with which the
	// client made its DTLS session; "" for none.
	PSK string
	// Signed is the vendor information of a request that says that the client has signed the request itself
	// (onem2m.IsSigned), "" for none. It lets Known tell a stranger before the content is read; Do looks at the request.
	Signed string
	// Source is the client's IP address, "" when unknown; never from the client's own words.
	Source string
	// Binding is the protocol that the client speaks: http, mqtt, coap, ws, or api for a node's own pages.
	Binding string
}

// SignedBy is the same evidence with the signature that the vendor information of a request may be.
func (ev Evidence) SignedBy(req *onem2m.Request) Evidence {
	if onem2m.IsSigned(req.VendorInformation) {
		ev.Signed = req.VendorInformation
	}
	return ev
}

// Anonymous says that the client showed nothing.
func (ev Evidence) Anonymous() bool { return ev.Token == "" && ev.Key == "" && ev.PSK == "" }

// Shown is the evidence without its source: the same for the same credential from wherever it is shown, a key of maps.
// A token is never taken for a key, whatever its bytes are.
func (ev Evidence) Shown() Evidence { return Evidence{Token: ev.Token, Key: ev.Key, PSK: ev.PSK} }

// With is the same evidence with another token, for a request that brings one of its own.
func (ev Evidence) With(token string) Evidence {
	ev.Token = token
	return ev
}

// KeyOf is the Evidence.Key of a certificate whose private key its holder has proven to have. A certificate with a key of
// another kind than Ed25519 proves nothing here, so that who shows one is not worse off than who shows none.
func KeyOf(cert *x509.Certificate) string {
	key, _ := cert.PublicKey.(ed25519.PublicKey)
	return string(key)
}

// PeerKey is the Evidence.Key of a TLS connection whose handshake is done; state is nil for one without TLS. TLS proves
// possession of the certificate's key (RFC 8446 clause 4.4.3), in a resumed session that of the first handshake.
func PeerKey(state *tls.ConnectionState) string {
	if state == nil || len(state.PeerCertificates) == 0 {
		return ""
	}
	return KeyOf(state.PeerCertificates[0])
}

// CrossSite says whether a request was made by a browser for a page of another site than host, the request's own Host.
// Browsers show certificates by themselves, whoever wrote the page that makes them send a request; so what such a
// request proves says nothing about who wants it. header is an HTTP header in canonical form.
func CrossSite(header map[string][]string, host string) bool {
	if site := header["Sec-Fetch-Site"]; len(site) > 0 {
		return len(site) > 1 || site[0] != "same-origin" && site[0] != "none"
	}
	for _, origin := range header["Origin"] {
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, host) || host == "" {
			return true
		}
	}
	return false
}
