package node

import (
	"net/http"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/proof"
)

// serveQuarantines lists who is in quarantine, to operators, of their organisation: an array of ledger.Quarantine.
func (n *Node) serveQuarantines(w http.ResponseWriter, r *http.Request) {
	if c := n.asOperator(w, r); c != nil {
		writeJSON(w, n.quarantinesFor(c))
	}
}

// quarantinesFor returns who is in quarantine of those that the holder of a credential may act on.
func (n *Node) quarantinesFor(c *identity.Credential) []*ledger.Quarantine {
	all := []*ledger.Quarantine{}
	view := n.app.View()
	defer view.Close()
	for _, q := range n.app.Quarantines() {
		if organisation, err := identity.OrganisationOf(view, q.Originator); err == nil && c.MayActFor(organisation) {
			all = append(all, q)
		}
	}
	return all
}

// serveQuarantine shuts an originator out: a ledger.QuarantineRequest.
func (n *Node) serveQuarantine(w http.ResponseWriter, r *http.Request) {
	var req ledger.QuarantineRequest
	if n.operator(w, r) && decodeBody(w, r, &req) && n.own(w, r, proof.OpQuarantine, req) {
		w.WriteHeader(http.StatusNoContent)
	}
}

// serveRelease ends a quarantine: ?originator=NAME, with &reason=TEXT if there is one to tell. An originator's name may have
// slashes, so that it is no part of the path.
func (n *Node) serveRelease(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	req := ledger.QuarantineRequest{Originator: q.Get("originator"), Reason: q.Get("reason")}
	if n.operator(w, r) && n.own(w, r, proof.OpRelease, req) {
		w.WriteHeader(http.StatusNoContent)
	}
}
