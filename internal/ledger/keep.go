package ledger

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/proof"
)

// keeper does the housekeeping that must not hold up a commit: it syncs log and tree now and then, which bounds what
// a restart has to repeat and lets old blocks go, and takes erased payloads out of the log.
type keeper struct {
	work    chan uint64 // heights to make durable
	done    sync.WaitGroup
	durable atomic.Uint64 // every block up to this height is synced in log and tree
}

const (
	syncEvery      = 256     // blocks
	syncEveryBytes = 4 << 20 // frames waiting in the tree's write-ahead log
)

const localFrame = "frame/"

// noAuth marks what the ledger does by itself.
var noAuth = proof.Auth{}

func frameKey(first uint64) string {
	return localFrame + string(binary.BigEndian.AppendUint64(nil, first))
}

func (a *App) startKeeper() {
	a.keeper.work = make(chan uint64, 1)
	a.keeper.work <- a.Head().Height // what a crash left to erase
	a.keeper.done.Go(func() {
		for height := range a.keeper.work {
			if err := a.makeDurable(height); err != nil {
				a.fatal(err)
				return
			}
			if err := a.erasePending(); err != nil {
				a.fatal(err)
				return
			}
		}
	})
}

// keep is called after each commit and returns the height below which blocks may be pruned, 0 for now.
func (a *App) keep(b *building) (retain int64) {
	erase := false
	for i := range b.log.Records {
		erase = erase || b.log.Records[i].Entry.Operation == proof.OpErase
	}
	if b.height%syncEvery == 0 || a.unsynced >= syncEveryBytes || erase {
		select {
		case a.keeper.work <- b.height:
			a.unsynced = 0
		default: // still at the last one
		}
	}
	if b.height%syncEvery == 0 && a.RetainBlocks > 0 {
		retain = min(int64(b.height)-a.RetainBlocks, int64(a.keeper.durable.Load()))
	}
	return max(retain, 0)
}

// makeDurable syncs the log, then forgets the frames that the tree kept in case it was lost, then syncs the tree.
func (a *App) makeDurable(height uint64) error {
	a.logWriter.Lock()
	if a.log.Damage() != nil { // it waits to be rewound and mended from the frames
		a.logWriter.Unlock()
		return nil
	}
	size, err := a.log.Head().Size, a.log.Sync()
	a.logWriter.Unlock()
	if err != nil {
		return fmt.Errorf("sync the log: %w", err)
	}
	if err := a.tree.DropLocals(localFrame, frameKey(size)); err != nil {
		return fmt.Errorf("forget synced frames: %w", err)
	}
	if err := a.tree.Sync(); err != nil {
		return fmt.Errorf("sync the tree: %w", err)
	}
	a.keeper.durable.Store(height)
	return nil
}

// erasePending takes payloads whose erasure was committed out of the log. It may be repeated after a crash.
func (a *App) erasePending() error {
	for l, err := range a.tree.Locals(localErase) {
		if err != nil {
			return fmt.Errorf("read what is to be erased: %w", err)
		}
		index := binary.BigEndian.Uint64([]byte(l.Key[len(localErase):]))
		rec, err := a.log.Record(index)
		if err != nil {
			return fmt.Errorf("erase entry %d: %w", index, err)
		}
		if !rec.Erased {
			a.logWriter.Lock()
			err := a.log.Erase(index, cse.Redact(rec.Payload))
			if err == nil {
				err = a.log.Sync() // before the frames go that could restore what comes before the entry
			}
			a.logWriter.Unlock()
			if err != nil {
				return fmt.Errorf("erase entry %d: %w", index, err)
			}
		}
		// Frames that wait in the tree for a sync hold the payload too.
		if err := a.tree.DropLocals(localFrame, frameKey(index+1)); err != nil {
			return fmt.Errorf("erase entry %d: %w", index, err)
		}
		if err := a.tree.SetLocal(l.Key, nil); err != nil {
			return fmt.Errorf("erase entry %d: %w", index, err)
		}
	}
	return nil
}

// stopKeeper waits for the housekeeping under way and makes everything durable.
func (a *App) stopKeeper() error {
	close(a.keeper.work)
	a.keeper.done.Wait()
	return a.makeDurable(a.Head().Height)
}
