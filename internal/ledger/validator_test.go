package ledger

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var validatorKey = cmted25519.PrivKey(testKey)

func openValidator(t testing.TB, path string) *Validator {
	t.Helper()
	v, err := OpenValidator(vfs.Default, path, validatorKey)
	must(t, err)
	return v
}

func newValidator(t testing.TB) (*Validator, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state")
	must(t, CreateValidator(vfs.Default, path))
	return openValidator(t, path), path
}

func vote(height int64, round int32, typ cmtproto.SignedMsgType, block string, at int64) *cmtproto.Vote {
	v := &cmtproto.Vote{Type: typ, Height: height, Round: round, Timestamp: time.UnixMicro(at).UTC(), ValidatorAddress: validatorKey.PubKey().Address()}
	if block != "" {
		h := sha256.Sum256([]byte(block))
		v.BlockID = cmtproto.BlockID{Hash: h[:], PartSetHeader: cmtproto.PartSetHeader{Total: 1, Hash: h[:]}}
	}
	return v
}

// TestNeverSignsTwice drives a validator with random messages, across restarts and damage to one sector of its file:
// it never signs two that differ in more than their time for one height, round and step, and goes on signing.
func TestNeverSignsTwice(t *testing.T) {
	v, path := newValidator(t)
	defer func() { v.Close() }()
	rng := rand.New(rand.NewPCG(1, 2))
	type slot struct {
		height int64
		round  int32
		step   cmtproto.SignedMsgType
	}
	said := make(map[slot][]byte) // sign bytes without time
	height, signed := int64(1), 0
	for i := range 3000 {
		s := slot{height + rng.Int64N(3) - 1, rng.Int32N(3), []cmtproto.SignedMsgType{cmtproto.PrevoteType, cmtproto.PrecommitType, cmtproto.ProposalType}[rng.IntN(3)]}
		block, at := []string{"", "x", "y"}[rng.IntN(3)], startTime+rng.Int64N(1000)
		var plain []byte
		var err error
		if s.step == cmtproto.ProposalType {
			p := &cmtproto.Proposal{Type: s.step, Height: s.height, Round: s.round, BlockID: vote(1, 0, 1, block, 0).BlockID, Timestamp: time.UnixMicro(at).UTC(), PolRound: -1}
			if err = v.SignProposal("chain", p); err == nil && !validatorKey.PubKey().VerifySignature(types.ProposalSignBytes("chain", p), p.Signature) {
				t.Fatal("the signature of a proposal is not valid")
			}
			p.Timestamp = time.Time{}
			plain = types.ProposalSignBytes("chain", p)
		} else {
			m := vote(s.height, s.round, s.step, block, at)
			if err = v.SignVote("chain", m); err == nil && !validatorKey.PubKey().VerifySignature(types.VoteSignBytes("chain", m), m.Signature) {
				t.Fatal("the signature of a vote is not valid")
			}
			m.Timestamp = time.Time{}
			plain = types.VoteSignBytes("chain", m)
		}
		if err == nil {
			if before := said[s]; before != nil && !bytes.Equal(before, plain) {
				t.Fatalf("step %d: signed two messages for %+v", i, s)
			}
			said[s] = plain
			height = max(height, s.height)
			signed++
		}
		if rng.IntN(4) == 0 {
			must(t, v.Close())
			if rng.IntN(2) == 0 {
				damageSector(t, path, rng)
			}
			v = openValidator(t, path)
		}
	}
	if signed < 500 {
		t.Errorf("only %d of 3000 were signed", signed)
	}
}

