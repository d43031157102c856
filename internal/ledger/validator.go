package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/libs/protoio"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
	"github.com/cosmos/gogoproto/proto"
)

// Validator signs proposals and votes and never signs two different ones for the same height, round and step.
//
// It does what CometBFT's FilePV does, but records each signature by one write and one data sync into a file of
// fixed size, with two slots written in turn, where FilePV creates, syncs and renames a file: the three signatures of
// a block cost less than half the time. A slot torn by a crash is recognised by its checksum; the other holds the
// state before, whose signature was never given out.
type Validator struct {
	key crypto.PrivKey

	mu   sync.Mutex
	file *os.File
	last signState
	turn int // slot to write next
}

// signState is the last signature given.
type signState struct {
	Height    int64
	Round     int32
	Step      int8 // 1 proposal, 2 prevote, 3 precommit
	SignBytes []byte
	Signature []byte
}

const (
	slotSize      = 1024
	slotVersion   = 1
	stepPropose   = 1
	stepPrevote   = 2
	stepPrecommit = 3
)

// OpenValidator opens or creates the sign state in path.
func OpenValidator(path string, key crypto.PrivKey) (*Validator, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the validator's sign state: %w", err)
	}
	v := &Validator{key: key, file: f}
	if err := v.load(); err != nil {
		f.Close()
		return nil, fmt.Errorf("read the validator's sign state %s: %w", path, err)
	}
	return v, nil
}

func (v *Validator) load() error {
	b := make([]byte, 2*slotSize)
	n, err := v.file.ReadAt(b, 0)
	if n == 0 {
		if err := v.file.Truncate(2 * slotSize); err != nil {
			return err
		}
		if _, err := v.file.WriteAt(make([]byte, 2*slotSize), 0); err != nil {
			return err
		}
		return v.file.Sync()
	}
	if n < len(b) {
		return fmt.Errorf("%d bytes instead of %d: restore the file, or this validator may sign twice (%v)", n, len(b), err)
	}
	intact := 0
	for i := range 2 {
		slot := b[i*slotSize : (i+1)*slotSize]
		if bytes.Equal(slot, make([]byte, slotSize)) {
			intact++ // never written
			continue
		}
		s, ok := decodeSlot(slot)
		if !ok {
			continue
		}
		intact++
		if !s.before(v.last) {
			v.last, v.turn = s, 1-i
		}
	}
	if intact == 0 {
		return errors.New("both records are damaged: restore the file, or this validator may sign twice")
	}
	return nil
}

func (s signState) before(o signState) bool {
	if s.Height != o.Height {
		return s.Height < o.Height
	}
	if s.Round != o.Round {
		return s.Round < o.Round
	}
	return s.Step < o.Step
}

// Slot: checksum (first 8 bytes of the SHA-256 of the rest), version, step, height, round, lengths, bytes.
func (s signState) encodeSlot() ([]byte, error) {
	b := make([]byte, 8, slotSize)
	b = append(b, slotVersion, byte(s.Step))
	b = binary.BigEndian.AppendUint64(b, uint64(s.Height))
	b = binary.BigEndian.AppendUint32(b, uint32(s.Round))
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.SignBytes)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.Signature)))
	b = append(b, s.SignBytes...)
	b = append(b, s.Signature...)
	if len(b) > slotSize {
		return nil, fmt.Errorf("sign state of %d bytes", len(b))
	}
	b = b[:slotSize]
	sum := sha256.Sum256(b[8:])
	copy(b, sum[:8])
	return b, nil
}

func decodeSlot(b []byte) (s signState, ok bool) {
	sum := sha256.Sum256(b[8:])
	if !bytes.Equal(sum[:8], b[:8]) || b[8] != slotVersion {
		return s, false
	}
	s.Step = int8(b[9])
	s.Height = int64(binary.BigEndian.Uint64(b[10:]))
	s.Round = int32(binary.BigEndian.Uint32(b[18:]))
	n, m := int(binary.BigEndian.Uint16(b[22:])), int(binary.BigEndian.Uint16(b[24:]))
	if 26+n+m > len(b) {
		return s, false
	}
	s.SignBytes = bytes.Clone(b[26 : 26+n])
	s.Signature = bytes.Clone(b[26+n : 26+n+m])
	return s, true
}

