package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/translog"
	"github.com/tallystick/tallystick/internal/tree"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// replayer rebuilds the tree from the log alone: every entry with its payload, or what erasure left of it, says again
// what was done. The result must be, byte for byte, the tree that consensus agreed on.
type replayer struct {
	app *App // scratch: its tree is the one being built, its log is only read
}

// newReplayer replays log into t, which must be empty and read its instances from the returned replayer's reader.
func newReplayer(genesis *Genesis, doc []byte, log *translog.Log) *replayer {
	a := &App{
		Options: Options{Genesis: doc}, genesis: genesis, core: cse.New(genesis.CSE, identity.ForCore()), log: log,
		creds: make(map[identity.KeyID]*identity.Credential),
	}
	a.head.Store(&Status{})
	return &replayer{a}
}

func (r *replayer) open(dir string, o tree.Options) (err error) {
	r.app.tree, err = tree.Open(dir, logReader{r.app}, o)
	return err
}

// run replays entries up to size. each is called after every block with the state as of then.
func (r *replayer) run(ctx context.Context, size uint64, each func(meta) error) error {
	if size == 0 {
		return nil
	}
	for blk, err := range r.app.log.Blocks(0) {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := r.block(blk)
		if err != nil {
			return fmt.Errorf("replay block %d: %w", blk.Height, err)
		}
		if err := each(m); err != nil {
			return err
		}
		if m.LogSize >= size {
			return nil // what follows may be damaged
		}
	}
	return nil
}

func (r *replayer) block(blk *translog.Block) (meta, error) {
	a := r.app
	b := &building{height: blk.Height, time: blk.Time, base: blk.First, state: a.tree.Begin(blk.Height, blk.Time)}
	b.log.Height, b.log.Time, b.log.First = blk.Height, blk.Time, blk.First
	b.seed([32]byte{}) // salts are not replayed: the log is checked by its own hashes
	a.cur = b
	for n := 0; n < len(blk.Records); n = len(b.log.Records) {
		if err := r.entry(b, blk, n); err != nil {
			return meta{}, fmt.Errorf("entry %d: %w", blk.First+uint64(n), err)
		}
		if len(b.log.Records) == n {
			return meta{}, fmt.Errorf("entry %d has no effect when it is repeated", blk.First+uint64(n))
		}
		if len(b.log.Records) > len(blk.Records) {
			return meta{}, fmt.Errorf("entry %d has more effects when it is repeated", blk.First+uint64(n))
		}
		for i := n; i < len(b.log.Records); i++ {
			was, is := blk.Records[i].Entry, b.log.Records[i].Entry
			is.Commitment, is.Auth = was.Commitment, was.Auth
			if was != is {
				return meta{}, fmt.Errorf("entry %d says %s, repeating it gives %s", blk.First+uint64(i), describe(was), describe(is))
			}
		}
	}
	if err := a.checkSigned(b.state, blk); err != nil {
		return meta{}, err
	}
	size := blk.First + uint64(len(blk.Records))
	root, err := a.log.RootAt(size)
	if err != nil {
		return meta{}, err
	}
	next := a.last
	next.Height, next.Time, next.LogSize, next.LogRoot = blk.Height, blk.Time, size, root
	next.Chain = chainState(a.last.Chain, blk.Height, blk.Time, b.state.Digest())
	next.AppHash = next.appHash()
	for i := range b.log.Records {
		b.noteTrail(b.base+uint64(i), &b.log.Records[i])
		if e := &b.log.Records[i].Entry; isNewest(e) {
			b.state.SetLocal(entryKey(e.Resource), binary.BigEndian.AppendUint64(nil, b.base+uint64(i)))
		}
	}
	b.noteErased()
	b.state.SetLocal(localMeta, next.encode())
	if err := b.state.Commit(); err != nil {
		return meta{}, err
	}
	a.last, a.cur = next, nil
	status := next.Status
	a.head.Store(&status)
	return next, nil
}

func describe(e proof.Entry) string {
	return fmt.Sprintf("operation %d by %s on %s, resource %s of type %d, status %d", e.Operation, e.Originator, e.Target, e.Resource, e.Type, e.Status)
}

// entry repeats what made entry n of a block, which may make more entries than one.
func (r *replayer) entry(b *building, blk *translog.Block, n int) error {
	a, rec := r.app, &blk.Records[n]
	e := &rec.Entry
	if e.Auth.Method == proof.AuthSignature {
		if err := useCounter(b.state, e.Auth.Key, e.Auth.Counter); err != nil {
			return err
		}
	}
	content := rec.Payload
	if rec.Erased {
		content = rec.Residue
	}
	switch e.Operation {
	case proof.OpGenesis:
		if !bytes.Equal(content, a.Options.Genesis) {
			return fmt.Errorf("the genesis document in the log is not this node's")
		}
		return a.applyGenesisEntries(b)
	case proof.OpEnrol, proof.OpInvite, proof.OpRevoke, proof.OpErase, proof.OpReset, proof.OpPropose, proof.OpApprove:
		resp, err := a.applyOwn(b, &own{Item: &Item{Operation: e.Operation, From: e.Originator, Content: content}, auth: e.Auth})
		if err == nil && resp.Status >= 3000 {
			err = fmt.Errorf("refused when repeated: %s", resp.Content)
		}
		return err
	case proof.OpAudit:
		resp, err := a.audit(b, &Item{From: e.Originator, Content: content}, noAuth)
		if err == nil && resp.Status >= 3000 {
			err = fmt.Errorf("refused when repeated: %s", resp.Content)
		}
		return err
	case proof.OpQuarantine, proof.OpRelease:
		resp, err := a.applyQuarantine(b, &Item{Operation: e.Operation, From: e.Originator, Content: content}, e.Auth)
		if err == nil && resp.Status >= 3000 {
			err = fmt.Errorf("refused when repeated: %s", resp.Content)
		}
		return err
	case proof.OpDeliver:
		return a.repeatDelivered(b, content)
	case proof.Operation(onem2m.Delete):
		if e.Originator == a.genesis.CSE.CSEID {
			res := a.core.Expire(b.state, cse.Env{Time: b.time, NextIndex: b.nextIndex()}, expirePerBlock)
			b.effects(res.Effects, e.Auth)
			return res.Err
		}
	}
	req := onem2m.Request{
		Operation: onem2m.Operation(e.Operation), To: e.Target, From: e.Originator, Type: onem2m.ResourceType(e.Type),
		Content: content, ResultContent: onem2m.ResultContentNothing, RequestID: "-", ReleaseVersion: defaultRelease,
	}
	if req.Operation != onem2m.Create {
		req.To, req.Type = e.Resource, 0
	}
	res := a.core.Execute(b.state, &req, cse.Env{Time: b.time, NextIndex: b.nextIndex(), MayRegister: true, Agreed: true, Assigned: e.Resource})
	if res.Err != nil {
		return res.Err
	}
	if len(res.Effects) == 0 {
		var d json.RawMessage = res.Response.Content
		return fmt.Errorf("refused when repeated: %d %s", res.Response.Status, d)
	}
	b.effects(res.Effects, e.Auth)
	return nil
}
