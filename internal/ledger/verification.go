package ledger

import (
	"runtime"
	"sync"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/proof"
)

// chunk is how many signatures are verified at once: more gain little, and execution waits for the first.
const chunk = 256

// check is a signature to be verified.
type check struct {
	item int // its place in the batch
	key  *proof.DeviceKey
}

// verification is the verifying of a batch's signatures, on all cores, part by part in the order of the items. What it
// finds does not depend on when it is asked.
type verification struct {
	keys    []*proof.DeviceKey // of each item, nil for one whose signature is not verified here
	part    []int              // of each item, where its signature is
	done    []chan struct{}    // of each part, closed when it is verified
	valid   []bool             // of each part that is done: all of its signatures
	workers sync.WaitGroup
}

// startVerifying begins to verify the signatures of a batch. A signature by a key that is not enrolled yet is left out.
func (a *App) startVerifying(items []Item) (*verification, error) {
	view := a.View()
	defer view.Close()
	v := &verification{keys: make([]*proof.DeviceKey, len(items)), part: make([]int, len(items))}
	var checks []check
	for i := range items {
		if items[i].Signature == nil {
			continue
		}
		key, err := a.devices.committed(view, items[i].Key)
		if err != nil {
			return nil, err
		}
		if key != nil {
			checks = append(checks, check{i, key})
		}
	}
	cores := runtime.GOMAXPROCS(0)
	size := min(chunk, (len(checks)+cores-1)/cores)
	if size == 0 {
		return v, nil
	}
	for i, c := range checks {
		v.keys[c.item], v.part[c.item] = c.key, i/size
	}
	n := (len(checks) + size - 1) / size
	v.done, v.valid = make([]chan struct{}, n), make([]bool, n)
	next := make(chan int, n)
	for i := range n {
		v.done[i] = make(chan struct{})
		next <- i
	}
	close(next)
	for range min(cores, n) {
		v.workers.Go(func() {
			for i := range next {
				v.valid[i] = verifyTogether(items, checks[i*size:min((i+1)*size, len(checks))], a.genesis.Origin)
				close(v.done[i])
			}
		})
	}
	return v, nil
}

// proves says whether an item is signed by a key. False when that was not found out here: others in its part may have
// been bad.
func (v *verification) proves(item int, public [32]byte) bool {
	if v == nil || v.keys[item] == nil || v.keys[item].Public() != public {
		return false
	}
	part := v.part[item]
	<-v.done[part]
	return v.valid[part]
}

// end waits until all is verified, and says whether all signatures of the batch were, and are valid.
func (v *verification) end(items []Item) bool {
	if v == nil {
		return false
	}
	v.workers.Wait()
	for _, ok := range v.valid {
		if !ok {
			return false
		}
	}
	for i := range items {
		if items[i].Signature != nil && v.keys[i] == nil {
			return false
		}
	}
	return true
}

func verifyTogether(items []Item, checks []check, origin string) bool {
	var batch proof.DeviceBatch
	var buf []byte
	for _, c := range checks {
		it := &items[c.item]
		text, err := it.signedText(buf[:0], origin)
		if err != nil {
			return false
		}
		buf = append(text, it.Content...)
		batch.Add(c.key, buf, it.Signature.Bytes[:])
	}
	return batch.AllValid()
}

// verifyDevices verifies the signatures of devices in a batch that was not executed yet, and remembers it if all are valid.
func (a *App) verifyDevices(tx []byte, items []Item) error {
	v, err := a.startVerifying(items)
	if err != nil {
		return err
	}
	if v.end(items) {
		a.devices.batches.add(tx)
	}
	return nil
}

// committed returns the prepared public key that the ledger has bound to an ID for good, nil when it has none.
func (d *deviceSignatures) committed(r cse.Reader, id identity.KeyID) (*proof.DeviceKey, error) {
	d.mu.RLock()
	k := d.bound[id]
	d.mu.RUnlock()
	if k != nil {
		return k, nil
	}
	cred, err := identity.Lookup(r, id)
	if err != nil {
		return nil, err
	}
	if k = d.key(cred); k == nil {
		return nil, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bound == nil || len(d.bound) >= maxDeviceKeys {
		d.bound = make(map[identity.KeyID]*proof.DeviceKey)
	}
	d.bound[id] = k
	return k, nil
}