// GetPubKey implements types.PrivValidator.
func (v *Validator) GetPubKey() (crypto.PubKey, error) { return v.key.PubKey(), nil }

// Close closes the sign state.
func (v *Validator) Close() error { return v.file.Close() }

var errDoubleSign = errors.New("refused to sign: another message was signed for this height, round and step or a later one")

// sign returns the signature for a message, the old one with its timestamp when the same was signed before but for
// the time.
func (v *Validator) sign(s signState, sameButTime func(old []byte) (time.Time, bool)) (sig []byte, at *time.Time, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case s.before(v.last):
		return nil, nil, errDoubleSign
	case !v.last.before(s): // the same height, round and step
		if bytes.Equal(s.SignBytes, v.last.SignBytes) {
			return v.last.Signature, nil, nil
		}
		if t, ok := sameButTime(v.last.SignBytes); ok {
			return v.last.Signature, &t, nil
		}
		return nil, nil, errDoubleSign
	}
	if s.Signature, err = v.key.Sign(s.SignBytes); err != nil {
		return nil, nil, err
	}
	slot, err := s.encodeSlot()
	if err != nil {
		return nil, nil, err
	}
	if _, err := v.file.WriteAt(slot, int64(v.turn*slotSize)); err != nil {
		return nil, nil, fmt.Errorf("record a signature: %w", err)
	}
	if err := datasync(v.file); err != nil {
		return nil, nil, fmt.Errorf("record a signature: %w", err)
	}
	v.last, v.turn = s, 1-v.turn
	return s.Signature, nil, nil
}

// SignVote implements types.PrivValidator.
func (v *Validator) SignVote(chainID string, vote *cmtproto.Vote) error {
	step := int8(stepPrevote)
	if vote.Type == cmtproto.PrecommitType {
		step = stepPrecommit
	}
	sig, at, err := v.sign(signState{Height: vote.Height, Round: vote.Round, Step: step, SignBytes: types.VoteSignBytes(chainID, vote)},
		func(old []byte) (time.Time, bool) {
			var a, b cmtproto.CanonicalVote
			if protoio.UnmarshalDelimited(old, &a) != nil || protoio.UnmarshalDelimited(types.VoteSignBytes(chainID, vote), &b) != nil {
				return time.Time{}, false
			}
			at := a.Timestamp
			a.Timestamp = b.Timestamp
			return at, proto.Equal(&a, &b)
		})
	if err != nil {
		return fmt.Errorf("vote at height %d: %w", vote.Height, err)
	}
	vote.Signature = sig
	if at != nil {
		vote.Timestamp = *at
	}
	return nil
}

// SignProposal implements types.PrivValidator.
func (v *Validator) SignProposal(chainID string, p *cmtproto.Proposal) error {
	sig, at, err := v.sign(signState{Height: p.Height, Round: p.Round, Step: stepPropose, SignBytes: types.ProposalSignBytes(chainID, p)},
		func(old []byte) (time.Time, bool) {
			var a, b cmtproto.CanonicalProposal
			if protoio.UnmarshalDelimited(old, &a) != nil || protoio.UnmarshalDelimited(types.ProposalSignBytes(chainID, p), &b) != nil {
				return time.Time{}, false
			}
			at := a.Timestamp
			a.Timestamp = b.Timestamp
			return at, proto.Equal(&a, &b)
		})
	if err != nil {
		return fmt.Errorf("proposal at height %d: %w", p.Height, err)
	}
	p.Signature = sig
	if at != nil {
		p.Timestamp = *at
	}
	return nil
}