// TestAloneAfterPowerFailure: a validator on its own, whose machine may lose at any moment what was not synced, always
// starts again, and signs no other precommit than the one it gave out.
func TestAloneAfterPowerFailure(t *testing.T) {
	for _, percent := range []int{0, 50} {
		rng := rand.New(rand.NewPCG(uint64(percent), 9))
		fs := memFS(t)
		must(t, CreateValidator(fs, "data/state"))
		open := func(fs vfs.FS) *Validator {
			v, err := OpenValidator(fs, "data/state", validatorKey)
			must(t, err)
			v.alone = true
			return v
		}
		v := open(fs)
		final := vote(0, 0, cmtproto.PrecommitType, "none", 0)
		for height := int64(1); height < 200; height++ {
			for round := range 1 + rng.Int32N(2) {
				for _, typ := range []cmtproto.SignedMsgType{cmtproto.ProposalType, cmtproto.PrevoteType, cmtproto.PrecommitType} {
					if typ == cmtproto.ProposalType {
						p := &cmtproto.Proposal{Type: typ, Height: height, Round: round, BlockID: vote(1, 0, 1, "x", 0).BlockID, PolRound: -1}
						must(t, v.SignProposal("chain", p))
					} else {
						must(t, v.SignVote("chain", vote(height, round, typ, "x", startTime)))
					}
					if typ == cmtproto.PrecommitType {
						final = vote(height, round, typ, "x", startTime)
					}
					crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
					if percent > 0 {
						tearSlots(t, fs, crashed, rng)
					}
					again := open(crashed)
					if err := again.SignVote("chain", vote(final.Height, final.Round, cmtproto.PrecommitType, "y", startTime)); err == nil && final.Height > 0 {
						t.Fatalf("height %d, round %d: signed another precommit after a power failure", height, round)
					}
					if rng.IntN(3) > 0 {
						must(t, again.Close())
						continue
					}
					must(t, v.Close()) // goes on from what the failure left, with the message that it lost again
					v, fs = again, crashed
					if typ != cmtproto.PrecommitType {
						_ = v.SignVote("chain", vote(height, round, cmtproto.PrevoteType, "x", startTime))
					}
				}
			}
		}
		must(t, v.Close())
	}
}

// tearSlots leaves of the slots that were written since the last sync a part at most.
func tearSlots(t *testing.T, fs, crashed *vfs.MemFS, rng *rand.Rand) {
	t.Helper()
	read := func(fs vfs.FS) []byte {
		f, err := fs.Open("data/state")
		must(t, err)
		defer f.Close()
		b := make([]byte, stateSize)
		_, err = f.ReadAt(b, 0)
		must(t, err)
		return b
	}
	now, synced := read(fs), read(fs.CrashClone(vfs.CrashCloneCfg{}))
	f, err := crashed.OpenReadWrite("data/state", vfs.WriteCategoryUnspecified)
	must(t, err)
	for at := 0; at < stateSize; at += slotSpacing {
		slot := bytes.Clone(now[at : at+slotSize])
		if !bytes.Equal(slot, synced[at:at+slotSize]) {
			cut := rng.IntN(slotSize)
			copy(slot[cut:], bytes.Repeat([]byte{0xaa}, slotSize))
			_, err = f.WriteAt(slot, int64(at))
			must(t, err)
		}
	}
	must(t, f.Sync())
	must(t, f.Close())
}

// damageSector flips bits of one record, or makes it what a torn write may leave.
func damageSector(t *testing.T, path string, rng *rand.Rand) {
	b, err := os.ReadFile(path)
	must(t, err)
	record := b[rng.IntN(2)*slotSpacing+rng.IntN(2)*recordSize:][:recordSize]
	if rng.IntN(2) == 0 {
		record[rng.IntN(200)] ^= 1 << rng.IntN(8)
	} else {
		clear(record[rng.IntN(100):])
	}
	must(t, os.WriteFile(path, b, 0o600))
}

