package ledger

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// Bounds of proposals.
const (
	MaxAct                = 64 << 10           // bytes of an act
	MaxProposal           = 7 * 24 * time.Hour // that a proposal stands
	maxProposals          = 256                // that stand at a time
	maxOrganisationsShare = 64                 // of them, by operators of one organisation
	maxOperatorsShare     = 16                 // of these, by one operator: else one could keep the others from proposing
)

// Act is an administrative act that one operator proposes and another one approves: the payload of an entry of operation
// 42.
type Act struct {
	Operation proof.Operation     `json:"operation"`         // CREATE, UPDATE, DELETE, or one of the ledger's own
	To        string              `json:"to,omitempty"`      // of a oneM2M request
	Type      onem2m.ResourceType `json:"type,omitempty"`    // of a CREATE
	Content   json.RawMessage     `json:"content,omitempty"` // of the request
}

// Proposal is an act that waits for its approval.
type Proposal struct {
	ID           uint64 `json:"id"` // log index of its entry
	Act          Act    `json:"act"`
	By           string `json:"by"`  // the operator who proposed it
	Key          string `json:"key"` // his credential's ID in hex
	Organisation string `json:"organisation,omitempty"`
	Since        int64  `json:"since"` // Unix microseconds
	Until        int64  `json:"until"` // it can be approved until then
}

// Approval is the content of OpApprove, and with all its fields the payload of its entry.
type Approval struct {
	Proposal uint64 `json:"proposal"`
	By       string `json:"by,omitempty"`  // the operator who proposed it; the one who approved it is the entry's originator
	Key      string `json:"key,omitempty"` // the proposer's credential
}

const (
	proposalKey  = "proposal/" // by ID in decimal: a Proposal
	proposalsKey = "proposals" // those that stand: an array of standingProposal
)

// standingProposal is what has to be known of all proposals to bound them.
type standingProposal struct {
	ID           uint64 `json:"id"`
	Organisation string `json:"organisation,omitempty"`
	By           string `json:"by"` // whose credential it was proposed with
	Until        int64  `json:"until"`
}

