package translog

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"

	"github.com/tallystick/tallystick/proof"
)

// NoSeed as a Record's Seed means that its salt derives from no seed: it is kept by itself, as after an erasure of
// another payload of the same batch, or there is none, as after the erasure of this one.
const NoSeed = ^uint32(0)

// Record is one entry of the log with what the entry commits to.
type Record struct {
	// Entry is the leaf. Height, Time and Commitment are filled by Stage and by every read.
	Entry proof.Entry
	// Payload is the request content as committed, nil when there was none or when it was erased. At most
	// proof.MaxPayload bytes.
	Payload []byte
	// Signed is the device's signature over the request (proof.Signed in its binary form), of an entry with
	// proof.AuthSignature that is not erased, else nil. At most maxSigned bytes.
	Signed []byte
	// Seed says which of the block's seeds the salt derives from, and Counter with which number (proof.DeriveSalt).
	Seed, Counter uint32
	// Salt is filled by Stage and by every read. It is an input only when Seed is NoSeed, and zero when Erased.
	Salt [32]byte
	// Erased says that payload and salt are gone; Entry.Commitment is then kept as it was.
	Erased bool
	// Residue is what was kept of an erased payload, for those who replay the log. At most proof.MaxPayload bytes.
	Residue []byte
}

// Block is the entries of one block, in order.
type Block struct {
	Height  uint64
	Time    int64      // Unix microseconds
	Seeds   [][32]byte // one secret a batch; the seed of a batch is gone once one of its payloads was erased
	Records []Record
	// First is the log index of the first record. It is filled by Stage and by Blocks.
	First uint64
}

// Head is the state of the log after its last block.
type Head struct {
	Size   uint64   // entries
	Root   [32]byte // RFC 6962 section 2.1; the hash of the empty string when Size is 0
	Height uint64   // of the last block that had an entry; 0 when Size is 0
}

// Bounds of one block, and of what a decoder believes.
const (
	maxEntries = 1 << 20 // entries of a frame
	maxSeeds   = 1 << 20 // seeds of a frame
	maxRaw     = 1 << 27 // bytes of a frame's columns and payloads before compression
	maxPlain   = 1 << 27 // bytes of a frame's incompressible part
	maxSigned  = ed25519.SignatureSize + binary.MaxVarintLen64 + proof.MaxSignedText + proof.MaxPayload
	// entryCost is more than the columns of an entry can take, and so, with its payload and IDs, its share of maxRaw.
	entryCost = 64
)

// complete fills what derives from the block and the payload.
func (r *Record) complete(b *Block) {
	r.Entry.Height, r.Entry.Time = b.Height, b.Time
	if r.Erased {
		return
	}
	if r.Seed != NoSeed {
		r.Salt = proof.DeriveSalt(&b.Seeds[r.Seed], r.Counter)
	}
	if r.signed() {
		r.Entry.Commitment = proof.CommitSigned(&r.Salt, r.Payload, r.Signed)
		return
	}
	r.Entry.Commitment = proof.Commit(&r.Salt, r.Payload)
}

// signed says whether the request was signed by the device itself.
func (r *Record) signed() bool { return r.Entry.Auth.Method == proof.AuthSignature }

// check refuses a block that a frame cannot hold or a decoder would refuse.
func (b *Block) check() error {
	if len(b.Records) > maxEntries || len(b.Seeds) > maxSeeds {
		return fmt.Errorf("%d entries and %d seeds, the limits are %d and %d", len(b.Records), len(b.Seeds), maxEntries, maxSeeds)
	}
	raw := len(b.Records) * entryCost
	for i := range b.Records {
		r := &b.Records[i]
		e := &r.Entry
		if len(e.Originator) > proof.MaxID || len(e.Target) > proof.MaxID || len(e.Resource) > proof.MaxID {
			return fmt.Errorf("entry %d: originator, target and resource of %d, %d and %d bytes, the limit is %d",
				i, len(e.Originator), len(e.Target), len(e.Resource), proof.MaxID)
		}
		if len(r.Payload) > proof.MaxPayload || len(r.Residue) > proof.MaxPayload {
			return fmt.Errorf("entry %d: payload of %d and residue of %d bytes, the limit is %d", i, len(r.Payload), len(r.Residue), proof.MaxPayload)
		}
		switch {
		case r.Signed != nil && (r.Erased || !r.signed()):
			return fmt.Errorf("entry %d has a signature and is erased, or not of a signed request", i)
		case r.signed() && !r.Erased && (len(r.Signed) <= ed25519.SignatureSize || len(r.Signed) > maxSigned):
			return fmt.Errorf("entry %d: signature and signed text of %d bytes, the limit is %d", i, len(r.Signed), maxSigned)
		case r.signed() != (r.Entry.Auth.Counter != 0):
			return fmt.Errorf("entry %d: counter %d with authentication method %d", i, r.Entry.Auth.Counter, r.Entry.Auth.Method)
		case r.Erased && (r.Payload != nil || r.Seed != NoSeed || r.Salt != [32]byte{}):
			return fmt.Errorf("entry %d is erased and has a payload, a salt or a seed", i)
		case !r.Erased && r.Residue != nil:
			return fmt.Errorf("entry %d has a residue and is not erased", i)
		case r.Seed != NoSeed && int64(r.Seed) >= int64(len(b.Seeds)):
			return fmt.Errorf("entry %d: seed %d of %d", i, r.Seed, len(b.Seeds))
		}
		raw += len(e.Originator) + len(e.Target) + len(e.Resource) + len(r.Payload) + len(r.Residue) + len(r.Signed)
	}
	if raw > maxRaw {
		return fmt.Errorf("about %d bytes, the limit is %d", raw, maxRaw)
	}
	return nil
}
