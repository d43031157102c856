package node

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// certificateCheck is how often at most the files of the certificate are looked at.
const certificateCheck = time.Second

// certificate is the node's TLS certificate. It follows its files: at a handshake they are looked at, and read again
// when they changed, so that a renewal needs no restart and nothing runs in the background. It is safe for concurrent
// use.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	seen    [2]fileState // of the files when they were last read, whether they could be used or not
	checked time.Time
}

// fileState tells whether a file was replaced or written.
type fileState struct {
	modified time.Time
	size     int64
}

// loadCertificate reads the files, relative to the data folder, for the first time.
func loadCertificate(dir string, files TLSFiles, log *slog.Logger) (*certificate, error) {
	c := &certificate{cert: files.Cert, key: files.Key, log: log}
	for _, path := range []*string{&c.cert, &c.key} {
		if !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	seen, err := c.states()
	if err == nil {
		err = c.load()
	}
	if err != nil {
		return nil, fmt.Errorf("read the TLS certificate (tls in config.json): %w", err)
	}
	c.seen, c.checked = seen, time.Now()
	return c, nil
}

func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err
	}
	c.current = &pair
	return nil
}

func (c *certificate) states() (s [2]fileState, err error) {
	for i, path := range []string{c.cert, c.key} {
		info, err := os.Stat(path)
		if err != nil {
			return s, err
		}
		s[i] = fileState{info.ModTime(), info.Size()}
	}
	return s, nil
}

// get gives the certificate of the files as they are now, or the last one that could be used: files that are just being
// replaced are missing or do not fit together for a moment.
func (c *certificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.checked) < certificateCheck {
		return c.current
	}
	c.checked = now
	seen, err := c.states()
	if seen == c.seen {
		return c.current
	}
	if err == nil {
		err = c.load()
	}
	c.seen = seen
	if err != nil {
		c.log.Warn("the TLS certificate changed and cannot be read; the node goes on with the one it has", "err", err)
	} else {
		c.log.Info("the TLS certificate changed", "cert", c.cert)
	}
	return c.current
}
