package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/translog"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// Every validator verifies the signatures of devices in a batch, many at once and on all cores, when it first sees the
// batch: in the mempool or as a proposal, at the latest while it is executed. Whether a signature is valid follows from the
// item and from the public key that the ledger has bound to its key ID for good, so the answer is the same whenever it is
// found. Where one of many is bad, and where a key is enrolled by the very same block, execution asks for each.

// signatureOverhead is what a signature takes in an item at most.
const signatureOverhead = 1 + 2*binary.MaxVarintLen64 + ed25519.SignatureSize

func appendSignature(dst []byte, s *onem2m.Signature) []byte {
	dst = binary.AppendUvarint(dst, s.Counter)
	dst = binary.AppendUvarint(dst, uint64(s.Until))
	return append(dst, s.Bytes[:]...)
}

// signature reads a device's signature. Whether it is valid, and of a request that can be signed, is not asked here.
func (d *decoder) signature(it *Item) {
	s := &onem2m.Signature{Key: it.Key, Counter: d.uvarint(onem2m.MaxCounter), Until: int64(d.uvarint(1<<63 - 1))}
	copy(s.Bytes[:], d.bytes(len(s.Bytes)))
	if s.Counter == 0 {
		d.fail(errNotShort)
	}
	it.Signature = s
}

// signedText appends what a device signed before the content.
func (it *Item) signedText(dst []byte, origin string) ([]byte, error) {
	req := onem2m.Request{
		Operation: onem2m.Operation(it.Operation), From: it.From, To: it.To, Type: it.Type, ReleaseVersion: it.Release, Filter: it.Filter,
	}
	if it.Parameters != nil {
		req.ResponseType = it.Parameters.ResponseType // which no signature covers
	}
	dst, err := it.Signature.AppendSigned(dst, origin, &req)
	if err == nil && it.Parameters != nil {
		err = errors.New("a signed request with the parameters of a non-blocking one, which the signature does not cover")
	}
	return dst, err
}

// signed says whether a batch has a signature of a device.
func (b *Batch) signed() bool {
	for i := range b.Items {
		if b.Items[i].Signature != nil {
			return true
		}
	}
	return false
}

// deviceSignatures remembers what was found out about signatures of devices. Any goroutine may use it.
type deviceSignatures struct {
	batches verifiedBatches // transactions in which all are valid
	items   digests         // valid ones

	mu    sync.RWMutex
	keys  map[identity.KeyID]*proof.DeviceKey // prepared keys, of whatever credentials
	bound map[identity.KeyID]*proof.DeviceKey // of committed credentials: an ID is bound to one key for good
}

const (
	maxDeviceKeys  = 1 << 14 // of about 1.5 KiB each
	maxSignedItems = 1 << 16 // as many as may wait for a batch
)

// digests is a set of digests that forgets the older half when it has more than maxSignedItems.
type digests struct {
	mu       sync.Mutex
	new, old map[[32]byte]struct{}
}

func (d *digests) has(id [32]byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.new[id]
	if !ok {
		_, ok = d.old[id]
	}
	return ok
}

func (d *digests) add(id [32]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.new == nil || len(d.new) >= maxSignedItems {
		d.old, d.new = d.new, make(map[[32]byte]struct{})
	}
	d.new[id] = struct{}{}
}

