package ledger

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync makes a file's data durable. The file's size does not change, so its metadata can wait.
func datasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
