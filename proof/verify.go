package proof

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Step is one of the checks that Policy.Verify makes, in this order.
type Step string

// The steps.
const (
	StepFormat     Step = "format"             // the file is a bundle in its canonical form
	StepEntry      Step = "entry"              // the entry decodes
	StepPayload    Step = "payload commitment" // salt and payload are what the entry commits to
	StepDevice     Step = "device signature"   // the entry is of a request that the device itself signed, with a key that it names
	StepInclusion  Step = "inclusion"          // the entry is in the tree of the checkpoint, at the index
	StepCheckpoint Step = "checkpoint"         // the checkpoint is of the policy's log and signed by it
	StepQuorum     Step = "quorum"             // enough members cosigned it, and every signature is valid and known
)

// StepError says which step of a verification failed.
type StepError struct {
	Step Step
	Err  error
}

func (e *StepError) Error() string { return fmt.Sprintf("verify: step %q failed: %v", e.Step, e.Err) }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// Verified is what a bundle proves.
type Verified struct {
	Entry      Entry
	Payload    []byte // nil if erased
	Erased     bool   // the bundle shows no payload; that it was erased on purpose is the statement of an entry of OpErase
	Index      uint64 // place of the entry in the log, from 0
	Leaf       [32]byte
	Device     *Device // set if the device itself signed the request, and the signature is not erased
	Checkpoint Checkpoint
	SignedBy   []string  // members that cosigned the checkpoint, in the order of their names
	Published  time.Time // when the quorum was complete by the signers' clocks, to the second, UTC
}

// Verify checks a bundle file and returns what it proves. It needs no network, reads no clock and changes nothing.
// A change of any bit of the file makes it fail: the file must be in its canonical form, and, beyond what
// c2sp.org/signed-note demands, each of its signatures must be by a key of the policy and valid.
// The error is a *StepError, or says what is wrong with the policy itself.
func (p *Policy) Verify(file []byte) (*Verified, error) {
	b, err := ParseBundle(file)
	if err != nil {
		return nil, &StepError{StepFormat, err}
	}
	return p.VerifyBundle(b)
}

// VerifyBundle is Verify for a bundle that is parsed already. The result shares its payload.
func (p *Policy) VerifyBundle(b *Bundle) (*Verified, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	entry, err := DecodeEntry(b.Entry)
	if err != nil {
		return nil, &StepError{StepEntry, err}
	}
	if !b.Erased && b.commitment() != entry.Commitment {
		return nil, &StepError{StepPayload, fmt.Errorf("the payload of %d bytes is not the one that the entry commits to", len(b.Payload))}
	}
	device, err := b.device(p.Origin, &entry)
	if err != nil {
		return nil, &StepError{StepDevice, err}
	}
	leaf := LeafHash(b.Entry)
	if err := b.Checkpoint.VerifyInclusion(b.Index, leaf, b.Hashes); err != nil {
		return nil, &StepError{StepInclusion, err}
	}
	s, err := p.signers(&b.Checkpoint)
	if err != nil {
		return nil, err
	}
	if s.unknown != nil {
		return nil, &StepError{StepQuorum, fmt.Errorf("a signature is by key %08x of %q, which the policy does not list", s.unknown.KeyID, s.unknown.Name)}
	}
	v := &Verified{
		Entry:      entry,
		Erased:     b.Erased,
		Index:      b.Index,
		Leaf:       leaf,
		Device:     device,
		Checkpoint: b.Checkpoint.Checkpoint,
		Published:  s.published(p.Quorum),
	}
	if !b.Erased {
		v.Payload = b.Payload
	}
	for _, sig := range s.members {
		v.SignedBy = append(v.SignedBy, sig.Name)
	}
	return v, nil
}

// commitment is what the entry of an unerased bundle must commit to.
func (b *Bundle) commitment() [32]byte {
	if b.Signed == nil {
		return Commit(&b.Salt, b.Payload)
	}
	return CommitSigned(&b.Salt, b.Payload, b.Signed.AppendBinary(nil))
}

