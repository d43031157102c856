package node

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
)

// api asks for one of the node's own pages with a token.
func api(t testing.TB, n *Node, method, path, token string, body any) (int, string) {
	t.Helper()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		must(t, err)
		r = strings.NewReader(string(b))
	}
	req, err := http.NewRequest(method, "http://"+n.Addr()+path, r)
	must(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(b)
}

// TestOrganisations: devices and operators of one organisation see and do nothing of another's without a policy that
// says so, neither of resources nor of who there is.
func TestOrganisations(t *testing.T) {
	dir := initNode(t)
	n := startNode(t, dir)
	defer stopNode(t, n)
	operator := token(t, dir)
	tokens := make(map[string]string)
	for _, r := range []EnrolRequest{
		{Originator: "CopA", Role: "operator", Organisation: "acme"}, {Originator: "CopZ", Role: "operator", Organisation: "zeta"},
		{Originator: "Ca", Organisation: "acme"}, {Originator: "Cz", Organisation: "zeta"},
	} {
		status, body := api(t, n, "POST", "/-/credentials", operator, r)
		var e Enrolled
		if status != 200 || json.Unmarshal([]byte(body), &e) != nil || e.Organisation != r.Organisation {
			t.Fatal(status, body)
		}
		tokens[r.Originator] = e.Token
	}
	as := func(who string) *client.Client { return client.New("http://"+n.Addr(), who, tokens[who], 1) }
	a := as("Ca")
	_, err := a.Create(t.Context(), "tally", onem2m.TypeAE, json.RawMessage(`{"m2m:ae":{"rn":"a","api":"Nx","rr":false,"srv":["4"]}}`))
	must(t, err)
	_, err = a.Create(t.Context(), "tally/a", onem2m.TypeContainer, json.RawMessage(`{"m2m:cnt":{"rn":"c"}}`))
	must(t, err)
	_, err = a.Create(t.Context(), "tally/a/c", onem2m.TypeContentInstance, json.RawMessage(`{"m2m:cin":{"con":"private"}}`))
	must(t, err)
	index := n.App().Head().LogSize - 1
	for _, who := range []string{"Cz", "CopZ", "CopA"} { // an operator enrols; what is in resources is for whom policies name
		for _, to := range []string{"tally/a", "tally/a/c", "tally/a/c/la", "tally", "tally?fu=1", "tally?rcn=6"} {
			if b, err := as(who).Retrieve(t.Context(), to); err == nil && (to != "tally?fu=1" || strings.Contains(string(b), "tally/a")) {
				t.Errorf("%s retrieves %s: %s", who, to, b)
			}
		}
	}
	page := func(who, query string) (names []string) {
		status, body := api(t, n, "GET", "/-/devices"+query, tokens[who], nil)
		if who == "" {
			status, body = api(t, n, "GET", "/-/devices"+query, operator, nil)
		}
		var p RegistryPage
		if status != 200 || json.Unmarshal([]byte(body), &p) != nil {
			return []string{fmt.Sprint(status)}
		}
		for _, d := range p.Devices {
			names = append(names, d.Originator)
		}
		if p.Next != "" {
			names = append(names, "next "+p.Next)
		}
		return names
	}
	for _, c := range []struct{ who, query, want string }{
		{"CopA", "", "[Ca CopA]"}, {"CopZ", "", "[CopZ Cz]"}, {"CopZ", "?organisation=zeta", "[CopZ Cz]"}, {"CopZ", "?organisation=acme", "[403]"},
		{"CopZ", "?organisation=", "[403]"}, {"CopZ", "?originator=Ca", "[404]"}, {"CopZ", "?originator=Cnone", "[404]"}, {"CopA", "?originator=Ca", "[Ca]"},
		{"Ca", "", "[403]"}, {"", "", "[Coperator node:node1 Ca CopA CopZ Cz]"}, {"", "?organisation=acme", "[Ca CopA]"},
		{"", "?limit=2", "[Coperator node:node1 next /node:node1]"}, {"", "?limit=2&after=/node:node1", "[Ca CopA next acme/CopA]"},
		{"", "?limit=2&after=acme/CopA", "[CopZ Cz]"}, {"CopZ", "?limit=1", "[CopZ next zeta/CopZ]"}, {"CopZ", "?limit=1&after=acme/A", "[CopZ next zeta/CopZ]"},
		{"", "?limit=0", "[400]"}, {"", "?limit=1001", "[400]"}, {"", "?organisation=none", "[]"},
	} {
		if got := fmt.Sprint(page(c.who, c.query)); got != c.want {
			t.Errorf("%s asks for devices%s: %s, want %s", c.who, c.query, got, c.want)
		}
	}
	for _, c := range []struct {
		who, method, path string
		body              any
		want              int
	}{
		{"CopA", "GET", fmt.Sprintf("/-/proof?index=%d", index), nil, 200},
		{"CopZ", "GET", fmt.Sprintf("/-/proof?index=%d", index), nil, 403},
		{"CopZ", "GET", "/-/proof?index=0", nil, 403},
		{"CopZ", "GET", "/-/tile/entries/000.p/1", nil, 403},
		{"CopZ", "POST", "/-/fsck", nil, 403},
		{"CopZ", "POST", "/-/erase", map[string]uint64{"index": index}, 403},
		{"CopZ", "POST", "/-/quarantine", map[string]string{"originator": "Ca", "reason": "rivalry"}, 403},
		{"CopA", "POST", "/-/quarantine", map[string]string{"originator": "Ca", "reason": "repair"}, 204},
		{"CopZ", "DELETE", "/-/quarantine?originator=Ca", nil, 403},
		{"CopA", "DELETE", "/-/quarantine?originator=Ca", nil, 204},
		{"CopA", "POST", "/-/erase", map[string]uint64{"index": index}, 204},
		{"CopA", "POST", "/-/invitations", InviteRequest{Originator: "Cnew", Organisation: "zeta"}, 403},
		{"CopA", "POST", "/-/invitations", InviteRequest{Originator: "Cz"}, 409},
		{"CopA", "POST", "/-/invitations", InviteRequest{Originator: "Cnew", Seconds: 31 * 86400}, 400},
		{"Ca", "POST", "/-/invitations", InviteRequest{Originator: "Cnew"}, 403},
		{"Ca", "GET", "/-/devices", nil, 403},
		{"", "GET", "/-/devices", nil, 401},
		{"", "POST", "/-/enrol", RedeemRequest{Code: "no code"}, 403},
		{"", "POST", "/-/enrol", RedeemRequest{Code: identity.NewCode()}, 403},
		{"", "POST", "/-/enrol", map[string]string{"kode": ""}, 400},
		{"", "GET", "/-/enrol", nil, 405},
	} {
		if status, body := api(t, n, c.method, c.path, tokens[c.who], c.body); status != c.want {
			t.Errorf("%s %s as %q: %d %s, want %d", c.method, c.path, c.who, status, body, c.want)
		}
	}
	_, body := api(t, n, "GET", "/-/status", tokens["CopZ"], nil)
	if strings.Contains(body, "freeBytes") || strings.Contains(body, "listens") || !strings.Contains(body, "height") {
		t.Errorf("the status for an operator of an organisation: %s", body)
	}
}

