package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// Quarantine shuts an originator out: every node refuses all requests of it, and of those it speaks for, until an
// operator releases it. Credentials of operators are not affected: those are revoked.
type Quarantine struct {
	Originator string `json:"originator"`
	Since      int64  `json:"since"` // Unix microseconds
	By         string `json:"by"`    // the operator's AE-ID, or the CSE-ID when a node acted on its own account
	Node       string `json:"node,omitempty"`
	Reason     string `json:"reason"`
	Evidence   string `json:"evidence,omitempty"`
	// Index is the log index of the entry that says so.
	Index uint64 `json:"index"`
	// Slot is the number of its record among all that stand.
	Slot uint64 `json:"slot"`
}

// Error says to whoever shows the originator's credential why it is refused.
func (q *Quarantine) Error() string {
	by := q.By
	if q.Node != "" {
		by = "node " + q.Node
	}
	return fmt.Sprintf("%s is in quarantine since %s, by %s, because: %s; an operator can release it: tally device release %s",
		q.Originator, time.UnixMicro(q.Since).UTC().Format(time.RFC3339), by, q.Reason, q.Originator)
}

// QuarantineRequest is the content of OpQuarantine and OpRelease, and the payload of their entries.
type QuarantineRequest struct {
	Originator string `json:"originator"`
	Reason     string `json:"reason,omitempty"`
	Evidence   string `json:"evidence,omitempty"` // what was seen, in words and numbers
	// Node is the member that acted on its own account. Whoever executes the request writes it, from the signature of the
	// batch.
	Node string `json:"node,omitempty"`
}

// Bounds of quarantine. Those of what a node does on its own account keep one that errs, or lies, from switching
// everything off: what it did stays provable and can be taken back, and for an hour afterwards it is not believed
// again about the same originator.
const (
	maxReason       = 256  // bytes
	maxEvidence     = 2048 // bytes
	maxQuarantines  = 1 << 16
	maxByNode       = 32 // originators that one node may have in quarantine on its own account
	maxByNodeMinute = 6  // of them in one minute
	releaseImmunity = int64(time.Hour / time.Microsecond)
)

const (
	quarantineKey  = "quarantine/"   // by originator: a Quarantine
	slotKey        = "quarantined/"  // by number: the originator
	slotsKey       = "quarantines"   // how many there are, in decimal
	byNodeKey      = "quarantineby/" // by member: a byNode
	releasedKey    = "released/"     // by originator: when an operator released it, Unix microseconds in decimal
	microsecMinute = int64(time.Minute / time.Microsecond)
)

// byNode is what a member did on its own account.
type byNode struct {
	Standing int     `json:"standing"`
	Recent   []int64 `json:"recent"` // of the last minute, Unix microseconds
}

// mayQuarantine says why a credential may not do what an item of quarantine asks for, nil when it may.
func (a *App) mayQuarantine(b *building, it *Item, cred *identity.Credential) (*onem2m.Response, error) {
	var refused onem2m.Response
	switch {
	case cred.MayActFor(""):
		return nil, nil
	case cred.Role == identity.Operator:
		r, err := quarantineRequest(it.Content)
		if err != nil {
			return nil, nil // execution says so
		}
		organisation, err := identity.OrganisationOf(b.state, r.Originator)
		if err != nil || cred.MayActFor(organisation) {
			return nil, err
		}
		refused = denied("%s is an operator of the organisation %s only", it.From, cred.Organisation)
	case it.From == a.genesis.CSE.CSEID && it.Key == (identity.KeyID{}) && it.Operation == proof.OpQuarantine:
		return nil, nil
	case it.From == a.genesis.CSE.CSEID:
		refused = denied("a node releases nobody on its own account")
	default:
		refused = denied("%s is no operator", it.From)
	}
	return &refused, nil
}

func (a *App) quarantine(b *building, r *QuarantineRequest, by string, auth proof.Auth) error {
	if err := a.checkQuarantine(r); err != nil {
		return err
	}
	standing, err := a.standing(b)
	if err != nil {
		return err
	}
	if q := standing[r.Originator]; q != nil {
		return &refusal{onem2m.StatusConflict, q.Error()}
	}
	if len(standing) >= maxQuarantines {
		return &refusal{onem2m.StatusConflict, fmt.Sprintf("%d originators are in quarantine, the limit", len(standing))}
	}
	if by != a.genesis.CSE.CSEID {
		r.Node = ""
	} else {
		if b.node != "" { // else it is repeated from the log
			r.Node = b.node
		}
		if err := a.countByNode(b, r); err != nil {
			return err
		}
	}
	q := &Quarantine{
		Originator: r.Originator, Since: b.time, By: by, Node: r.Node, Reason: r.Reason, Evidence: r.Evidence,
		Index: b.nextIndex(), Slot: uint64(len(standing)),
	}
	if err := setJSON(b.state, quarantineKey+q.Originator, q); err != nil {
		return err
	}
	if err := b.state.SetAux(fmt.Sprint(slotKey, q.Slot), []byte(q.Originator)); err != nil {
		return err
	}
	if err := b.state.SetAux(slotsKey, fmt.Append(nil, len(standing)+1)); err != nil {
		return err
	}
	standing[q.Originator] = q
	return a.recordQuarantine(b, proof.OpQuarantine, r, by, auth)
}

