package node

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// ProposalRequest proposes an administrative act that another operator has to approve: POST /-/proposals.
type ProposalRequest struct {
	// Operation is enrol, revoke, erase, release, create, update or delete.
	Operation string `json:"operation"`
	// To is the address of a create, update or delete, and Type the resource type of a create.
	To   string              `json:"to,omitempty"`
	Type onem2m.ResourceType `json:"type,omitempty"`
	// Content is that of a create or update; of the others what POST /-/credentials, POST /-/erase and the ledger take: an
	// EnrolRequest, {"key":ID}, {"index":N}, {"originator":NAME,"reason":TEXT}.
	Content json.RawMessage `json:"content,omitempty"`
}

// Proposed is the answer to a ProposalRequest. Enrolled is set for an enrolment, whose token is shown here and never
// again; it counts once the proposal is approved.
type Proposed struct {
	Proposal uint64    `json:"proposal"`
	Enrolled *Enrolled `json:"enrolled,omitempty"`
}

var proposable = map[string]proof.Operation{
	"enrol": proof.OpEnrol, "revoke": proof.OpRevoke, "erase": proof.OpErase, "release": proof.OpRelease,
	"create": proof.Operation(onem2m.Create), "update": proof.Operation(onem2m.Update), "delete": proof.Operation(onem2m.Delete),
}

// servePropose proposes an act.
func (n *Node) servePropose(w http.ResponseWriter, r *http.Request) {
	var req ProposalRequest
	c := n.asOperator(w, r)
	if c == nil || !decodeBodyOf(w, r, &req, 2*ledger.MaxAct) {
		return
	}
	op, ok := proposable[req.Operation]
	if !ok {
		refuse(w, http.StatusBadRequest, "operation is none of enrol, revoke, erase, release, create, update and delete")
		return
	}
	var out Proposed
	publicKey := "" // of an enrolment
	act := ledger.Act{Operation: op, To: req.To, Type: req.Type, Content: req.Content}
	if op == proof.OpEnrol {
		var enrol EnrolRequest
		if err := json.Unmarshal(req.Content, &enrol); err != nil {
			refuse(w, http.StatusBadRequest, "the content of an enrolment: "+err.Error())
			return
		}
		order, enrolled, err := prepareEnrol(c, enrol)
		if err == nil {
			act.Content, err = json.Marshal(order)
		}
		if err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		out.Enrolled, publicKey = &enrolled, enrol.PublicKey
	}
	resp := n.order(w, r, proof.OpPropose, act)
	if resp == nil {
		return
	}
	if err := json.Unmarshal(resp.Content, &out); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	if out.Enrolled != nil {
		n.certify(publicKey, out.Enrolled)
	}
	writeJSON(w, out)
}

// serveProposals lists the proposals that stand, to operators, of their organisation: an array of ledger.Proposal.
func (n *Node) serveProposals(w http.ResponseWriter, r *http.Request) {
	c := n.asOperator(w, r)
	if c == nil {
		return
	}
	all, err := n.app.Proposals()
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	writeJSON(w, proposalsFor(c, all))
}

func proposalsFor(c *identity.Credential, all []*ledger.Proposal) []*ledger.Proposal {
	mine := []*ledger.Proposal{}
	for _, p := range all {
		if c.MayActFor(p.Organisation) {
			mine = append(mine, p)
		}
	}
	return mine
}

// serveApprove approves a proposal, which executes it.
func (n *Node) serveApprove(w http.ResponseWriter, r *http.Request) {
	if !n.operator(w, r) {
		return
	}
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 63)
	if err != nil {
		refuse(w, http.StatusBadRequest, "the proposal's ID is not a number: "+strings.ToValidUTF8(r.PathValue("id"), "?"))
		return
	}
	if n.own(w, r, proof.OpApprove, ledger.Approval{Proposal: id}) {
		w.WriteHeader(http.StatusNoContent)
	}
}
