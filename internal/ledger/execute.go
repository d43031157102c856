package ledger

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/translog"
	"github.com/tallystick/tallystick/internal/tree"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// building is a block between FinalizeBlock and Commit.
type building struct {
	height uint64
	time   int64
	base   uint64 // log index of the first record
	state  *tree.Block
	log    translog.Block
	salt   uint32 // next salt of the current seed
	events []event
	// uncounted are the subscriptions whose notifications are counted anew, or no more.
	uncounted []string
	results   []Result
	codes     []uint32 // CometBFT's result code of each transaction
	bytes     int      // what records and events take so far
	work      int      // resources that requests may still look at
	// delivered are the payloads, less their last byte, of the entries that tell of the messages remembered.
	delivered [][]byte
	// identities says that a credential was enrolled or revoked, or somebody quarantined or released.
	identities bool
	// quarantines says that somebody was quarantined or released.
	quarantines bool
	// node is the member whose batch is executed, "" for what is repeated from the log.
	node string
}

// event is a notification that the block calls for, by the entry at index.
type event struct {
	index uint64
	cse.Event
}

// Bounds of what the requests of one block may make of it. A request to a group's members makes many entries of few
// bytes, and a block that the log cannot take would stop every node for good.
const (
	maxBlockRecords = 1 << 18
	maxBlockEffects = 32 << 20 // bytes of records and events
	maxBlockWork    = 400_000  // resources looked at in searches and for conditions
	recordOverhead  = 64
)

// fits says whether the effects of one more request stay within the bounds.
func (b *building) fits(effects []cse.Effect, events []cse.Event) bool {
	size := b.bytes
	for i := range effects {
		f := &effects[i]
		size += recordOverhead + len(f.Originator) + len(f.Target) + len(f.Resource) + len(f.Payload)
	}
	for i := range events {
		size += eventSize(&events[i])
	}
	return len(b.log.Records)+len(effects) <= maxBlockRecords && size <= maxBlockEffects
}

// eventSize is what a notification takes in the outbox, where every target has a record of its own.
func eventSize(e *cse.Event) int {
	size := 0
	for _, t := range e.Targets {
		size += recordOverhead + len(t) + len(e.Content)
	}
	return size
}

func (b *building) nextIndex() uint64 { return b.base + uint64(len(b.log.Records)) }

func (b *building) seed(s [32]byte) {
	b.log.Seeds = append(b.log.Seeds, s)
	b.salt = 0
}

func (b *building) record(e proof.Entry, payload []byte) {
	e.Height, e.Time = b.height, b.time
	b.log.Records = append(b.log.Records, translog.Record{
		Entry: e, Payload: payload, Seed: uint32(len(b.log.Seeds) - 1), Counter: b.salt,
	})
	b.salt++
	b.bytes += recordOverhead + len(e.Originator) + len(e.Target) + len(e.Resource) + len(payload)
}

func (b *building) effects(effects []cse.Effect, auth proof.Auth) {
	for i := range effects {
		f := &effects[i]
		b.record(proof.Entry{
			Operation: proof.Operation(f.Operation), Originator: f.Originator, Target: f.Target, Resource: f.Resource,
			Type: uint32(f.Type), Status: uint32(f.Status), Auth: auth,
		}, f.Payload)
	}
}

// Result is the outcome of one batch of this node.
type Result struct {
	Seq       uint64
	Responses []onem2m.Response // one an item, in order
}

// expirePerBlock bounds the expired resources removed in one block; the rest waits for the next, unseen by reads.
const expirePerBlock = 256

// duePerBlock bounds the resources that are acted on in one block because their time has come.
const duePerBlock = 256

