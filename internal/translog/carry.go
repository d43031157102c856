package translog

import (
	"fmt"
)

// Frame returns what the last Append wrote, valid until the next one. Whoever keeps it elsewhere can give it to
// AppendFrame should the segment lose it before it is synced.
func (l *Log) Frame() []byte { return l.buf }

// AppendFrame appends the block of a frame that Frame returned. It must follow the last entry.
func (l *Log) AppendFrame(b []byte) error {
	f, err := decodeFrame(l.unzip, b)
	if err == nil && f.first != l.Head().Size {
		err = fmt.Errorf("it begins at index %d, the log ends at %d", f.first, l.Head().Size)
	}
	if err == nil && len(f.blocks) != 1 {
		err = fmt.Errorf("it holds %d blocks", len(f.blocks))
	}
	if err != nil {
		return fmt.Errorf("translog: append a frame: %w", err)
	}
	s, err := l.Stage(f.materialise(0, false))
	if err != nil {
		return err
	}
	return l.Append(s)
}
