package ledger

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// Deliveries are remembered in node-local records, which are the same on every node: a message that comes again is
// executed or not by what they say. They are no part of the state that the application hash commits to, which would cost
// more than the readings; so that a node whose tree is rebuilt has them too, the log carries them, in an entry of
// OpDeliver at the end of the block. A record is the message and the BE64 log index of the last entry that it made.
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

// deliveredMessage is one message in the payload of an entry of OpDeliver.
type deliveredMessage struct {
	Originator string `json:"fr"`
	Slot       uint16 `json:"slot"`
	Message    string `json:"msg"`   // in hex
	Index      uint64 `json:"index"` // log index of the last entry that it made
}

// maxDelivered bounds the payload of an entry of OpDeliver, the last message not counted, in bytes.
const maxDelivered = proof.MaxPayload / 2

// noteDelivery remembers a message that was committed.
func (a *App) noteDelivery(b *building, first *Item, was *building) error {
	d := first.Delivery
	if d == nil || len(b.log.Records) == len(was.log.Records) {
		return nil
	}
	index := b.nextIndex() - 1
	b.state.SetLocal(deliveryKey(first.From, d.Slot), binary.BigEndian.AppendUint64(d.Message[:], index))
	n := len(b.delivered) - 1
	if n < 0 || len(b.delivered[n]) > maxDelivered {
		b.delivered = append(b.delivered, []byte{'['})
		n++
	} else {
		b.delivered[n] = append(b.delivered[n], ',')
	}
	size := len(b.delivered[n])
	dst := onem2m.AppendQuote(append(b.delivered[n], `{"fr":`...), first.From)
	dst = strconv.AppendUint(append(dst, `,"slot":`...), uint64(d.Slot), 10)
	dst = hex.AppendEncode(append(dst, `,"msg":"`...), d.Message[:])
	dst = strconv.AppendUint(append(dst, `","index":`...), index, 10)
	b.delivered[n] = append(dst, '}')
	b.bytes += len(b.delivered[n]) - size
	return nil
}

// recordDelivered ends a block with the entries that say which messages it has remembered.
func (a *App) recordDelivered(b *building) {
	for _, payload := range b.delivered {
		a.recordMessages(b, append(payload, ']'))
	}
}

func (a *App) recordMessages(b *building, payload []byte) {
	b.record(proof.Entry{
		Operation: proof.OpDeliver, Originator: a.genesis.CSE.CSEID, Target: a.genesis.CSE.BaseRI, Resource: a.genesis.CSE.BaseRI,
		Status: uint32(onem2m.StatusCreated),
	}, payload)
}

// repeatDelivered remembers the messages that an entry of OpDeliver tells of.
func (a *App) repeatDelivered(b *building, payload []byte) error {
	var messages []deliveredMessage
	if err := json.Unmarshal(payload, &messages); err != nil {
		return fmt.Errorf("messages of sessions: %w", err)
	}
	for _, m := range messages {
		id, err := hex.DecodeString(m.Message)
		if err != nil || len(id) != 8 {
			return errors.New("messages of sessions: one is not 8 bytes in hex")
		}
		b.state.SetLocal(deliveryKey(m.Originator, m.Slot), binary.BigEndian.AppendUint64(id, m.Index))
	}
	a.recordMessages(b, payload)
	return nil
}
