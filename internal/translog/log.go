// Package translog is the append-only log: every committed entry of a network's whole life, one leaf each of an
// RFC 6962 Merkle tree, with the payload that the leaf commits to. It is the only place where contentInstances are
// stored.
//
// Files, all in one folder:
//
//	<first index, 20 digits>.seg  frames (see frame.go), one a block while the segment is the last one; later
//	                              sealed: rewritten into fewer, larger frames with an index at the end
//	hash-1, hash-2, ...           hashes of complete subtrees of 256, 65536, ... leaves, 32 bytes each
//	hash-mark                     up to which size, and with which root, the hash files were made durable
//
// The segments are the truth; the hash files are made from them again whenever they are missing, short or not
// known to be durable. Leaf hashes are not stored: 256 of them are computed from the records when needed.
//
// Durability comes from the ledger's own write-ahead log. Append does not sync; after a crash the ledger calls
// Rewind with the size that it recorded and appends again what it has beyond.
package translog

import (
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/klauspost/compress/zstd"
)

// Options of a log. The zero value is good.
type Options struct {
	FS           vfs.FS // default vfs.Default
	SegmentBytes int64  // a segment of at least this size (or of 16384 blocks) is sealed; default 64 MiB
	CacheBytes   int64  // memory for decoded frames, indexes and tiles; default 64 MiB
}

const (
	defaultSegmentBytes = 64 << 20
	defaultCacheBytes   = 64 << 20
)

// Log is an open log. Stage, Append, Rewind, Erase, Sync, RebuildHashes and Close belong to one writer and must not
// overlap; everything else may be called by any goroutine at any time.
type Log struct {
	fs           vfs.FS // these do not change
	dir          string
	segmentBytes int64
	cache        *cache
	unzip        *zstd.Decoder
	hashes       *hashStore

	// Owned by the writer.
	enc      *encoder
	buf      []byte
	active   vfs.File            // the last segment, open for writing; nil until the first append to it
	unsynced map[string]struct{} // segment files with bytes that were not synced
	stale    []string            // files past the damage that Open found, for Rewind to remove

	// replace is held while a segment file is replaced or removed, so that the sealer and the writer take turns.
	// It is locked before mu.
	replace  sync.Mutex
	newNames bool // the folder has names that were not synced; guarded by replace

	mu         sync.RWMutex // guards all below
	segments   []*segment   // in order; fields of a segment are guarded by mu too
	generation uint64       // of the last replaced segment file
	head       Head
	edge       edge
	tail       [][32]byte // leaf hashes of the last, incomplete tile
	recent     recent
	damage     *CorruptError // Open stopped there; nothing can be appended before Rewind
	mended     []error
	sealError  error
	closed     bool

	sealer sealer
}

// segment is one segment file.
type segment struct {
	first, next uint64 // indexes of its first entry and of the one after its last
	height      uint64 // of its last block
	end         int64  // bytes of its frames
	size        int64  // bytes of the file
	generation  uint64 // changes whenever the file is replaced
	sealed      bool
	full        bool       // takes no more blocks: to be sealed, if it is not
	unsealable  bool       // damaged: the sealer leaves it alone
	frames      []frameRef // nil when sealed: the footer has them
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d.seg", first) }

func (l *Log) path(name string) string { return l.fs.PathJoin(l.dir, name) }

// writable says why nothing can be appended now. mu must be held.
func (l *Log) writable() error {
	if l.closed {
		return ErrClosed
	}
	if l.damage != nil {
		return fmt.Errorf("the log is damaged and must be rewound first: %w", l.damage)
	}
	return nil
}

// Head is the state after the last block.
func (l *Log) Head() Head {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.head
}

// Damage is what kept Open from opening the whole log, nil when nothing did. A write that a crash tore is such a
// damage too: the caller knows from its own records whether anything is missing. Rewind clears it.
func (l *Log) Damage() *CorruptError {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.damage
}

// LastGood is the end of what can be read: the block boundary before the first damage that Open found, the height of
// the last block before it, and the damage. Without damage it is the end of the log, with a nil cause.
func (l *Log) LastGood() (size, height uint64, cause error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.damage != nil {
		cause = l.damage
	}
	return l.head.Size, l.head.Height, cause
}

// Mended lists what Open found wrong and put right by itself: hash files and the indexes of sealed segments, which
// are made from other bytes.
func (l *Log) Mended() []error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return append([]error(nil), l.mended...)
}

// Stats are sizes on disk.
type Stats struct {
	Segments     int
	Unsealed     int   // segments that are not sealed: the last one and those that wait for it
	SegmentBytes int64 // of all segment files
	HashBytes    int64 // of the hash files
	SealError    error // why the last attempt to seal a segment failed; nil after a success
}

// Stats reports sizes on disk.
func (l *Log) Stats() Stats {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := Stats{Segments: len(l.segments), SealError: l.sealError}
	for _, g := range l.segments {
		s.SegmentBytes += g.size
		if !g.sealed {
			s.Unsealed++
		}
	}
	for level := 1; level <= maxLevel; level++ {
		s.HashBytes += int64(l.head.Size>>(tileBits*level)) * 32
	}
	return s
}

func (l *Log) syncDir() error { return syncFolder(l.fs, l.dir) }
