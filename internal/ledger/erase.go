package ledger

import (
	"encoding/binary"
	"fmt"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// erase takes an instance out of its container and notes that its payload has to go from the log; each node does
// that after the block is committed.
func (a *App) erase(b *building, index uint64, o *own) error {
	if index >= b.base {
		return &refusal{onem2m.StatusNotFound, fmt.Sprintf("the log has no committed entry %d yet", index)}
	}
	rec, err := a.log.Record(index)
	if err != nil {
		return err
	}
	// An instance belongs to the organisation of who sent it, wherever he stored it.
	organisation, err := identity.OrganisationOf(b.state, rec.Entry.Originator)
	if err != nil {
		return err
	}
	if err := o.mayActFor(organisation); err != nil {
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
		Operation: proof.OpErase, Originator: o.From, Target: rec.Entry.Resource, Resource: rec.Entry.Resource,
		Type: rec.Entry.Type, Status: uint32(onem2m.StatusDeleted), Auth: o.auth,
	}, o.Content)
	b.erased = append(b.erased, index)
	return nil
}

// noteErased notes what has to go from the log, as soon as it is sure that the block erases it: what was undone has left no
// node-local record, which no rollback takes back.
func (b *building) noteErased() {
	for _, index := range b.erased {
		b.state.SetLocal(eraseKey(index), []byte{1})
	}
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