// TestInvitation: a code is traded for a credential of the organisation and role that the operator chose, at any time
// until it ends, for a key or a token, once.
func TestInvitation(t *testing.T) {
	dir := initNode(t)
	n := startNode(t, dir)
	defer stopNode(t, n)
	invite := func(r InviteRequest) (v Invited) {
		t.Helper()
		status, body := api(t, n, "POST", "/-/invitations", token(t, dir), r)
		if status != 200 || json.Unmarshal([]byte(body), &v) != nil {
			t.Fatal(status, body)
		}
		return v
	}
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	v := invite(InviteRequest{Originator: "Cnew", Role: "gateway", Organisation: "acme", NotAfter: end})
	if v.URL != "http://"+n.Addr() || v.Pin != "" || time.Until(v.Until) > defaultInvitation {
		t.Errorf("%+v", v)
	}
	for _, bad := range []string{"00", strings.Repeat("00", 32)} {
		if status, body := api(t, n, "POST", "/-/enrol", "", RedeemRequest{Code: v.Code, PublicKey: bad}); status != 400 {
			t.Errorf("the key %s: %d %s", bad, status, body)
		}
	}
	public, _, err := ed25519.GenerateKey(nil)
	must(t, err)
	in := client.Invitation{URL: v.URL, Code: strings.ToLower(v.Code)}
	e, err := in.Enrol(t.Context(), public)
	must(t, err)
	if e.Originator != "Cnew" || e.Role != "gateway" || e.Organisation != "acme" || e.Token != "" || !e.NotAfter.Equal(end) {
		t.Errorf("%+v", e)
	}
	view := n.App().View()
	c, err := identity.Lookup(view, identity.KeyIDOf([32]byte(public)))
	view.Close()
	if err != nil || c == nil || hex.EncodeToString(c.Value[:]) != hex.EncodeToString(public) || c.NotAfter != end.UnixMicro() || c.Organisation != "acme" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := in.Enrol(t.Context(), nil); err == nil {
		t.Error("a code counts twice")
	}
	v = invite(InviteRequest{Originator: "Cnew", Organisation: "acme"})
	if status, body := api(t, n, "DELETE", "/-/credentials/"+v.Key, token(t, dir), nil); status != 204 {
		t.Error(status, body)
	}
	in.Code = v.Code
	if _, err := in.Enrol(t.Context(), nil); err == nil {
		t.Error("a code that was taken back counts")
	}
	v = invite(InviteRequest{Originator: "Cother"})
	in.Code = v.Code
	e, err = in.Enrol(t.Context(), nil)
	must(t, err)
	if status, body := api(t, n, "GET", "/-/status", e.Token, nil); status != 200 {
		t.Errorf("with the token: %d %s", status, body)
	}
}