// key returns the prepared public key of a credential, nil for one that is no key.
func (d *deviceSignatures) key(cred *identity.Credential) *proof.DeviceKey {
	if cred == nil || cred.Kind != identity.Key {
		return nil
	}
	id := cred.ID()
	d.mu.RLock()
	k := d.keys[id]
	d.mu.RUnlock()
	if k != nil && k.Public() == cred.Value {
		return k
	}
	k, err := proof.NewDeviceKey(cred.Value[:])
	if err != nil { // it was not enrolled by this program
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keys == nil || len(d.keys) >= maxDeviceKeys {
		d.keys = make(map[identity.KeyID]*proof.DeviceKey)
	}
	d.keys[id] = k
	return k
}

// digest names a signed item: nobody can make another one of the same digest.
func (it *Item) digest(text []byte) [32]byte {
	h := sha256.New()
	h.Write(it.Signature.Bytes[:])
	h.Write(text)
	h.Write(it.Content)
	return [32]byte(h.Sum(nil))
}

// sign notes of a batch that this node makes that all its signatures are valid, if that was found when the items came.
func (d *deviceSignatures) sign(tx []byte, origin string, items []Item) {
	signed := false
	var buf [512]byte
	for i := range items {
		it := &items[i]
		if it.Signature == nil {
			continue
		}
		signed = true
		text, err := it.signedText(buf[:0], origin)
		if err != nil || it.Signature.Key != it.Key || !d.items.has(it.digest(text)) {
			return
		}
	}
	if signed {
		d.batches.add(tx, nil)
	}
}

// VerifySignature says whether the signature of an item is by the key that cred binds. It is for those who take requests
// from devices; what they found valid is not verified again when the item is in a batch of this node.
func (a *App) VerifySignature(it *Item, cred *identity.Credential) bool {
	key := a.devices.key(cred)
	text, err := it.signedText(make([]byte, 0, 512+len(it.Content)), a.genesis.Origin)
	if key == nil || err != nil || !key.Verify(append(text, it.Content...), it.Signature.Bytes[:]) {
		return false
	}
	a.devices.items.add(it.digest(text))
	return true
}

// SignedItem is an item and the credential of the key that must have signed it.
type SignedItem struct {
	Item *Item
	By   *identity.Credential
}

// VerifySignatures is VerifySignature for many items: together, on all cores.
func (a *App) VerifySignatures(items []SignedItem) []bool {
	valid := make([]bool, len(items))
	cores := runtime.GOMAXPROCS(0)
	size := max(fewSignatures, min(largePart, (len(items)+cores-1)/cores))
	var workers sync.WaitGroup
	for from := 0; from < len(items); from += size {
		part, out := items[from:min(from+size, len(items))], valid[from:]
		if len(items) <= size {
			a.verifyItems(part, out)
			break
		}
		workers.Go(func() { a.verifyItems(part, out) })
	}
	workers.Wait()
	return valid
}

// fewSignatures is how many are not worth another goroutine.
const fewSignatures = 8

// verifyItems says of each item whether its signature is valid.
func (a *App) verifyItems(items []SignedItem, valid []bool) {
	if len(items) == 1 {
		valid[0] = a.VerifySignature(items[0].Item, items[0].By)
		return
	}
	var batch proof.DeviceBatch
	var in []int
	var sums [][32]byte
	var buf []byte
	batch.Grow(len(items))
	for i, s := range items {
		key := a.devices.key(s.By)
		text, err := s.Item.signedText(buf[:0], a.genesis.Origin)
		if key == nil || err != nil {
			continue
		}
		in, sums = append(in, i), append(sums, s.Item.digest(text))
		buf = append(text, s.Item.Content...)
		batch.Add(key, buf, s.Item.Signature.Bytes[:])
	}
	for n, ok := range batch.Verify() {
		valid[in[n]] = ok
		if ok {
			a.devices.items.add(sums[n])
		}
	}
}

// signedBy says whether an item under execution is signed by the key that cred binds, and of its originator: who signs
// speaks for himself and for nobody behind him.
func (a *App) signedBy(b *building, it *Item, cred *identity.Credential) bool {
	return cred.Kind == identity.Key && cred.Originator == it.From && (b.proven || b.signatures.proves(b.item, cred.Value) || a.VerifySignature(it, cred))
}

// appendKept appends what is kept of the signature beside the payload of an entry that has the item's content, by the text
// that was signed (proof.Signed in its binary form).
func (it *Item) appendKept(dst, text []byte) []byte {
	s := proof.Signed{Signature: it.Signature.Bytes, Text: text}
	if dst == nil {
		dst = make([]byte, 0, len(s.Signature)+2+len(text))
	}
	return s.AppendBinary(dst)
}

// keptSignature returns what verifying made of the signature of the item under way, nil when that is not known.
func (b *building) keptSignature(it *Item) []byte {
	switch {
	case b.item >= len(b.items) || it != &b.items[b.item]:
		return nil // an act that was proposed before
	case b.signed != nil:
		return b.signed[b.item]
	}
	return b.signatures.kept(b.item)
}

// keepSigned keeps the signature of a request beside the payloads of the entries that it made, the last n.
func (b *building) keepSigned(n int, kept, content []byte) error {
	records := b.log.Records[len(b.log.Records)-n:]
	for i := range records {
		records[i].Signed = kept
		if !bytes.Equal(records[i].Payload, content) {
			s, err := proof.DecodeSigned(kept)
			if err != nil {
				return err
			}
			s.Apart, s.Content = true, content
			records[i].Signed = s.AppendBinary(make([]byte, 0, len(kept)+2+len(content)))
		}
		b.bytes += len(records[i].Signed)
	}
	return nil
}

// besideSize is what each entry of an item keeps beside its payload, in bytes at most.
func besideSize(it *Item, kept []byte) int {
	if kept == nil {
		return 0
	}
	return len(kept) + 2 + len(it.Content)
}

// showSignature puts the signature of a device into the bundle of an entry, and the public key that it is checked with.
func (a *App) showSignature(b *proof.Bundle, rec *translog.Record) (err error) {
	if b.Signed, err = proof.DecodeSigned(rec.Signed); err != nil {
		return err
	}
	view := a.View()
	defer view.Close()
	cred, err := identity.Lookup(view, rec.Entry.Auth.Key)
	if err == nil && (cred == nil || cred.Kind != identity.Key) {
		err = fmt.Errorf("the key %x that it is signed with was never enrolled", rec.Entry.Auth.Key)
	}
	if err != nil {
		return err
	}
	b.DeviceKey = cred.Value
	return nil
}
