package translog

import (
	"errors"
	"fmt"
)

// ErrNotFound is returned for an index, a tile or a size past the end of the log.
var ErrNotFound = errors.New("translog: past the end of the log")

// ErrClosed is returned by every call after Close.
var ErrClosed = errors.New("translog: the log is closed")

// CorruptError names the first thing that is wrong with the files of a log, and where.
type CorruptError struct {
	File   string // name below the log's folder
	Offset int64  // byte in the file; -1 when the whole file is meant
	Index  uint64 // first log index that cannot be trusted: always the first of a block
	Height uint64 // height of the block there; 0 when unknown
	What   string // what is wrong, in plain words
	Err    error  // the cause, nil when What says all
}

func (e *CorruptError) Error() string {
	s := "translog: " + e.File
	if e.Offset >= 0 {
		s += fmt.Sprintf(" at byte %d", e.Offset)
	}
	s += fmt.Sprintf(" (log index %d", e.Index)
	if e.Height > 0 {
		s += fmt.Sprintf(", height %d", e.Height)
	}
	s += "): " + e.What
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *CorruptError) Unwrap() error { return e.Err }
