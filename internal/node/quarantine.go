package node

import (
	"net/http"

	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/proof"
)

// serveQuarantines lists who is in quarantine, to operators: an array of ledger.Quarantine.
func (n *Node) serveQuarantines(w http.ResponseWriter, r *http.Request) {
	if !n.operator(w, r) {
		return
	}
	all := n.app.Quarantines()
	if all == nil {
		all = []*ledger.Quarantine{}
	}
	writeJSON(w, all)
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
