package translog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"sync"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The mark says up to which size the hash files were synced, and the root they then gave. Format version 1:
// "TLM" version=1 | size, 8 bytes little-endian | root, 32 bytes | CRC32C of all before, 4 bytes little-endian.
const (
	markName  = "hash-mark"
	markMagic = "TLM\x01"
	markSize  = len(markMagic) + 8 + 32 + 4
	tmpSuffix = ".tmp"
)

func hashName(level int) string { return fmt.Sprintf("hash-%d", level) }

// isHashFile says whether a file is one that is made from the segments.
func isHashFile(name string) bool { return strings.HasPrefix(name, "hash-") }

// hashStore is the files of subtree hashes. Hashes beyond the log's size are left-overs and mean nothing.
type hashStore struct {
	fs  vfs.FS
	dir string

	mu     sync.Mutex // guards files and closed; the files themselves may be read and written at once
	files  [maxLevel + 1]vfs.File
	closed bool

	// Owned by the writer.
	dirty    [maxLevel + 1]bool
	newNames bool
	marked   uint64 // size of the last mark; 0 when there is none
}

func (h *hashStore) path(name string) string { return h.fs.PathJoin(h.dir, name) }

// file returns the file of a level. It creates it only for writing.
func (h *hashStore) file(level int, write bool) (vfs.File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	if h.files[level] != nil {
		return h.files[level], nil
	}
	path := h.path(hashName(level))
	_, err := h.fs.Stat(path)
	switch {
	case err == nil:
	case !oserror.IsNotExist(err) || !write:
		return nil, err
	default:
		h.newNames = true
	}
	f, err := h.fs.OpenReadWrite(path, category)
	if err != nil {
		return nil, err
	}
	h.files[level] = f
	return f, nil
}

func (h *hashStore) write(sums []sum) error {
	for i := range sums {
		s := &sums[i]
		f, err := h.file(s.level, true)
		if err == nil {
			h.dirty[s.level] = true
			_, err = f.WriteAt(append([]byte(nil), s.hash[:]...), int64(s.n)*32)
		}
		if err != nil {
			return fmt.Errorf("translog: write hash %d of %s: %w", s.n, hashName(s.level), err)
		}
	}
	return nil
}

// read returns count hashes of a level from number n on.
func (h *hashStore) read(level int, n uint64, count int) ([][32]byte, error) {
	b := make([]byte, 32*count)
	f, err := h.file(level, false)
	if err == nil {
		_, err = f.ReadAt(b, int64(n)*32)
	}
	if errors.Is(err, io.EOF) || oserror.IsNotExist(err) {
		return nil, &CorruptError{File: hashName(level), Offset: int64(n) * 32, Index: n << (tileBits * level), What: fmt.Sprintf("%d hashes are missing", count), Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("translog: read hash %d of %s: %w", n, hashName(level), err)
	}
	out := make([][32]byte, count)
	for i := range out {
		copy(out[i][:], b[32*i:])
	}
	return out, nil
}

// sync makes the hashes durable and marks that they are.
func (h *hashStore) sync(head Head) error {
	for level := range h.files {
		if !h.dirty[level] {
			continue
		}
		if err := h.files[level].Sync(); err != nil {
			return fmt.Errorf("translog: sync %s: %w", hashName(level), err)
		}
		h.dirty[level] = false
	}
	if head.Size == h.marked && !h.newNames {
		return nil
	}
	return h.mark(head)
}

// mark replaces the mark, durably, together with the names of new hash files.
func (h *hashStore) mark(head Head) error {
	b := append(make([]byte, 0, markSize), markMagic...)
	b = binary.LittleEndian.AppendUint64(b, head.Size)
	b = append(b, head.Root[:]...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if err := replaceFile(h.fs, h.dir, markName, func(f vfs.File) error {
		_, err := f.Write(b)
		return err
	}); err != nil {
		return err
	}
	h.newNames = false
	h.marked = head.Size
	return nil
}

// readMark returns the mark; ok is false when there is none. A damaged one is a *CorruptError.
func (h *hashStore) readMark() (head Head, ok bool, err error) {
	f, err := h.fs.Open(h.path(markName))
	if oserror.IsNotExist(err) {
		return head, false, nil
	}
	if err != nil {
		return head, false, fmt.Errorf("translog: open %s: %w", markName, err)
	}
	b := make([]byte, markSize+1)
	n, err := io.ReadFull(f, b)
	if err := f.Close(); err != nil {
		return head, false, fmt.Errorf("translog: close %s: %w", markName, err)
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return head, false, fmt.Errorf("translog: read %s: %w", markName, err)
	}
	if n != markSize || string(b[:len(markMagic)]) != markMagic ||
		crc32.Checksum(b[:markSize-4], castagnoli) != binary.LittleEndian.Uint32(b[markSize-4:]) {
		return head, false, &CorruptError{File: markName, Offset: -1, What: "it is not what was written"}
	}
	head.Size = binary.LittleEndian.Uint64(b[len(markMagic):])
	copy(head.Root[:], b[len(markMagic)+8:])
	return head, true, nil
}

// unmark removes the mark, durably: from now on no hash is trusted after a crash.
func (h *hashStore) unmark() error {
	if err := h.fs.Remove(h.path(markName)); err != nil && !oserror.IsNotExist(err) {
		return fmt.Errorf("translog: remove %s: %w", markName, err)
	}
	h.marked = 0
	return syncFolder(h.fs, h.dir)
}

func (h *hashStore) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	var errs []error
	for level, f := range h.files {
		if f != nil {
			errs = append(errs, f.Close())
			h.files[level] = nil
		}
	}
	return errors.Join(errs...)
}
