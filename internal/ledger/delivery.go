package ledger

import (
	"encoding/binary"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// Deliveries are remembered in node-local records, which are the same on every node because they follow from the
// blocks, but which the log does not give: like the numbers of batches, they are no part of the state that the
// application hash commits to. A record is the message and the BE64 log index of the last entry that it made.
const localDelivery = "delivery/"

func deliveryKey(originator string, slot uint16) string {
	return string(binary.BigEndian.AppendUint16([]byte(localDelivery+originator+"/"), slot))
}

// locals reads node-local records: of a block under way or of what is committed.
type locals interface {
	Local(key string) ([]byte, error)
}

// delivery gives what is remembered of a message, nil when that was not committed or is forgotten.
func delivery(r locals, originator string, d *onem2m.Delivery) ([]byte, error) {
	v, err := r.Local(deliveryKey(originator, d.Slot))
	if err != nil || len(v) != 16 || [8]byte(v) != d.Message {
		return nil, err
	}
	return v, nil
}

// Delivered says whether a message of an originator is remembered as committed.
func (a *App) Delivered(originator string, d *onem2m.Delivery) (bool, error) {
	v, err := delivery(a.tree, originator, d)
	return v != nil, err
}

// delivered says whether a message marked as delivered before was indeed committed before, and answers it as then.
func (a *App) delivered(b *building, first *Item, responses []onem2m.Response) (bool, error) {
	d := first.Delivery
	if d == nil || !d.Again {
		return false, nil
	}
	v, err := delivery(b.state, first.From, d)
	if err != nil || v == nil {
		return false, err
	}
	// Who may no longer write is not told what was written.
	if cred, _, err := a.authenticated(b, first); err != nil || cred == nil {
		return false, err
	}
	for i := range responses {
		responses[i] = onem2m.Response{Status: onem2m.StatusCreated}
	}
	if first.Parameters != nil && len(responses) > 0 {
		// The last entry of a non-blocking request is that of its <request>.
		responses[0] = cse.Accepted(first.Parameters.ResponseType, onem2m.ResourceRI(onem2m.TypeRequest, binary.BigEndian.Uint64(v[8:])))
	}
	return true, nil
}

// noteDelivery remembers a message that was committed.
func (a *App) noteDelivery(b *building, first *Item, was *building) error {
	d := first.Delivery
	if d == nil || len(b.log.Records) == len(was.log.Records) {
		return nil
	}
	b.state.SetLocal(deliveryKey(first.From, d.Slot), binary.BigEndian.AppendUint64(d.Message[:], b.nextIndex()-1))
	return nil
}