// applyBatch executes a batch. A batch that was applied before, or that comes too late, has no effect.
func (a *App) applyBatch(b *building, batch *Batch) error {
	mine := batch.Node == a.Name
	var responses []onem2m.Response
	if mine {
		responses = make([]onem2m.Response, len(batch.Items))
	}
	if !b.useSeq(a.seqs, batch.Node, batch.Seq) {
		for i := range responses {
			responses[i] = failure(onem2m.StatusInternalServerError, "the batch of this request came too late; send it again")
		}
		if mine {
			b.results = append(b.results, Result{batch.Seq, responses})
		}
		return nil
	}
	b.seed(batch.Seed)
	b.node = batch.Node
	for i := 0; i < len(batch.Items); {
		n := min(1+int(batch.Items[i].Together), len(batch.Items)-i)
		var to []onem2m.Response
		if mine {
			to = responses[i : i+n]
		}
		if err := a.applyTogether(b, batch.Items[i:i+n], to); err != nil {
			return fmt.Errorf("request %d of batch %d of %s: %w", i, batch.Seq, batch.Node, err)
		}
		i += n
	}
	if mine {
		b.results = append(b.results, Result{batch.Seq, responses})
	}
	return nil
}

// applyTogether executes items of which either all are done or none: one refused item undoes those before it, and all
// of them are answered with its refusal. responses is nil when nobody here waits for them.
func (a *App) applyTogether(b *building, items []Item, responses []onem2m.Response) error {
	if again, err := a.delivered(b, &items[0], responses); err != nil || again {
		return err
	}
	mark, was := b.state.Mark(), *b
	for i := range items {
		resp, err := a.applyItem(b, &items[i])
		if err != nil {
			return err
		}
		if responses != nil {
			responses[i] = resp
		}
		if resp.Status.Success() {
			continue
		}
		if i > 0 {
			b.state.Rollback(mark)
			a.undo(b, &was)
		}
		for j := range responses {
			responses[j] = resp
		}
		return nil
	}
	return a.noteDelivery(b, &items[0], &was)
}

// undo drops what items recorded since b was as was.
func (a *App) undo(b, was *building) {
	if b.identities {
		clear(a.creds) // it may have what was undone
	}
	if b.quarantines {
		a.quarantines, b.quarantines = nil, was.quarantines
	}
	clear(b.log.Records[len(was.log.Records):])
	b.log.Records = b.log.Records[:len(was.log.Records)]
	b.salt, b.events, b.bytes, b.identities = was.salt, was.events[:len(was.events):len(was.events)], was.bytes, was.identities
}

func denied(format string, args ...any) onem2m.Response {
	return failure(onem2m.StatusOriginatorHasNoPrivilege, fmt.Sprintf(format, args...))
}

func failure(status onem2m.StatusCode, why string) onem2m.Response {
	content := onem2m.AppendQuote([]byte(`{"m2m:dbg":`), why)
	return onem2m.Response{Status: status, Content: append(content, '}')}
}

