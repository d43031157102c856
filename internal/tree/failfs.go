package tree

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// failFS is the file system under the store. The first write that fails is recorded, and from then on every write
// fails: a disk that lost one write is not given another. Pebble cannot stop cleanly when it fails to begin a new
// write-ahead log, so a log that cannot be made is handed out all the same, as a file that fails on first use, and so
// is the sync of a directory, after which nothing can be written that would count on it.
type failFS struct {
	vfs.FS
	f *failure
}

// Unwrap implements vfs.FS.
func (s failFS) Unwrap() vfs.FS { return s.FS }

// note records the error of a write, if it is one.
func (s failFS) note(what, name string, err error) error {
	if err != nil {
		err = fmt.Errorf("%s %s: %w", what, name, err)
		s.f.record(err)
	}
	return err
}

// opened makes a new file one that is watched.
func (s failFS) opened(what, name string, file vfs.File, err error) (vfs.File, error) {
	if err := s.note(what, name, err); err != nil {
		if strings.HasSuffix(name, ".log") {
			return &failFile{File: vfs.NewMemFile(nil), fs: s, name: name}, nil
		}
		return nil, err
	}
	return &failFile{File: file, fs: s, name: name}, nil
}

// Create implements vfs.FS.
func (s failFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := s.f.get(); err != nil {
		return s.opened("create", name, nil, err)
	}
	file, err := s.FS.Create(name, category)
	return s.opened("create", name, file, err)
}

// ReuseForWrite implements vfs.FS.
func (s failFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := s.f.get(); err != nil {
		return s.opened("reuse", newname, nil, err)
	}
	file, err := s.FS.ReuseForWrite(oldname, newname, category)
	return s.opened("reuse", newname, file, err)
}

// OpenDir implements vfs.FS.
func (s failFS) OpenDir(name string) (vfs.File, error) {
	dir, err := s.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &failDir{File: dir, fs: s, name: name}, nil
}

// Rename implements vfs.FS.
func (s failFS) Rename(oldname, newname string) error {
	if err := s.f.get(); err != nil {
		return err
	}
	return s.note("rename", oldname, s.FS.Rename(oldname, newname))
}

// Remove implements vfs.FS. What failed to be written may be needed again, so nothing is removed after a failure.
func (s failFS) Remove(name string) error {
	if err := s.f.get(); err != nil {
		return err
	}
	return s.FS.Remove(name)
}

type failDir struct {
	vfs.File
	fs   failFS
	name string
}

// Sync implements vfs.File.
func (d *failDir) Sync() error {
	if d.fs.f.get() == nil {
		_ = d.fs.note("sync", d.name, d.File.Sync()) // recorded, so that nothing counts on it
	}
	return nil
}

type failFile struct {
	vfs.File
	fs   failFS
	name string
}

// write does a write unless one has failed before.
func (w *failFile) write(what string, do func() error) error {
	if err := w.fs.f.get(); err != nil {
		return err
	}
	return w.fs.note(what, w.name, do())
}

// Write implements vfs.File.
func (w *failFile) Write(p []byte) (n int, err error) {
	err = w.write("write", func() (err error) { n, err = w.File.Write(p); return err })
	return n, err
}

// WriteAt implements vfs.File.
func (w *failFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = w.write("write", func() (err error) { n, err = w.File.WriteAt(p, off); return err })
	return n, err
}

// Sync implements vfs.File.
func (w *failFile) Sync() error { return w.write("sync", w.File.Sync) }

// SyncData implements vfs.File.
func (w *failFile) SyncData() error { return w.write("sync", w.File.SyncData) }

// SyncTo implements vfs.File.
func (w *failFile) SyncTo(length int64) (full bool, err error) {
	err = w.write("sync", func() (err error) { full, err = w.File.SyncTo(length); return err })
	return full, err
}
