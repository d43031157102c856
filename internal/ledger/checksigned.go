package ledger

import (
	"fmt"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/translog"
	"github.com/tallystick/tallystick/proof"
)

// checkSigned verifies the signatures of devices in a block of the log, by the keys that the state has.
func (a *App) checkSigned(r cse.Reader, blk *translog.Block) error {
	var batch proof.DeviceBatch
	var entries []uint64
	for i := range blk.Records {
		rec := &blk.Records[i]
		if rec.Signed == nil {
			continue
		}
		index := blk.First + uint64(i)
		cred, err := identity.Lookup(r, rec.Entry.Auth.Key)
		if err != nil {
			return err
		}
		key := a.devices.key(cred)
		if key == nil {
			return fmt.Errorf("entry %d is of a request signed by key %x, which was never enrolled", index, rec.Entry.Auth.Key)
		}
		signed, err := proof.DecodeSigned(rec.Signed)
		if err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		_, message, err := signed.Request(a.genesis.Origin, &rec.Entry, rec.Payload)
		if err != nil {
			return fmt.Errorf("entry %d: the device's signature: %w", index, err)
		}
		batch.Add(key, message, signed.Signature[:])
		entries = append(entries, index)
	}
	for i, ok := range batch.Verify() {
		if !ok {
			return fmt.Errorf("entry %d: the device's signature is not valid", entries[i])
		}
	}
	return nil
}
