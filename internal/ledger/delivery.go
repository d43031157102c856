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

// deliverySize is an encoded onem2m.Delivery, in bytes.
const deliverySize = 8 + 2 + 8 + 2 + 1

func appendDelivery(dst []byte, d *onem2m.Delivery) []byte {
	dst = append(dst, d.Session[:]...)
	dst = binary.BigEndian.AppendUint16(dst, d.ID)
	dst = append(dst, d.Message[:]...)
	dst = binary.BigEndian.AppendUint16(dst, d.Window)
	again := byte(0)
	if d.Again {
		again = 1
	}
	return append(dst, again)
}

func (d *decoder) delivery(it *Item) {
	b := d.bytes(deliverySize)
	if b == nil {
		return
	}
	v := &onem2m.Delivery{
		Session: [8]byte(b), ID: binary.BigEndian.Uint16(b[8:]), Message: [8]byte(b[10:]), Window: binary.BigEndian.Uint16(b[18:]),
		Again: b[20] == 1,
	}
	if b[20] > 1 || v.Window == 0 || v.Window > onem2m.MaxDeliveries {
		d.fail(errors.New("a delivery that is neither new nor repeated, or whose window is not between 1 and the limit"))
		return
	}
	it.Delivery = v
}

// Delivered says whether a message of an originator is remembered as committed.
func (a *App) Delivered(originator string, d *onem2m.Delivery) (bool, error) {
	var m rememberedMessages
	_, ok, err := m.find(a.tree, originator, d)
	return ok, err
}

// Deliveries gives what is remembered of the last messages of a session, at most n, oldest first: packet identifier and
// message of each.
func (a *App) Deliveries(originator string, session [8]byte, n int) ([]onem2m.Delivery, error) {
	next, _, err := readNext(a.tree, originator, session)
	if err != nil {
		return nil, err
	}
	var all []onem2m.Delivery
	err = eachUse(a.tree, originator, session, next, uint64(min(n, onem2m.MaxDeliveries)), func(id uint16, u deliveryUse) {
		all = append(all, onem2m.Delivery{Session: session, ID: id, Message: u.message})
	})
	return all, err
}

// delivered says whether a message marked as delivered before was indeed committed before, and answers it as then.
func (a *App) delivered(b *building, first *Item, responses []onem2m.Response) (bool, error) {
	d := first.Delivery
	if d == nil || !d.Again {
		return false, nil
	}
	// Who may no longer write is not told what was written.
	cred, _, err := a.authenticated(b, first)
	if err != nil || cred == nil {
		return false, err
	}
	if q, err := a.shutOut(b, first, cred); err != nil || q != nil {
		return false, err
	}
	index, ok, err := b.remembered.find(b.state, first.From, d)
	if err != nil || !ok {
		return false, err
	}
	for i := range responses {
		responses[i] = onem2m.Response{Status: onem2m.StatusCreated}
	}
	if first.Parameters != nil && len(responses) > 0 {
		// The last entry of a non-blocking request is that of its <request>.
		responses[0] = cse.Accepted(first.Parameters.ResponseType, onem2m.ResourceRI(onem2m.TypeRequest, index))
	}
	return true, nil
}

// deliveredMessage is one message in the payload of an entry of OpDeliver.
type deliveredMessage struct {
	Originator string `json:"fr"`
	Session    string `json:"ses"` // in hex
	ID         uint16 `json:"id"`
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
	if err := b.remembered.note(b.state, first.From, d, index); err != nil {
		return err
	}
	n := len(b.delivered) - 1
	if n < 0 || len(b.delivered[n]) > maxDelivered {
		b.delivered = append(b.delivered, []byte{'['})
		n++
	} else {
		b.delivered[n] = append(b.delivered[n], ',')
	}
	size := len(b.delivered[n])
	dst := onem2m.AppendQuote(append(b.delivered[n], `{"fr":`...), first.From)
	dst = hex.AppendEncode(append(dst, `,"ses":"`...), d.Session[:])
	dst = strconv.AppendUint(append(dst, `","id":`...), uint64(d.ID), 10)
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
		session, err1 := hex.DecodeString(m.Session)
		id, err2 := hex.DecodeString(m.Message)
		if err1 != nil || err2 != nil || len(session) != 8 || len(id) != 8 {
			return errors.New("messages of sessions: one is not, or its session is not, 8 bytes in hex")
		}
		d := &onem2m.Delivery{Session: [8]byte(session), ID: m.ID, Message: [8]byte(id)}
		if err := b.remembered.note(b.state, m.Originator, d, m.Index); err != nil {
			return err
		}
	}
	a.recordMessages(b, payload)
	return nil
}
