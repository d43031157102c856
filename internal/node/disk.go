package node

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// disk watches the free space of the data folder's file system. A node that refuses writes while it still can write
// loses nothing; one that runs into a full disk has to stop.
type disk struct {
	dir  string
	min  uint64
	free atomic.Uint64
}

func watchDisk(dir string, min uint64) (*disk, error) {
	d := &disk{dir: dir, min: min}
	if err := d.look(); err != nil {
		return nil, err
	}
	if err := d.refuse(); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *disk) look() error {
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		return fmt.Errorf("look at the free space of %s: %w", d.dir, err)
	}
	d.free.Store(st.Bavail * uint64(st.Bsize))
	return nil
}

func (d *disk) watch(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			d.look()
		case <-ctx.Done():
			return
		}
	}
}

// refuse says why writes are refused, nil when there is room.
func (d *disk) refuse() error {
	if free := d.free.Load(); free < d.min {
		return fmt.Errorf("the disk of %s is nearly full: %d MiB free, %d MiB are kept in reserve; nothing is lost; make room and writes go on", d.dir, free>>20, d.min>>20)
	}
	return nil
}