// TestTornRecord: a record of which a crash wrote any part was never signed with; the validator starts, and signs
// neither below what it signed before nor, if the record is whole in one copy, another message in its place.
func TestTornRecord(t *testing.T) {
	v, path := newValidator(t)
	m := vote(5, 0, cmtproto.PrevoteType, "x", 1)
	must(t, v.SignVote("chain", m))
	before, err := os.ReadFile(path)
	must(t, err)
	must(t, v.SignVote("chain", vote(5, 0, cmtproto.PrecommitType, "x", 2)))
	after, err := os.ReadFile(path)
	must(t, err)
	must(t, v.Close())
	for cut := 0; cut <= slotSize; cut += 16 {
		torn := bytes.Clone(before)
		copy(torn[slotSpacing:], after[slotSpacing:slotSpacing+cut])
		must(t, os.WriteFile(path, torn, 0o600))
		v := openValidator(t, path)
		if err := v.SignVote("chain", vote(5, 0, cmtproto.PrevoteType, "y", 1)); err == nil {
			t.Fatalf("cut at %d: signed another prevote", cut)
		}
		again := vote(5, 0, cmtproto.PrevoteType, "x", 7)
		if cut < 100 { // not whole in any copy
			if err := v.SignVote("chain", again); err != nil || !bytes.Equal(again.Signature, m.Signature) || !again.Timestamp.Equal(m.Timestamp) {
				t.Fatalf("cut at %d: the same prevote: %v", cut, err)
			}
		}
		if err := v.SignVote("chain", vote(5, 0, cmtproto.PrecommitType, "y", 2)); err == nil && cut >= recordSize {
			t.Fatalf("cut at %d: signed another precommit", cut)
		}
		must(t, v.Close())
	}
}

// TestDamagedState: a state that says nothing is no reason to begin anew.
func TestDamagedState(t *testing.T) {
	v, path := newValidator(t)
	for h := range int64(3) {
		must(t, v.SignVote("chain", vote(h+1, 0, cmtproto.PrevoteType, "x", 1)))
	}
	must(t, v.Close())
	good, err := os.ReadFile(path)
	must(t, err)
	all := bytes.Clone(good)
	for i := range 4 {
		all[i/2*slotSpacing+i%2*recordSize+9] ^= 4
	}
	for name, b := range map[string][]byte{"empty": {}, "short": good[:len(good)-1], "all records damaged": all} {
		must(t, os.WriteFile(path, b, 0o600))
		if v, err := OpenValidator(vfs.Default, path, validatorKey); err == nil {
			v.Close()
			t.Errorf("%s: opened", name)
		}
	}
	must(t, os.Remove(path))
	if v, err := OpenValidator(vfs.Default, path, validatorKey); err == nil {
		v.Close()
		t.Error("missing: opened")
	}
}

func TestSlotGolden(t *testing.T) {
	s := signState{Height: 77, Round: 2, Step: stepPrecommit, SignBytes: []byte("what was signed"), Signature: bytes.Repeat([]byte{0x5a}, 64)}
	b, err := s.encodeSlot()
	must(t, err)
	golden(t, "testdata/signstate.v1.hex", b)
	for _, record := range [][]byte{b[:recordSize], b[recordSize:]} {
		got, ok := decodeSlot(record)
		if !ok || fmt.Sprint(got) != fmt.Sprint(s) {
			t.Errorf("decoded %v, %v", got, ok)
		}
	}
	s.SignBytes = make([]byte, recordSize)
	if _, err := s.encodeSlot(); err == nil {
		t.Error("a record that does not fit was encoded")
	}
}

func FuzzDecodeSlot(f *testing.F) {
	b, _ := signState{Height: 7, SignBytes: []byte("x"), Signature: []byte("y")}.encodeSlot()
	f.Add(b[8:recordSize])
	f.Fuzz(func(t *testing.T, body []byte) {
		record := make([]byte, recordSize)
		copy(record[8:], body)
		sum := sha256.Sum256(record[8:])
		copy(record, sum[:8])
		if s, ok := decodeSlot(record); ok && len(s.SignBytes)+len(s.Signature) > recordSize {
			t.Fatal("more bytes than there are")
		}
	})
}
