package client

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Invitation is where a device can enrol, and by which one-time code: what the QR code of tally device enrol holds. Its
// text is a URL whose fragment has the secrets, so that no browser sends them anywhere.
type Invitation struct {
	// URL names protocol, machine and port of a node.
	URL string
	// Code is the one-time code. Whoever has it can enrol, once.
	Code string
	// Pin is the SHA-256 of a certificate that the node shows, or that signed it: the code is sent to nobody else. Empty
	// when the machine's own authorities decide, or when URL is no HTTPS.
	Pin []byte
}

const enrolPath = "/-/enrol"

// String is the inverse of ParseInvitation.
func (v *Invitation) String() string {
	s := strings.TrimSuffix(v.URL, "/") + enrolPath + "#" + v.Code
	if len(v.Pin) > 0 {
		s += "." + base64.RawURLEncoding.EncodeToString(v.Pin)
	}
	return s
}

// ParseInvitation reads the URL that an operator got for a device. Errors do not repeat it.
func ParseInvitation(s string) (*Invitation, error) {
	bad := errors.New("an invitation is a URL such as https://HOST:PORT/-/enrol#CODE, as tally device enrol prints it")
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != enrolPath || u.User != nil || u.RawQuery != "" {
		return nil, bad
	}
	v := &Invitation{URL: u.Scheme + "://" + u.Host}
	code, pin, pinned := strings.Cut(u.Fragment, ".")
	if code == "" {
		return nil, bad
	}
	v.Code = code
	if pinned {
		if v.Pin, err = base64.RawURLEncoding.DecodeString(pin); err != nil || len(v.Pin) != sha256.Size || u.Scheme != "https" {
			return nil, bad
		}
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("the invitation is for %s over plain HTTP, where everybody on the way can take code and credential: ask for one with https", u.Host)
	}
	return v, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Enrolment is what a device got for its code.
type Enrolment struct {
	Originator   string    `json:"originator"` // whom the credential speaks for: its AE-ID
	Role         string    `json:"role"`
	Organisation string    `json:"organisation,omitempty"`
	Key          string    `json:"key"`             // the credential's ID on the ledger
	Token        string    `json:"token,omitempty"` // unless a key was enrolled
	NotAfter     time.Time `json:"notAfter,omitzero"`
	// Certificate is for the enrolled key, and Authorities are those whose certificates of nodes are to be believed, both
	// PEM; "" when the node has no authority of its own.
	Certificate string `json:"certificate,omitempty"`
	Authorities string `json:"authorities,omitempty"`
}

// Enrol trades the code for a credential: of the key whose public half is given, or with nil a token. The code counts
// once, also when the answer is lost.
func (v *Invitation) Enrol(ctx context.Context, public ed25519.PublicKey) (*Enrolment, error) {
	body, err := json.Marshal(struct {
		Code      string `json:"code"`
		PublicKey string `json:"publicKey,omitempty"`
	}{v.Code, hex.EncodeToString(public)})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.URL+enrolPath, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	t := http.DefaultTransport.(*http.Transport).Clone()
	if len(v.Pin) > 0 {
		t.TLSClientConfig = v.tls()
	}
	defer t.CloseIdleConnections()
	c := http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &StatusError{0, resp.StatusCode, strings.TrimSpace(string(b))}
	}
	out := new(Enrolment)
	if err := json.Unmarshal(b, out); err != nil || out.Originator == "" {
		return nil, errors.New("the node's answer to the enrolment cannot be read")
	}
	return out, nil
}

// tls trusts who shows the pinned certificate, or one that it signed for the host; nobody else.
func (v *Invitation) tls() *tls.Config {
	host := ""
	if u, err := url.Parse(v.URL); err == nil {
		host = u.Hostname() // a connection's own ServerName is empty when it is an IP address, which would match everything
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, // VerifyConnection is stricter
		VerifyConnection: func(cs tls.ConnectionState) error {
			if host == "" {
				return errors.New("the invitation names no host")
			}
			for i, cert := range cs.PeerCertificates {
				if sum := sha256.Sum256(cert.Raw); !bytes.Equal(sum[:], v.Pin) {
					continue
				}
				if i == 0 {
					return nil
				}
				roots, between := x509.NewCertPool(), x509.NewCertPool()
				roots.AddCert(cert)
				for _, c := range cs.PeerCertificates[1:i] {
					between.AddCert(c)
				}
				_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: host})
				return err
			}
			return errors.New("the node is not the one that the invitation is from: its certificate is another; the code was not sent")
		},
	}
}