// device checks the signature that a bundle shows, and that it shows one if it must.
func (b *Bundle) device(origin string, e *Entry) (*Device, error) {
	switch want := e.Auth.Method == AuthSignature && !b.Erased; {
	case want && b.Signed == nil:
		return nil, errors.New("the entry is of a signed request, the bundle shows no signature")
	case !want && b.Signed != nil:
		return nil, errors.New("the bundle shows a signature, the entry is not of a signed request")
	case !want:
		return nil, nil
	}
	return verifySigned(origin, b.DeviceKey[:], b.Signed, e, b.Payload)
}

// Open checks that a checkpoint is signed by the log and cosigned by a quorum of the members, and returns it with
// the signatures that show it: one by the log and all by members, in the order that a bundle needs. As
// c2sp.org/signed-note demands, signatures by unknown keys are ignored and one invalid signature by a known key is
// an error. The error is a *StepError, or says what is wrong with the policy itself.
func (p *Policy) Open(c *SignedCheckpoint) (*SignedCheckpoint, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	s, err := p.signers(c)
	if err != nil {
		return nil, err
	}
	sigs := append(s.members, s.log)
	sortSignatures(sigs)
	return &SignedCheckpoint{Checkpoint: c.Checkpoint, Signatures: sigs}, nil
}

// signers is who signed a checkpoint.
type signers struct {
	log     Signature   // the first valid signature by the log
	members []Signature // one valid cosignature a member, ordered by name
	unknown *Signature  // a signature that is by no key of the policy, if there is one
}

// published returns the moment at which the quorum was complete. It compares the seconds themselves, because a
// far time wraps around in time.Time.
func (s *signers) published(quorum int) time.Time {
	seconds := make([]uint64, len(s.members))
	for i, sig := range s.members {
		seconds[i] = binary.BigEndian.Uint64(sig.Bytes)
	}
	slices.Sort(seconds)
	return time.Unix(int64(seconds[quorum-1]), 0).UTC()
}

// keyRef is what a signature line says about its key.
type keyRef struct {
	name string
	id   uint32
}

// signers verifies all signatures by keys of the policy.
func (p *Policy) signers(c *SignedCheckpoint) (*signers, error) {
	if c.Origin != p.Origin {
		return nil, &StepError{StepCheckpoint, fmt.Errorf("the checkpoint is of %q, the policy is about %q", c.Origin, p.Origin)}
	}
	keys := make(map[keyRef]VerifierKey, len(p.Logs)+len(p.Members))
	for i := range p.Logs {
		k := p.logKey(i)
		keys[keyRef{k.Name, k.ID()}] = k
	}
	for i := range p.Members {
		k := p.memberKey(i)
		keys[keyRef{k.Name, k.ID()}] = k
	}
	s := new(signers)
	text := c.Checkpoint.Marshal()
	seen := make(map[keyRef]bool, len(c.Signatures))
	for i, sig := range c.Signatures {
		ref := keyRef{sig.Name, sig.KeyID}
		k, known := keys[ref]
		if !known {
			if s.unknown == nil {
				s.unknown = &c.Signatures[i]
			}
			continue
		}
		if !k.verify(text, sig) {
			step := StepQuorum
			if k.Type == KeyLog {
				step = StepCheckpoint
			}
			return nil, &StepError{step, fmt.Errorf("the signature by %q is not valid", sig.Name)}
		}
		if seen[ref] {
			continue
		}
		seen[ref] = true
		switch {
		case k.Type == KeyCosignature:
			s.members = append(s.members, sig)
		case s.log.Name == "":
			s.log = sig
		}
	}
	if s.log.Name == "" {
		return nil, &StepError{StepCheckpoint, fmt.Errorf("no signature by a key of the log %q", p.Origin)}
	}
	if len(s.members) < p.Quorum {
		return nil, &StepError{StepQuorum, fmt.Errorf("%d of %d members cosigned, the policy wants %d", len(s.members), len(p.Members), p.Quorum)}
	}
	sortSignatures(s.members)
	return s, nil
}
