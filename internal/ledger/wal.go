package ledger

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CometBFT rolls its consensus write-ahead log at 10 MB and keeps 1 GB of it, yet needs only the messages of the
// height under way. keepWAL is how many rolled files stay: a block of the largest size and its votes fit in two.
const keepWAL = 2

// trimWAL removes rolled files of the consensus write-ahead log that no restart needs. A file that cannot be removed
// stays until the next time.
func trimWAL(dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "wal.*"))
	if err != nil {
		return
	}
	rolled := make(map[int]string)
	for _, f := range files {
		if n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(f), "wal.")); err == nil {
			rolled[n] = f
		}
	}
	numbers := slices.Sorted(maps.Keys(rolled))
	for _, n := range numbers[:max(0, len(numbers)-keepWAL)] {
		os.Remove(rolled[n])
	}
}

// trimEvery is how often the consensus write-ahead log is trimmed.
const trimEvery = 10 * time.Second

func (c *Consensus) trim(dir string) {
	t := time.NewTicker(trimEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			trimWAL(dir)
		case <-c.quit:
			return
		}
	}
}