func (a *App) checkQuarantine(r *QuarantineRequest) error {
	bad := func(why string) error { return &refusal{onem2m.StatusBadRequest, why} }
	switch {
	case r.Originator == "" || len(r.Originator) > proof.MaxID/2 || !utf8.ValidString(r.Originator) || strings.IndexByte(r.Originator, 0) >= 0:
		return bad("name the originator to quarantine, in at most 256 bytes")
	case r.Originator == a.genesis.CSE.CSEID || r.Originator == a.genesis.CSE.Admin:
		return bad(r.Originator + " runs this CSE and cannot be in quarantine; revoke its credential instead")
	case strings.TrimSpace(r.Reason) == "" || len(r.Reason) > maxReason:
		return bad(fmt.Sprintf("give a reason, of at most %d bytes", maxReason))
	case len(r.Evidence) > maxEvidence:
		return bad(fmt.Sprintf("the evidence has %d bytes, the limit is %d", len(r.Evidence), maxEvidence))
	}
	return nil
}

// countByNode counts what a node does on its own account, and refuses what is too much.
func (a *App) countByNode(b *building, r *QuarantineRequest) error {
	n, err := getJSON[byNode](b.state, byNodeKey+r.Node)
	if err != nil {
		return err
	}
	n.Recent = slices.DeleteFunc(n.Recent, func(t int64) bool { return t <= b.time-microsecMinute })
	released, err := b.state.Aux(releasedKey + r.Originator)
	if err != nil {
		return err
	}
	var at int64
	if released != nil {
		if _, err := fmt.Sscan(string(released), &at); err != nil {
			return fmt.Errorf("read when %s was released: %w", r.Originator, err)
		}
	}
	switch {
	case n.Standing >= maxByNode:
		return &refusal{onem2m.StatusConflict, fmt.Sprintf("node %s has %d originators in quarantine on its own account, the limit; an operator has to look at them", r.Node, n.Standing)}
	case len(n.Recent) >= maxByNodeMinute:
		return &refusal{onem2m.StatusConflict, fmt.Sprintf("node %s quarantined %d originators within a minute, the limit", r.Node, len(n.Recent))}
	case released != nil && b.time < at+releaseImmunity:
		return &refusal{onem2m.StatusConflict, r.Originator + " was released by an operator less than an hour ago; only an operator can quarantine it again"}
	}
	n.Standing++
	n.Recent = append(n.Recent, b.time)
	return setJSON(b.state, byNodeKey+r.Node, n)
}

// release ends a quarantine. The last of the numbered records takes the place of the one that goes.
func (a *App) release(b *building, r *QuarantineRequest, by string, auth proof.Auth) error {
	if len(r.Reason) > maxReason || len(r.Evidence) > 0 {
		return &refusal{onem2m.StatusBadRequest, fmt.Sprintf("a release has a reason of at most %d bytes, and no evidence", maxReason)}
	}
	r.Node = ""
	standing, err := a.standing(b)
	if err != nil {
		return err
	}
	q := standing[r.Originator]
	if q == nil {
		return &refusal{onem2m.StatusNotFound, r.Originator + " is not in quarantine"}
	}
	end := uint64(len(standing) - 1)
	if q.Slot != end {
		moved, err := b.state.Aux(fmt.Sprint(slotKey, end))
		if err != nil {
			return err
		}
		last := *standing[string(moved)]
		last.Slot = q.Slot
		standing[last.Originator] = &last
		if err := setJSON(b.state, quarantineKey+last.Originator, &last); err != nil {
			return err
		}
		if err := b.state.SetAux(fmt.Sprint(slotKey, q.Slot), moved); err != nil {
			return err
		}
	}
	delete(standing, r.Originator)
	if err := errors.Join(
		b.state.SetAux(quarantineKey+r.Originator, nil), b.state.SetAux(fmt.Sprint(slotKey, end), nil),
		b.state.SetAux(slotsKey, fmt.Append(nil, end)),
	); err != nil {
		return err
	}
	if q.Node != "" {
		n, err := getJSON[byNode](b.state, byNodeKey+q.Node)
		if err != nil {
			return err
		}
		n.Standing--
		if err := setJSON(b.state, byNodeKey+q.Node, n); err != nil {
			return err
		}
		if err := b.state.SetAux(releasedKey+r.Originator, fmt.Append(nil, b.time)); err != nil {
			return err
		}
	}
	return a.recordQuarantine(b, proof.OpRelease, r, by, auth)
}

