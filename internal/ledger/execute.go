package ledger

import (
	"fmt"

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
	// erased are the entries whose payloads the block erases.
	erased []uint64
	// delivered are the payloads, less their last byte, of the entries that tell of the messages remembered.
	delivered [][]byte
	// proven says that every signature of a device in the batch under way is known to be valid; else signatures finds out.
	proven     bool
	signatures *verification
	items      []Item   // of the batch under way
	signed     [][]byte // of each item of a proven batch, what is kept of its device's signature; nil when it is not known
	item       int      // place in the batch of the item under way
	// remembered keeps what was read of the sessions that send messages again.
	remembered rememberedMessages
	// identities says that a credential was enrolled or revoked, or somebody quarantined or released.
	identities bool
	// approved says that what is executed has the consent of a second operator.
	approved bool
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
// beside is what each of them keeps beside its payload.
func (b *building) fits(effects []cse.Effect, events []cse.Event, beside int) bool {
	size := b.bytes + len(effects)*beside
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
	b.node, b.items = batch.Node, batch.Items
	if batch.signed() && !b.proven {
		v, err := a.startVerifying(batch.Items)
		if err != nil {
			return err
		}
		b.signatures = v
		defer func() {
			v.end()
			b.signatures = nil
		}()
	}
	for i := 0; i < len(batch.Items); {
		b.item = i
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
	mark, was, first := b.state.Mark(), *b, b.item
	for i := range items {
		b.item = first + i
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
	b.erased = was.erased[:len(was.erased):len(was.erased)]
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
	return a.execute(b, it, cred, auth)
}

// execute executes an item of who is known.
func (a *App) execute(b *building, it *Item, cred *identity.Credential, auth proof.Auth) (onem2m.Response, error) {
	if refused, err := a.needsApproval(b, it); err != nil {
		return onem2m.Response{}, err
	} else if refused != nil {
		return *refused, nil
	}
	switch it.Operation {
	case proof.Operation(onem2m.Create), proof.Operation(onem2m.Update), proof.Operation(onem2m.Delete):
	case proof.OpEnrol, proof.OpInvite, proof.OpRevoke, proof.OpErase, proof.OpReset, proof.OpPropose, proof.OpApprove:
		return a.applyOwn(b, &own{Item: it, auth: auth, by: cred})
	case proof.OpQuarantine, proof.OpRelease:
		if refused, err := a.mayQuarantine(b, it, cred); err != nil {
			return onem2m.Response{}, err
		} else if refused != nil {
			return *refused, nil
		}
		return a.applyQuarantine(b, it, auth)
	case proof.OpAudit:
		return a.audit(b, it, auth)
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
		a.req.SourceIP = a.addressText(it.SourceIP)
	}
	env := cse.Env{
		Time: b.time, NextIndex: b.nextIndex(), MayRegister: true, Assigned: it.Assigned, Statistics: a.statistics(b.state.Local),
		Work: &b.work, Approved: b.approved,
	}
	if it.Parameters != nil {
		it.Parameters.apply(&a.req, &env)
	}
	var signed []byte // what is kept of its device's signature
	var used sequence // with the counter of this request
	if it.Signature != nil {
		var refused *refusal
		var err error
		if signed, used, refused, err = a.fresh(b, it); err != nil {
			return onem2m.Response{}, err
		} else if refused != nil {
			return failure(refused.status, refused.why), nil
		}
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
	if !b.fits(res.Effects, res.Events, besideSize(it, signed)) {
		b.state.Rollback(mark)
		return failure(onem2m.StatusInternalServerError, "the block is full: this request changes too much at once, or came with too many that do; try again, or with fewer members"), nil
	}
	b.notify(res.Events)
	b.effects(res.Effects, auth)
	if signed != nil {
		if err := b.state.SetAux(counterName(it.Key), used.encode()); err != nil {
			return onem2m.Response{}, err
		}
		if err := b.keepSigned(len(res.Effects), signed, it.Content); err != nil {
			return onem2m.Response{}, err
		}
	}
	return res.Response, nil
}

// notify keys events by the log index that comes next, so that they sort as the log does.
func (b *building) notify(events []cse.Event) {
	for i := range events {
		b.events = append(b.events, event{b.nextIndex(), events[i]})
		b.bytes += eventSize(&events[i])
	}
}
