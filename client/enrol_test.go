package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestParseInvitation: an invitation is read back as it was written, and nothing but one is read.
func TestParseInvitation(t *testing.T) {
	pin := sha256.Sum256(nil)
	for _, want := range []Invitation{
		{URL: "https://node.example:7443", Code: "K3F9Q-00000-00000-00000", Pin: pin[:]}, {URL: "http://127.0.0.1:7380", Code: "A"},
		{URL: "http://[::1]:7380", Code: "A"}, {URL: "http://localhost", Code: "A"},
	} {
		got, err := ParseInvitation(" " + want.String() + "\n")
		if err != nil || got.URL != want.URL || got.Code != want.Code || string(got.Pin) != string(want.Pin) {
			t.Errorf("%s: %+v, %v", &want, got, err)
		}
	}
	for _, bad := range []string{
		"", "K3F9Q-00000-00000-00000", "https://node.example", "https://node.example/-/enrol", "https://node.example/-/enrol#", "ftp://node.example/-/enrol#SECRET",
		"https://node.example/-/enrol?x=1#SECRET", "https://node.example/#SECRET", "https://user@node.example/-/enrol#SECRET", "https://node.example/-/enrol#SECRET.short",
		"http://127.0.0.1/-/enrol#SECRET." + strings.Repeat("A", 43), "http://node.example/-/enrol#SECRET", "http://10.0.0.1/-/enrol#SECRET",
	} {
		if v, err := ParseInvitation(bad); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: %+v, %v", bad, v, err)
		}
	}
}

// TestPinned: the code goes to the node whose certificate the invitation names, and to nobody else.
func TestPinned(t *testing.T) {
	asked := 0
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		var body struct{ Code string }
		if json.NewDecoder(r.Body).Decode(&body) != nil || body.Code != "K3F9Q" || r.URL.Path != enrolPath {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		w.Write([]byte(`{"originator":"Cx","role":"device","key":"00","token":"t"}`))
	}))
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	defer srv.Close()
	pin := sha256.Sum256(srv.Certificate().Raw)
	v := Invitation{URL: srv.URL, Code: "K3F9Q", Pin: pin[:]}
	if e, err := v.Enrol(t.Context(), nil); err != nil || e.Originator != "Cx" || e.Token != "t" || asked != 1 {
		t.Errorf("%+v, %v", e, err)
	}
	v.Code = "wrong"
	if _, err := v.Enrol(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "403") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong code: %v", err)
	}
	pin[0] ^= 1
	for _, other := range []Invitation{{URL: srv.URL, Code: "K3F9Q", Pin: pin[:]}, {URL: srv.URL, Code: "K3F9Q"}} {
		if _, err := other.Enrol(t.Context(), nil); err == nil || asked != 2 {
			t.Errorf("the code went to somebody else (%v), %d requests", err, asked)
		}
	}
}

// TestPinnedAuthority: with the certificate of an authority pinned, as that of a public one may be, the code goes to the host
// that the invitation names and not to others with a certificate of the same authority; also when the host is an address,
// for which TLS sends no name.
func TestPinnedAuthority(t *testing.T) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caRaw, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		names []string
		ips   []net.IP
		want  bool
	}{{ips: []net.IP{net.IPv4(127, 0, 0, 1)}, want: true}, {names: []string{"other.example"}}, {ips: []net.IP{net.IPv4(127, 0, 0, 2)}}} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), DNSNames: c.names, IPAddresses: c.ips,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		raw, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
		if err != nil {
			t.Fatal(err)
		}
		asked := false
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = true
			w.Write([]byte(`{"originator":"Cx","role":"device","key":"00","token":"t"}`))
		}))
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw, caRaw}, PrivateKey: key}}}
		srv.StartTLS()
		pin := sha256.Sum256(caRaw)
		v := Invitation{URL: srv.URL, Code: "K3F9Q", Pin: pin[:]}
		if _, err := v.Enrol(t.Context(), nil); asked != c.want || (err == nil) != c.want {
			t.Errorf("%v %v: the code was sent: %v, %v", c.names, c.ips, asked, err)
		}
		srv.Close()
	}
}

// FuzzParseInvitation: whatever is taken for an invitation writes as one that reads the same.
func FuzzParseInvitation(f *testing.F) {
	f.Add("https://node.example:7443/-/enrol#K3F9Q-00000.47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseInvitation(s)
		if err != nil {
			return
		}
		again, err := ParseInvitation(v.String())
		if err != nil || again.URL != v.URL || again.Code != v.Code || string(again.Pin) != string(v.Pin) {
			t.Fatalf("%q: %+v reads as %+v, %v", s, v, again, err)
		}
	})
}
