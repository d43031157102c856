package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/libs/protoio"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
	"github.com/cosmos/gogoproto/proto"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Validator signs proposals and votes and never signs two different ones for the same height, round and step.
//
// It does what CometBFT's FilePV does, but records each signature by one write and one data sync into a file of
// fixed size, with two slots written in turn, where FilePV creates, syncs and renames a file: the three signatures of
// a block cost less than half the time. Each slot holds its record twice, in disk sectors of their own, so that one
// damaged sector loses nothing. A slot of which both are damaged was torn by a crash: its signature was never given
// out, and the other slot holds the state before.
//
// A validator on its own syncs the records of precommits only. Its proposals and prevotes are seen by nobody but itself, in
// CometBFT's write-ahead log, which is synced before each of them counts; should a power failure take the record and leave
// the log, the same message comes back from there and is what the validator goes on from. A precommit makes a block final.
type Validator struct {
	key   crypto.PrivKey
	alone bool // nobody else takes part in consensus

	mu   sync.Mutex
	file vfs.File
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
	recordSize    = 512
	slotSize      = 2 * recordSize
	slotSpacing   = 4096 // a page each: a write of one never touches the other
	stateSize     = slotSpacing + slotSize
	slotVersion   = 1
	stepPropose   = 1
	stepPrevote   = 2
	stepPrecommit = 3
)

// CreateValidator makes the sign state in path of a validator that has signed nothing yet.
func CreateValidator(fs vfs.FS, path string) error {
	err := func() error {
		f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		_, err = f.Write(make([]byte, stateSize))
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
		dir, err := fs.OpenDir(fs.PathDir(path))
		if err != nil {
			return err
		}
		return errors.Join(dir.Sync(), dir.Close())
	}()
	if err != nil {
		return fmt.Errorf("make the validator's sign state: %w", err)
	}
	return nil
}

// OpenValidator opens the sign state in path. A file that is missing, short or damaged is an error: without it the
// validator may sign twice.
func OpenValidator(fs vfs.FS, path string, key crypto.PrivKey) (*Validator, error) {
	_, err := fs.Stat(path) // which OpenReadWrite would create
	var f vfs.File
	if err == nil {
		f, err = fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	}
	if err != nil {
		return nil, fmt.Errorf("open the validator's sign state: %w; restore the file, or this validator may sign twice", err)
	}
	v := &Validator{key: key, file: f}
	if err := errors.Join(v.load(), f.SyncData()); err != nil { // a record that was not synced may be the newest
		f.Close()
		return nil, fmt.Errorf("read the validator's sign state %s: %w", path, err)
	}
	return v, nil
}

func (v *Validator) load() error {
	b := make([]byte, stateSize)
	if n, err := v.file.ReadAt(b, 0); n < len(b) {
		return fmt.Errorf("%d bytes instead of %d: restore the file, or this validator may sign twice (%w)", n, len(b), err)
	}
	intact := false
	for i := range 2 {
		for j := range 2 {
			record := b[i*slotSpacing+j*recordSize:][:recordSize]
			if bytes.Equal(record, make([]byte, recordSize)) { // never written
				intact = true
				continue
			}
			if s, ok := decodeSlot(record); ok {
				intact = true
				if !s.before(v.last) {
					v.last, v.turn = s, 1-i
				}
			}
		}
	}
	if !intact {
		return errors.New("all its records are damaged: restore the file, or this validator may sign twice")
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

// Record, twice in a slot: checksum (first 8 bytes of the SHA-256 of the rest), version, step, height, round, lengths, bytes.
func (s signState) encodeSlot() ([]byte, error) {
	b := make([]byte, 8, slotSize)
	b = append(b, slotVersion, byte(s.Step))
	b = binary.BigEndian.AppendUint64(b, uint64(s.Height))
	b = binary.BigEndian.AppendUint32(b, uint32(s.Round))
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.SignBytes)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.Signature)))
	b = append(b, s.SignBytes...)
	b = append(b, s.Signature...)
	if len(b) > recordSize {
		return nil, fmt.Errorf("sign state of %d bytes", len(b))
	}
	b = b[:recordSize]
	sum := sha256.Sum256(b[8:])
	copy(b, sum[:8])
	return append(b, b...), nil
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

// Close closes the sign state. CometBFT calls it while a signature may be under way.
func (v *Validator) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.file.Close()
}

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
	if _, err := v.file.WriteAt(slot, int64(v.turn*slotSpacing)); err != nil {
		return nil, nil, fmt.Errorf("record a signature: %w", err)
	}
	if v.alone && s.Step != stepPrecommit {
		v.last = s // and the next one takes the same slot: the other has the last that was synced
		return s.Signature, nil, nil
	}
	if err := v.file.SyncData(); err != nil {
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
