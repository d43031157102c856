package ledger

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// TestWhoSpeaksForWhom: what validators make of requests from other CSEs, and of those of the CSE itself, whatever the
// node that accepted them thought of them.
func TestWhoSpeaksForWhom(t *testing.T) {
	a, h, do := executing(t, memFS(t))
	defer a.Close()
	create := func(from string, key identity.KeyID, typ onem2m.ResourceType, content string) Item {
		return Item{
			Operation: proof.Operation(onem2m.Create), From: from, Key: key, To: "tally", Type: typ, Content: []byte(content),
			ResultContent: onem2m.ResultContentDefault, Release: "4",
		}
	}
	remote := func(from string, key identity.KeyID, id string) Item {
		return create(from, key, onem2m.TypeRemoteCSE, fmt.Sprintf(`{"m2m:csr":{"csi":"%s","cb":"%[1]s/cse","rr":true,"srv":["4"],"dcse":["/asn"]}}`, id))
	}
	const cnt = `{"m2m:cnt":{}}`
	nobody, mn := identity.KeyID{}, testKeyID("mn")
	remove := remote("/tally", nobody, "/in")
	remove.Operation, remove.To, remove.Content, remove.Type = proof.Operation(onem2m.Delete), "tally/in", nil, 0
	for _, c := range []struct {
		what   string
		item   Item
		status onem2m.StatusCode
		says   string
	}{
		{"enrol a CSE", h.enrol("/mn", "mn"), onem2m.StatusCreated, ""},
		{"enrol this CSE", h.enrol("/tally", "own"), onem2m.StatusBadRequest, "needs no credential"},
		{"enrol no CSE", h.enrol("/a/b", "ab"), onem2m.StatusBadRequest, "neither"},
		{"before it is registered", create("/asn/Ca", mn, onem2m.TypeContainer, cnt), onem2m.StatusOriginatorHasNoPrivilege, "credential"},
		{"register", remote("/mn", mn, "/mn"), onem2m.StatusCreated, ""},
		{"an AE of it", create("/mn/Ca", mn, onem2m.TypeContainer, cnt), onem2m.StatusOriginatorHasNoPrivilege, "no privilege"},
		{"an AE behind it", create("/asn/Ca", mn, onem2m.TypeContainer, cnt), onem2m.StatusOriginatorHasNoPrivilege, "no privilege"},
		{"an AE elsewhere", create("/other/Ca", mn, onem2m.TypeContainer, cnt), onem2m.StatusOriginatorHasNoPrivilege, "credential"},
		{"one of ours", create("Coperator", mn, onem2m.TypeContainer, cnt), onem2m.StatusOriginatorHasNoPrivilege, "credential"},
		{"this CSE by its token", create("/tally", mn, onem2m.TypeContainer, cnt), onem2m.StatusOriginatorHasNoPrivilege, "credential"},
		{"this CSE by an operator's token", remote("/tally", testKeyID("Coperator"), "/in"), onem2m.StatusOriginatorHasNoPrivilege, "credential"},
		{"this CSE's registrar", remote("/tally", nobody, "/in"), onem2m.StatusCreated, ""},
		{"this CSE, anything else", create("/tally", nobody, onem2m.TypeContainer, cnt), onem2m.StatusOriginatorHasNoPrivilege, "no privilege"},
		{"this CSE, DELETE", remove, onem2m.StatusOriginatorHasNoPrivilege, "credential"},
		{"no token", create("Coperator", nobody, onem2m.TypeContainer, cnt), onem2m.StatusOriginatorHasNoPrivilege, "credential"},
		{"reset of an ordinary network", h.own(proof.OpReset, OwnRequest{}), onem2m.StatusOriginatorHasNoPrivilege, "lab"},
	} {
		rsp := do(c.item)
		if len(rsp) != 1 || rsp[0].Status != c.status || !strings.Contains(string(rsp[0].Content), c.says) {
			t.Errorf("%s: %d %s, want %d with %q", c.what, rsp[0].Status, rsp[0].Content, c.status, c.says)
		}
	}
}