func (a *App) applyItem(b *building, it *Item) (onem2m.Response, error) {
	cred, auth, err := a.authenticated(b, it)
	if err != nil {
		return onem2m.Response{}, err
	}
	if cred == nil {
		return denied("the credential is not valid for %s", it.From), nil
	}
	if q, err := a.shutOut(b, it, cred); err != nil {
		return onem2m.Response{}, err
	} else if q != nil {
		return denied("%s", q.Error()), nil
	}
	switch it.Operation {
	case proof.Operation(onem2m.Create), proof.Operation(onem2m.Update), proof.Operation(onem2m.Delete):
	case proof.OpEnrol, proof.OpRevoke, proof.OpErase:
		if cred.Role != identity.Operator {
			return denied("%s is no operator", it.From), nil
		}
		return a.applyOwn(b, it, auth)
	case proof.OpQuarantine, proof.OpRelease:
		if refused := a.mayQuarantine(it, cred); refused != nil {
			return *refused, nil
		}
		return a.applyQuarantine(b, it, auth)
	case proof.OpReset:
		if !a.genesis.CSE.Lab {
			return denied("only a lab network can be reset"), nil
		}
		return a.applyOwn(b, it, auth)
	case proof.Operation(onem2m.Retrieve), proof.Operation(onem2m.Notify):
		if it.Parameters == nil {
			return failure(onem2m.StatusBadRequest, fmt.Sprintf("operation %d does not change anything", it.Operation)), nil
		}
	default:
		return failure(onem2m.StatusBadRequest, fmt.Sprintf("operation %d does not change anything", it.Operation)), nil
	}
	a.req = onem2m.Request{
		Operation: onem2m.Operation(it.Operation), To: it.To, From: it.From, Type: it.Type, Content: it.Content,
		ResultContent: it.ResultContent, DesiredIDType: it.DesiredIDType, Filter: it.Filter,
		RequestID: "-", ReleaseVersion: it.Release, RoleIDs: it.RoleIDs, TokenIDs: it.TokenIDs,
	}
	if it.SourceIP.IsValid() {
		a.req.SourceIP = it.SourceIP.String()
	}
	env := cse.Env{
		Time: b.time, NextIndex: b.nextIndex(), MayRegister: true, Assigned: it.Assigned, Statistics: a.statistics(b.state.Local),
		Work: &b.work,
	}
	if it.Parameters != nil {
		it.Parameters.apply(&a.req, &env)
	}
	mark := b.state.Mark()
	res := a.core.Execute(b.state, &a.req, env)
	if res.Err != nil {
		return onem2m.Response{}, res.Err
	}
	if len(res.Effects) == 0 {
		b.state.Rollback(mark)
		return res.Response, nil
	}
	if !b.fits(res.Effects, res.Events) {
		b.state.Rollback(mark)
		return failure(onem2m.StatusInternalServerError, "the block is full: this request changes too much at once, or came with too many that do; try again, or with fewer members"), nil
	}
	b.notify(res.Events)
	b.effects(res.Effects, auth)
	return res.Response, nil
}

// notify keys events by the log index that comes next, so that they sort as the log does.
func (b *building) notify(events []cse.Event) {
	for i := range events {
		b.events = append(b.events, event{b.nextIndex(), events[i]})
		b.bytes += eventSize(&events[i])
	}
}

// OwnRequest is the content of the ledger's own operations.
type OwnRequest struct {
	Originator string `json:"originator,omitempty"` // enrol: the AE-ID that the credential speaks for
	Role       string `json:"role,omitempty"`       // enrol: device (default) or operator
	TokenHash  string `json:"tokenHash,omitempty"`  // enrol: SHA-256 of the token in hex
	Key        string `json:"key,omitempty"`        // revoke: the credential's ID in hex
	Index      uint64 `json:"index,omitempty"`      // erase: the log index of the instance
}