func (a *App) recordQuarantine(b *building, op proof.Operation, r *QuarantineRequest, by string, auth proof.Auth) error {
	payload, err := json.Marshal(r)
	if err != nil {
		return err
	}
	status := onem2m.StatusCreated
	if op == proof.OpRelease {
		status = onem2m.StatusDeleted
	}
	b.identities, b.quarantines = true, true
	b.record(proof.Entry{
		Operation: op, Originator: by, Target: r.Originator, Resource: quarantineKey + r.Originator, Status: uint32(status), Auth: auth,
	}, payload)
	return nil
}

// standing gives all quarantines, as of what is executed so far. The goroutine that executes owns the map.
func (a *App) standing(b *building) (map[string]*Quarantine, error) {
	if a.quarantines != nil {
		return a.quarantines, nil
	}
	all, err := readQuarantines(b.state)
	if err != nil {
		return nil, err
	}
	a.quarantines = all
	return all, nil
}

func readQuarantines(r cse.Reader) (map[string]*Quarantine, error) {
	all := make(map[string]*Quarantine)
	count, err := r.Aux(slotsKey)
	if err != nil || count == nil {
		return all, err
	}
	var n uint64
	if _, err := fmt.Sscan(string(count), &n); err != nil {
		return nil, fmt.Errorf("read how many quarantines there are: %w", err)
	}
	for i := range n {
		originator, err := r.Aux(fmt.Sprint(slotKey, i))
		if err != nil {
			return nil, err
		}
		q, err := getJSON[Quarantine](r, quarantineKey+string(originator))
		if err != nil {
			return nil, err
		}
		if q.Originator != string(originator) || q.Slot != i {
			return nil, fmt.Errorf("quarantine %d is of %q, its record of %q", i, originator, q.Originator)
		}
		all[q.Originator] = q
	}
	return all, nil
}

// shutOut returns the quarantine that an item with that credential falls under, nil for none.
func (a *App) shutOut(b *building, it *Item, cred *identity.Credential) (*Quarantine, error) {
	if cred.Role == identity.Operator {
		return nil, nil
	}
	standing, err := a.standing(b)
	if err != nil || len(standing) == 0 {
		return nil, err
	}
	if q := standing[cred.Originator]; q != nil {
		return q, nil
	}
	return standing[it.From], nil
}

// Quarantined returns the committed quarantine of an originator, nil when there is none. Any goroutine may ask.
func (a *App) Quarantined(originator string) *Quarantine {
	if all := a.shownQuarantines.Load(); all != nil {
		return (*all)[originator]
	}
	return nil
}

// Quarantines returns all committed quarantines, by originator.
func (a *App) Quarantines() []*Quarantine {
	all := a.shownQuarantines.Load()
	if all == nil {
		return nil
	}
	return slices.SortedFunc(maps.Values(*all), func(x, y *Quarantine) int { return strings.Compare(x.Originator, y.Originator) })
}

// showQuarantines makes what was committed visible to Quarantined.
func (a *App) showQuarantines(all map[string]*Quarantine) {
	shown := maps.Clone(all)
	a.shownQuarantines.Store(&shown)
}

// loadQuarantines reads what was committed before the node started.
func (a *App) loadQuarantines(r cse.Reader) error {
	all, err := readQuarantines(r)
	if err != nil {
		return fmt.Errorf("read who is in quarantine: %w", err)
	}
	a.showQuarantines(all)
	return nil
}

// getJSON reads a record; one that is missing is a zero value.
func getJSON[T any](r cse.Reader, key string) (*T, error) {
	v := new(T)
	b, err := r.Aux(key)
	if err != nil || b == nil {
		return v, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return v, nil
}

func setJSON(st cse.State, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return st.SetAux(key, b)
}

// quarantineRequest decodes the content of OpQuarantine and OpRelease.
func quarantineRequest(content []byte) (*QuarantineRequest, error) {
	r := new(QuarantineRequest)
	if err := json.Unmarshal(content, r); err != nil {
		return nil, &refusal{onem2m.StatusBadRequest, "the content is no JSON object of the expected form"}
	}
	return r, nil
}

// applyQuarantine executes OpQuarantine and OpRelease for who may ask for them.
func (a *App) applyQuarantine(b *building, it *Item, auth proof.Auth) (onem2m.Response, error) {
	mark := b.state.Mark()
	r, err := quarantineRequest(it.Content)
	status := onem2m.StatusCreated
	switch {
	case err != nil:
	case it.Operation == proof.OpQuarantine:
		err = a.quarantine(b, r, it.From, auth)
	default:
		status = onem2m.StatusDeleted
		err = a.release(b, r, it.From, auth)
	}
	var bad *refusal
	switch {
	case errors.As(err, &bad):
		b.state.Rollback(mark)
		return failure(bad.status, bad.Error()), nil
	case err != nil:
		return onem2m.Response{}, err
	}
	return onem2m.Response{Status: status}, nil
}