// TestInvitationOverTLS: the invitation names the network's authority, so that a device that knows nothing else sends its
// code to this network's nodes only; and the certificate that it gets proves its key there.
func TestInvitationOverTLS(t *testing.T) {
	dir := initNode(t)
	path := filepath.Join(dir, configFile)
	var c Config
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, json.Unmarshal(b, &c))
	c.HTTPS = "127.0.0.1:0"
	b, err = json.Marshal(c)
	must(t, err)
	must(t, os.WriteFile(path, b, 0o644))
	n := startNode(t, dir)
	defer stopNode(t, n)
	status, body := api(t, n, "POST", "/-/invitations", token(t, dir), InviteRequest{Originator: "Csecure"})
	var v Invited
	if status != 200 || json.Unmarshal([]byte(body), &v) != nil || v.Pin == "" || v.URL != "https://"+n.secure.Addr().String() {
		t.Fatal(status, body)
	}
	in, err := client.ParseInvitation(v.URL + "/-/enrol#" + v.Code + "." + v.Pin)
	must(t, err)
	in.Pin[0] ^= 1
	if _, err := in.Enrol(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "not the one") {
		t.Errorf("another network's pin: %v", err)
	}
	in.Pin[0] ^= 1
	public, key, err := ed25519.GenerateKey(nil)
	must(t, err)
	e, err := in.Enrol(t.Context(), public)
	must(t, err)
	block, _ := pem.Decode([]byte(e.Certificate))
	pool := x509.NewCertPool()
	if block == nil || !pool.AppendCertsFromPEM([]byte(e.Authorities)) {
		t.Fatalf("%+v", e)
	}
	cl := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: pool, Certificates: []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: key}},
	}}}
	defer cl.CloseIdleConnections()
	resp, err := cl.Get(v.URL + "/-/status")
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("with the certificate: %s", resp.Status)
	}
}

// TestEnding: credentials that end within a month are told, by name as far as there is room; others are not.
func TestEnding(t *testing.T) {
	dir := initNode(t)
	n := startNode(t, dir)
	defer stopNode(t, n)
	now := time.Now().UTC()
	for i, end := range []time.Duration{0, 10 * 24 * time.Hour, 29 * 24 * time.Hour, 40 * 24 * time.Hour} {
		r := EnrolRequest{Originator: fmt.Sprint("Cend", i)}
		if end > 0 {
			r.NotAfter = now.Add(end)
		}
		if status, body := api(t, n, "POST", "/-/credentials", token(t, dir), r); status != 200 {
			t.Fatal(status, body)
		}
	}
	names, count, err := n.ending(t.Context(), now)
	if err != nil || count != 2 || len(names) != 2 || !strings.HasPrefix(names[0], "Cend1 (") || !strings.HasSuffix(names[0], now.AddDate(0, 0, 10).Format(time.DateOnly)) {
		t.Errorf("%q, %d, %v", names, count, err)
	}
	if _, count, err := n.ending(t.Context(), now.AddDate(0, 0, 11)); err != nil || count != 2 { // one is over, one more is near
		t.Errorf("%d, %v", count, err)
	}
}
