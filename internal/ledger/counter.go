package ledger

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
)

// Counters of signed requests are state: the log carries them, in the entries that the requests made.
const counterKey = "counter/"

func counterName(id identity.KeyID) string {
	var b [len(counterKey) + 2*len(id)]byte
	return string(hex.AppendEncode(append(b[:0], counterKey...), id[:]))
}

// counters reads which counters of a key were used.
func counters(r cse.Reader, id identity.KeyID) (sequence, error) {
	v, err := r.Aux(counterName(id))
	if err != nil || v == nil {
		return sequence{}, err
	}
	if len(v) != 16 {
		return sequence{}, fmt.Errorf("the counters of key %x have %d bytes", id, len(v))
	}
	return sequence{binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])}, nil
}

// useCounter marks the counter of a request that is repeated from the log as used. One that is used already is an error.
func useCounter(st cse.State, id identity.KeyID, counter uint64) error {
	s, err := counters(st, id)
	if err != nil {
		return err
	}
	if !s.use(counter) {
		return fmt.Errorf("the counter %d of key %x was used before", counter, id)
	}
	return st.SetAux(counterName(id), s.encode())
}

// Fresh says why the network would not take a signed item at a time, Unix microseconds: it has lapsed, or will not lapse
// soon enough, or its counter was used or is too old. nil when it would. The signature itself is not looked at.
func Fresh(r cse.Reader, it *Item, now int64) (*onem2m.Response, error) {
	_, refused, err := fresh(r, it, now)
	if refused == nil || err != nil {
		return nil, err
	}
	resp := failure(refused.status, refused.why)
	return &resp, nil
}

// fresh gives what is used with the item's counter, or why it is refused.
func fresh(r cse.Reader, it *Item, now int64) (sequence, *refusal, error) {
	s := it.Signature
	switch lapses := s.Until * 1_000_000; {
	case s.Until <= 0 || lapses/1_000_000 != s.Until:
		return sequence{}, &refusal{onem2m.StatusBadRequest, "the signature's time of lapse (until) is out of range"}, nil
	case now > lapses:
		return sequence{}, &refusal{onem2m.StatusSecurityAssociationRequired, fmt.Sprintf("the signed request lapsed at %d (until), the network's time is %d: sign it anew", s.Until, now/1_000_000)}, nil
	case lapses > now+onem2m.MaxSignedFor*1_000_000:
		return sequence{}, &refusal{onem2m.StatusBadRequest, fmt.Sprintf("the signed request would lapse (until) only at %d, which is more than 31 days from the network's time %d", s.Until, now/1_000_000)}, nil
	}
	used, err := counters(r, it.Key)
	if err != nil {
		return sequence{}, nil, err
	}
	newest := used.newest
	if !used.use(s.Counter) {
		return sequence{}, &refusal{onem2m.StatusConflict, fmt.Sprintf("the counter %d of key %x was used or is too old; the newest that was used is %d: this very request may have been executed before, read before you sign it anew with a higher one", s.Counter, it.Key, newest)}, nil
	}
	return used, nil, nil
}

// fresh refuses a signed item that has lapsed or was executed before, and gives what is kept of its signature.
func (a *App) fresh(b *building, it *Item) ([]byte, sequence, *refusal, error) {
	used, refused, err := fresh(b.state, it, b.time)
	if refused != nil || err != nil {
		return nil, used, refused, err
	}
	if kept := b.keptSignature(it); kept != nil {
		return kept, used, nil, nil
	}
	text, err := it.signedText(make([]byte, 0, 256), a.genesis.Origin)
	if err != nil { // its signature would not be valid
		return nil, used, &refusal{onem2m.StatusBadRequest, err.Error()}, nil
	}
	return it.appendKept(nil, text), used, nil, nil
}
