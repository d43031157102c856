package ledger

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// walTrimmer removes rolled files of CometBFT's consensus write-ahead log that no restart needs. CometBFT rolls it at
// 10 MB and keeps 1 GB of it, yet needs only what was written since the end of the last height.
type walTrimmer struct {
	dir string
	// What was noted last: the height that was committed, and the newest rolled file then.
	height uint64
	newest int
}

// trim is called now and then with the committed height. Files noted earlier go once two more heights were committed:
// the end of the first of them was written after the note, so in a later file, and nothing before it is needed.
// However long a height takes, its own files stay. A file that cannot be removed stays until the next time.
func (w *walTrimmer) trim(height uint64) {
	if height < w.height+2 {
		return
	}
	rolled := w.rolled()
	newest := -1
	for n, path := range rolled {
		newest = max(newest, n)
		if w.height > 0 && n <= w.newest {
			os.Remove(path)
		}
	}
	w.height, w.newest = height, newest
}

func (w *walTrimmer) rolled() map[int]string {
	rolled := make(map[int]string)
	files, err := filepath.Glob(filepath.Join(w.dir, "wal.*"))
	if err != nil {
		return rolled
	}
	for _, f := range files {
		if n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(f), "wal.")); err == nil {
			rolled[n] = f
		}
	}
	return rolled
}

// trimEvery is how often the consensus write-ahead log is trimmed.
const trimEvery = 5 * time.Second

func (c *Consensus) trim(w *walTrimmer, height func() uint64) {
	t := time.NewTicker(trimEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			w.trim(height())
		case <-c.quit:
			return
		}
	}
}
