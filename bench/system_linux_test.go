package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A benchmark on a file system in memory is refused, with the reason and the way out.
func TestRefuseMemory(t *testing.T) {
	dir := "/dev/shm"
	if _, memory, err := fileSystem(dir); err != nil || !memory {
		t.Skipf("%s is no file system in memory here", dir)
	}
	before, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Run(t.Context(), Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "tmpfs") || !strings.Contains(err.Error(), "--dir") {
		t.Errorf("the error is %v", err)
	}
	after, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(after) > len(before) {
		t.Errorf("the refused run left files in %s", dir)
	}
}

func TestDiskBytes(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), make([]byte, 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "a"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil { // delayed allocation
		t.Fatal(err)
	}
	occupied, _, err := diskBytes(dir)
	if err != nil {
		t.Fatal(err)
	}
	if occupied < 10_000 || occupied > 200_000 {
		t.Errorf("a file of 10,000 bytes occupies %d", occupied)
	}
}

func TestOwnProcess(t *testing.T) {
	now, peak, err := residentBytes(os.Getpid())
	if err != nil || now < 1<<20 || peak < now {
		t.Errorf("this process holds %d bytes, %d at most: %v", now, peak, err)
	}
	if _, err := processCPU(os.Getpid()); err != nil {
		t.Error(err)
	}
	if cpu, err := ownCPU(); err != nil || cpu <= 0 {
		t.Errorf("this process used %s of CPU time: %v", cpu, err)
	}
}