// applyOwn executes the ledger's own operations: enrol, revoke, erase.
func (a *App) applyOwn(b *building, it *Item, auth proof.Auth) (onem2m.Response, error) {
	var r OwnRequest
	if err := json.Unmarshal(it.Content, &r); err != nil {
		return failure(onem2m.StatusBadRequest, "the content is no JSON object of the expected form"), nil
	}
	mark := b.state.Mark()
	status := onem2m.StatusCreated
	var err error
	switch it.Operation {
	case proof.OpEnrol:
		var c identity.Credential
		if c, err = r.credential(); err == nil && c.Originator == a.genesis.CSE.CSEID {
			err = &refusal{onem2m.StatusBadRequest, c.Originator + " is this CSE, which needs no credential"}
		}
		if err == nil {
			err = a.enrol(b, c, it.From, auth)
		}
	case proof.OpRevoke:
		status = onem2m.StatusDeleted
		err = a.revoke(b, r.Key, it, auth)
	case proof.OpErase:
		status = onem2m.StatusDeleted
		err = a.erase(b, r.Index, it, auth)
	case proof.OpReset:
		status = onem2m.StatusDeleted
		err = a.reset(b, it, auth)
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

// refusal is a request that cannot be met, as opposed to a ledger that cannot go on.
type refusal struct {
	status onem2m.StatusCode
	why    string
}

func (r *refusal) Error() string { return r.why }

func (r *OwnRequest) credential() (identity.Credential, error) {
	var c identity.Credential
	h, err := hex.DecodeString(r.TokenHash)
	if err != nil || len(h) != len(c.Hash) {
		return c, &refusal{onem2m.StatusBadRequest, "tokenHash is not a SHA-256 in hex"}
	}
	role, err := identity.ParseRole(r.Role)
	if err != nil {
		return c, &refusal{onem2m.StatusBadRequest, err.Error()}
	}
	if len(r.Originator) < 2 || len(r.Originator) > proof.MaxID || !strings.ContainsRune("CS/", rune(r.Originator[0])) || !validName(r.Originator[1:]) {
		return c, &refusal{onem2m.StatusBadRequest, "originator is neither an AE-ID, C or S and then letters, digits, '-', '_' or '.', nor a CSE-ID, which begins with a slash"}
	}
	return identity.Credential{Hash: [32]byte(h), Originator: r.Originator, Role: role}, nil
}

func validName(s string) bool {
	for _, c := range []byte(s) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
		if !ok {
			return false
		}
	}
	return true
}

func (a *App) enrol(b *building, c identity.Credential, by string, auth proof.Auth) error {
	if err := identity.Enrol(b.state, c); errors.Is(err, identity.ErrExists) {
		return &refusal{onem2m.StatusConflict, err.Error()}
	} else if err != nil {
		return err
	}
	payload, err := json.Marshal(OwnRequest{Originator: c.Originator, Role: c.Role.String(), TokenHash: hex.EncodeToString(c.Hash[:])})
	if err != nil {
		return err
	}
	id := c.ID()
	a.forget(b, id)
	b.record(proof.Entry{
		Operation: proof.OpEnrol, Originator: by, Target: c.Originator, Resource: hex.EncodeToString(id[:]),
		Status: uint32(onem2m.StatusCreated), Auth: auth,
	}, payload)
	return nil
}

func (a *App) revoke(b *building, key string, it *Item, auth proof.Auth) error {
	var id identity.KeyID
	h, err := hex.DecodeString(key)
	if err != nil || len(h) != len(id) {
		return &refusal{onem2m.StatusBadRequest, "key is not the ID of a credential: 8 bytes in hex"}
	}
	copy(id[:], h)
	c, err := identity.Revoke(b.state, id)
	switch {
	case errors.Is(err, identity.ErrUnknown):
		return &refusal{onem2m.StatusNotFound, err.Error()}
	case errors.Is(err, identity.ErrLast):
		return &refusal{onem2m.StatusConflict, err.Error()}
	case err != nil:
		return err
	}
	a.forget(b, id)
	b.record(proof.Entry{
		Operation: proof.OpRevoke, Originator: it.From, Target: c.Originator, Resource: hex.EncodeToString(id[:]),
		Status: uint32(onem2m.StatusDeleted), Auth: auth,
	}, it.Content)
	return nil
}

// erase takes an instance out of its container and notes that its payload has to go from the log; each node does
// that after the block is committed.
func (a *App) erase(b *building, index uint64, it *Item, auth proof.Auth) error {
	if index >= b.base {
		return &refusal{onem2m.StatusNotFound, fmt.Sprintf("the log has no committed entry %d yet", index)}
	}
	rec, err := a.log.Record(index)
	if err != nil {
		return err
	}
	if rec.Entry.Operation != proof.Operation(onem2m.Create) || !erasable(onem2m.ResourceType(rec.Entry.Type)) {
		return &refusal{onem2m.StatusOperationNotAllowed, fmt.Sprintf("entry %d is neither a contentInstance nor a timeSeriesInstance", index)}
	}
	// Whether it was erased is asked of the state: the log itself follows at each node's own pace.
	erased := fmt.Sprintf("erased/%d", index)
	if v, err := b.state.Aux(erased); err != nil {
		return err
	} else if v != nil {
		return &refusal{onem2m.StatusNotFound, fmt.Sprintf("the payload of entry %d is erased already", index)}
	}
	if err := b.state.SetAux(erased, []byte{1}); err != nil {
		return err
	}
	if err := a.core.EraseInstance(b.state, index, cse.Env{Time: b.time}); err != nil {
		return err
	}
	b.record(proof.Entry{
		Operation: proof.OpErase, Originator: it.From, Target: rec.Entry.Resource, Resource: rec.Entry.Resource,
		Type: rec.Entry.Type, Status: uint32(onem2m.StatusDeleted), Auth: auth,
	}, it.Content)
	b.state.SetLocal(eraseKey(index), []byte{1})
	return nil
}

// reset takes the resources of a lab network back to what they were at genesis. The credentials stay.
func (a *App) reset(b *building, it *Item, auth proof.Auth) error {
	b.record(proof.Entry{
		Operation: proof.OpReset, Originator: it.From, Target: a.genesis.CSE.BaseRI, Resource: a.genesis.CSE.BaseRI,
		Type: uint32(onem2m.TypeCSEBase), Status: uint32(onem2m.StatusDeleted), Auth: auth,
	}, it.Content)
	res, err := a.core.Reset(b.state, cse.Env{Time: b.time, NextIndex: b.nextIndex()})
	if err == nil {
		b.effects(res.Effects, auth)
	}
	return err
}

// erasable says whether the payloads of instances of a type can be erased. What a flexContainerInstance has is also in the
// entry of the change that it records.
func erasable(t onem2m.ResourceType) bool {
	return t == onem2m.TypeContentInstance || t == onem2m.TypeTimeSeriesInst
}

const localErase = "erase/"

func eraseKey(index uint64) string {
	return localErase + string(binary.BigEndian.AppendUint64(nil, index))
}

// authenticated returns the credential that an item was accepted with, nil when it is not valid for its originator.
func (a *App) authenticated(b *building, it *Item) (*identity.Credential, proof.Auth, error) {
	switch itself := it.From == a.genesis.CSE.CSEID; {
	case it.Key != (identity.KeyID{}):
	case itself && it.Operation == proof.Operation(onem2m.Delete):
		return nil, noAuth, nil // what the CSE deletes is what has expired, and needs no request
	case itself || a.genesis.CSE.Lab:
		// For the CSE any member may speak. It owns nothing but the <remoteCSE> of its registrar.
		return &identity.Credential{Originator: it.From}, noAuth, nil
	}
	cred, err := a.credential(b.state, it.Key)
	if err != nil || cred == nil || cred.Revoked {
		return nil, noAuth, err
	}
	if cred.Originator != it.From {
		if ok, err := a.core.SpeaksFor(b.state, cred.Originator, it.From, b.time); err != nil || !ok {
			return nil, noAuth, err
		}
	}
	return cred, proof.Auth{Method: proof.AuthToken, Key: it.Key}, nil
}

// authentic says whether an originator has a valid credential, or needs none, and is not in quarantine.
func (a *App) authentic(b *building, originator string) (bool, error) {
	standing, err := a.standing(b)
	if err != nil || standing[originator] != nil {
		return false, err
	}
	if a.genesis.CSE.Lab {
		return true, nil
	}
	return identity.Holds(b.state, originator)
}

// credential reads a credential through a small cache that this goroutine owns.
func (a *App) credential(r cse.Reader, id identity.KeyID) (*identity.Credential, error) {
	if c, ok := a.creds[id]; ok {
		return c, nil
	}
	c, err := identity.Lookup(r, id)
	if err != nil || c == nil {
		return nil, err
	}
	if len(a.creds) >= 1<<14 {
		clear(a.creds)
	}
	a.creds[id] = c
	return c, nil
}

func (a *App) forget(b *building, id identity.KeyID) {
	delete(a.creds, id)
	b.identities = true
}