// decodeAct reads an act that may be proposed.
func decodeAct(content []byte) (*Act, error) {
	bad := func(format string, args ...any) error {
		return &refusal{onem2m.StatusBadRequest, fmt.Sprintf(format, args...)}
	}
	if len(content) > MaxAct {
		return nil, bad("an act of %d bytes, the limit is %d", len(content), MaxAct)
	}
	act := new(Act)
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(act); err != nil {
		return nil, bad("the act is no JSON object of the expected form: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, bad("there is more after the end of the act")
	}
	switch act.Operation {
	case proof.OpEnrol, proof.OpInvite, proof.OpRevoke, proof.OpErase, proof.OpRelease:
		if act.To != "" || act.Type != 0 {
			return nil, bad("%s has no address and no resource type", act.Operation)
		}
		if err := act.plain(); err != nil {
			return nil, bad("the act's content is no JSON object of the expected form: %v", err)
		}
	case proof.Operation(onem2m.Create), proof.Operation(onem2m.Update), proof.Operation(onem2m.Delete):
		if act.To == "" || strings.Contains(act.To, "/fopt") {
			return nil, bad("a request to propose needs the address (to) of one resource, and no fanOutPoint")
		}
		it := Item{To: act.To}
		if err := it.Check(); err != nil {
			return nil, bad("the act has %v", err)
		}
	default:
		return nil, bad("%s is nothing that can be proposed", act.Operation)
	}
	return act, nil
}

// plain writes the content of one of the ledger's own operations as it is understood, so that whoever is to approve it sees
// what will be done: of a field that is there twice, or in other letters, one counts.
func (act *Act) plain() error {
	var r any = new(OwnRequest)
	if act.Operation == proof.OpRelease {
		r = new(QuarantineRequest)
	}
	d := json.NewDecoder(bytes.NewReader(act.Content))
	d.DisallowUnknownFields()
	err := d.Decode(r)
	if err == nil {
		act.Content, err = json.Marshal(r)
	}
	return err
}

// guarded says what about one of the ledger's own operations takes two operators, "" when nothing does.
func (a *App) guarded(r cse.Reader, it *Item) (string, error) {
	switch it.Operation {
	case proof.OpErase:
		return "erasing a payload", nil
	case proof.OpRelease:
		return "a release from quarantine", nil
	case proof.OpEnrol, proof.OpInvite, proof.OpRevoke:
	default:
		return "", nil
	}
	var own OwnRequest
	if json.Unmarshal(it.Content, &own) != nil {
		return "", nil // refused for that
	}
	if it.Operation != proof.OpRevoke {
		switch {
		case own.Code != "" && it.Operation == proof.OpEnrol: // the invitation was approved
		case own.Role != "" && own.Role != identity.Device.String():
			return "a credential of the role " + own.Role, nil
		case strings.HasPrefix(own.Originator, "/"):
			return "a credential for another CSE", nil
		}
		return "", nil
	}
	h, err := hex.DecodeString(own.Key)
	if err != nil || len(h) != len(identity.KeyID{}) {
		return "", nil
	}
	c, err := identity.Lookup(r, identity.KeyID(h))
	if err != nil || c == nil || c.Role != identity.Operator {
		return "", err
	}
	return "revoking an operator", nil
}

// needsApproval refuses one of the ledger's own operations that takes two operators, nil when it does not. Those of oneM2M
// are refused by the core.
func (a *App) needsApproval(b *building, it *Item) (*onem2m.Response, error) {
	if a.genesis.CSE.Approvals < 2 || b.approved {
		return nil, nil
	}
	what, err := a.guarded(b.state, it)
	if err != nil || what == "" {
		return nil, err
	}
	refused := denied("%s takes two operators in this network: propose it (tally propose), and have another operator approve it (tally approve)", what)
	return &refused, nil
}

// standingProposals lists the proposals that can be approved at a time.
func standingProposals(r cse.Reader, now int64) (standing, ended []standingProposal, err error) {
	v, err := r.Aux(proposalsKey)
	if err != nil || v == nil {
		return nil, nil, err
	}
	var all []standingProposal
	if err := json.Unmarshal(v, &all); err != nil {
		return nil, nil, fmt.Errorf("read the list of proposals: %w", err)
	}
	for _, p := range all {
		if p.Until < now {
			ended = append(ended, p)
		} else {
			standing = append(standing, p)
		}
	}
	return standing, ended, nil
}

func setStanding(st cse.State, standing []standingProposal) error {
	if len(standing) == 0 {
		return st.SetAux(proposalsKey, nil)
	}
	v, err := json.Marshal(standing)
	if err != nil {
		return err
	}
	return st.SetAux(proposalsKey, v)
}

func proposal(r cse.Reader, id uint64) (*Proposal, error) {
	v, err := r.Aux(proposalKey + strconv.FormatUint(id, 10))
	if err != nil || v == nil {
		return nil, err
	}
	p := new(Proposal)
	if err := json.Unmarshal(v, p); err != nil {
		return nil, fmt.Errorf("read proposal %d: %w", id, err)
	}
	return p, nil
}

// Proposals lists the proposals that stand, oldest first.
func (a *App) Proposals() ([]*Proposal, error) {
	view := a.View()
	defer view.Close()
	standing, _, err := standingProposals(view, a.Head().Time)
	if err != nil {
		return nil, err
	}
	var all []*Proposal
	for _, s := range standing {
		p, err := proposal(view, s.ID)
		if err != nil {
			return nil, err
		}
		if p != nil {
			all = append(all, p)
		}
	}
	return all, nil
}

// propose notes an act that another operator has to approve.
func (a *App) propose(b *building, o *own) error {
	if a.genesis.CSE.Approvals < 2 {
		return &refusal{onem2m.StatusOperationNotAllowed, "no act takes two operators in this network: just do it"}
	}
	if o.by != nil && o.by.Role != identity.Operator {
		return &refusal{onem2m.StatusOriginatorHasNoPrivilege, o.From + " is no operator"}
	}
	act, err := decodeAct(o.Content)
	if err != nil {
		return err
	}
	proposer, err := identity.Lookup(b.state, o.auth.Key)
	switch {
	case err != nil:
		return err
	case proposer == nil:
		return &refusal{onem2m.StatusOriginatorHasNoPrivilege, o.From + " has no credential"}
	}
	p := Proposal{
		ID: b.nextIndex(), Act: *act, By: o.From, Key: hex.EncodeToString(o.auth.Key[:]), Organisation: proposer.Organisation,
		Since: b.time, Until: b.time + MaxProposal.Microseconds(),
	}
	standing, ended, err := standingProposals(b.state, b.time)
	if err != nil {
		return err
	}
	share, his := 0, 0
	for _, s := range standing {
		if s.Organisation == p.Organisation {
			share++
		}
		if s.By == proposer.Originator {
			his++
		}
	}
	if his >= maxOperatorsShare {
		return &refusal{onem2m.StatusConflict, fmt.Sprintf("%d proposals of %s stand, the limit: have some approved first, or wait until they end", his, proposer.Originator)}
	}
	if len(standing) >= maxProposals || share >= maxOrganisationsShare {
		return &refusal{onem2m.StatusConflict, fmt.Sprintf("%d proposals stand, %d of them by operators of the same organisation: have some approved first, or wait until they end", len(standing), share)}
	}
	if o.by != nil {
		if err := a.tryAct(b, &p, proposer); err != nil {
			return err
		}
	}
	for _, s := range ended {
		if err := b.state.SetAux(proposalKey+strconv.FormatUint(s.ID, 10), nil); err != nil {
			return err
		}
	}
	if err := setStanding(b.state, append(standing, standingProposal{p.ID, p.Organisation, proposer.Originator, p.Until})); err != nil {
		return err
	}
	v, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := b.state.SetAux(proposalKey+strconv.FormatUint(p.ID, 10), v); err != nil {
		return err
	}
	b.record(proof.Entry{
		Operation: proof.OpPropose, Originator: o.From, Target: a.genesis.CSE.BaseRI,
		Resource: proposalKey + strconv.FormatUint(p.ID, 10), Status: uint32(onem2m.StatusCreated), Auth: o.auth,
	}, o.Content)
	return nil
}

// tryAct refuses a proposal that would be refused if it was approved now. It changes nothing.
func (a *App) tryAct(b *building, p *Proposal, by *identity.Credential) error {
	mark, was := b.state.Mark(), *b
	resp, err := a.doAct(b, p, by)
	if err != nil {
		return err
	}
	b.state.Rollback(mark)
	a.undo(b, &was)
	if !resp.Status.Success() {
		return actRefused(&resp)
	}
	return nil
}

func actRefused(resp *onem2m.Response) error {
	why, _ := onem2m.Unquote(onem2m.Field(resp.Content, "m2m:dbg"))
	return &refusal{resp.Status, "the act is refused: " + why}
}

// doAct executes a proposal on behalf of who made it, with the consent of another operator.
func (a *App) doAct(b *building, p *Proposal, by *identity.Credential) (onem2m.Response, error) {
	id, err := hex.DecodeString(p.Key)
	if err != nil || len(id) != len(identity.KeyID{}) {
		return onem2m.Response{}, fmt.Errorf("proposal %d has the credential %q", p.ID, p.Key)
	}
	it := &Item{
		Operation: p.Act.Operation, From: p.By, To: p.Act.To, Type: p.Act.Type, Content: p.Act.Content, Key: identity.KeyID(id),
		ResultContent: onem2m.ResultContentDefault, Release: defaultRelease,
	}
	auth := proof.Auth{Method: proof.AuthToken, Key: it.Key}
	if by.Kind == identity.Key {
		auth.Method = proof.AuthKey
	}
	b.approved = true
	defer func() { b.approved = false }()
	return a.execute(b, it, by, auth)
}

// approve executes a proposal of another operator.
func (a *App) approve(b *building, o *own) error {
	var r Approval
	if err := json.Unmarshal(o.Content, &r); err != nil {
		return &refusal{onem2m.StatusBadRequest, "the content is no JSON object of the expected form"}
	}
	p, err := proposal(b.state, r.Proposal)
	if err != nil {
		return err
	}
	if p == nil || o.by != nil && p.Until < b.time {
		return &refusal{onem2m.StatusNotFound, fmt.Sprintf("there is no proposal %d: it was approved, has ended, or never was", r.Proposal)}
	}
	var proposer *identity.Credential
	if o.by != nil {
		if proposer, err = a.mayApprove(b, p, o); err != nil {
			return err
		}
	}
	standing, _, err := standingProposals(b.state, 0)
	if err != nil {
		return err
	}
	standing = slices.DeleteFunc(standing, func(s standingProposal) bool { return s.ID == p.ID })
	if err := setStanding(b.state, standing); err != nil {
		return err
	}
	if err := b.state.SetAux(proposalKey+strconv.FormatUint(p.ID, 10), nil); err != nil {
		return err
	}
	payload, err := json.Marshal(Approval{Proposal: p.ID, By: p.By, Key: p.Key})
	if err != nil {
		return err
	}
	b.record(proof.Entry{
		Operation: proof.OpApprove, Originator: o.From, Target: a.genesis.CSE.BaseRI,
		Resource: proposalKey + strconv.FormatUint(p.ID, 10), Status: uint32(onem2m.StatusUpdated), Auth: o.auth,
	}, payload)
	if o.by == nil {
		return nil // what the act made are entries of their own
	}
	resp, err := a.doAct(b, p, proposer)
	if err == nil && !resp.Status.Success() {
		err = actRefused(&resp)
	}
	return err
}

// mayApprove returns the credential of who made a proposal, if another operator may approve it.
func (a *App) mayApprove(b *building, p *Proposal, o *own) (*identity.Credential, error) {
	refused := func(format string, args ...any) (*identity.Credential, error) {
		return nil, &refusal{onem2m.StatusOriginatorHasNoPrivilege, fmt.Sprintf(format, args...)}
	}
	if err := o.mayActFor(p.Organisation); err != nil {
		return nil, err
	}
	key := hex.EncodeToString(o.auth.Key[:])
	if p.By == o.From || p.Key == key {
		return refused("%s has proposed it: another operator has to approve it", p.By)
	}
	id, err := hex.DecodeString(p.Key)
	if err != nil || len(id) != len(identity.KeyID{}) {
		return nil, fmt.Errorf("proposal %d has the credential %q", p.ID, p.Key)
	}
	proposer, err := identity.Lookup(b.state, identity.KeyID(id))
	if err != nil {
		return nil, err
	}
	// A CSE speaks for those behind it, by whatever names.
	if proposer != nil && proposer.Originator == o.by.Originator {
		return refused("%s has proposed it: another operator has to approve it", p.By)
	}
	if !proposer.Valid(b.time) || proposer.Role != identity.Operator {
		return refused("the credential with which %s proposed it is not valid any more: propose it again", p.By)
	}
	return proposer, nil
}
