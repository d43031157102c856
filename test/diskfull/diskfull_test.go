//go:build scenario

// Package diskfull fills the disk under a node.
package diskfull

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/test/scenario"
)

func TestMain(m *testing.M) {
	code := m.Run()
	scenario.Cleanup()
	os.Exit(code)
}

// smallDisk mounts an ext4 file system of some MiB from a file, or a tmpfs where loop devices are not allowed.
func smallDisk(t *testing.T, mib string) string {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system takes root")
	}
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if loop(t, mib, dir) != nil {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+mib+"m"); err != nil {
			t.Skipf("no small file system can be mounted here: %v", err)
		}
		t.Log("on tmpfs, because no loop device can be mounted here")
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

func loop(t *testing.T, mib, dir string) error {
	image := filepath.Join(t.TempDir(), "image")
	for _, args := range [][]string{
		{"truncate", "-s", mib + "M", image}, {"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, dir},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Logf("%s: %v: %s", strings.Join(args, " "), err, out)
			return err
		}
	}
	return nil
}

// fill writes a file until the disk has at most leave bytes free.
func fill(t *testing.T, path string, leave uint64) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		var st unix.Statfs_t
		if err := unix.Statfs(filepath.Dir(path), &st); err != nil {
			t.Fatal(err)
		}
		free := st.Bavail * uint64(st.Bsize)
		if free <= leave {
			return
		}
		if _, err := f.Write(block[:min(uint64(len(block)), free-leave)]); errors.Is(err, unix.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// A disk that has less room than the reserve from the start: one clear line, before anything is touched.
func TestNoRoomAtStart(t *testing.T) {
	n := scenario.Init(t, filepath.Join(smallDisk(t, "64"), "data"))
	p := n.Launch(t)
	if p.Ready() {
		t.Fatal("the node starts on a disk with less free space than its reserve")
	}
	if code := p.Wait(time.Second); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	out := strings.TrimSpace(p.Output())
	if strings.Contains(out, "\n") || !strings.Contains(out, "the disk of") || !strings.Contains(out, "make room") {
		t.Errorf("not one clear line:\n%s", out)
	}
}

// The reserve does its work: when free space falls below it the node refuses writes with a reason, goes on reading,
// and takes writes again once there is room, without a restart.
func TestReserve(t *testing.T) {
	disk := smallDisk(t, "192")
	n := scenario.Init(t, filepath.Join(disk, "data"))
	n.Configure(t, "minFreeBytes", 64<<20)
	p := n.Start(t)
	s := scenario.NewSeries(t, n, "device")
	send := func() error { return s.Send(t.Context()) }
	for range 20 {
		if err := send(); err != nil {
			t.Fatal(err)
		}
	}
	filler := filepath.Join(disk, "filler")
	fill(t, filler, 32<<20)
	await(t, "refuse writes", func() bool { return send() != nil })
	err := send()
	var refused *client.StatusError
	if !errors.As(err, &refused) || refused.HTTP < 500 || !strings.Contains(refused.Text, "nearly full") {
		t.Errorf("a write on a nearly full disk: %v", err)
	}
	if client.IsStatus(err, onem2m.StatusInternalServerError) {
		t.Logf("the refusal is %v", err)
	}
	if r := scenario.Run(t, "status", "--data", n.Dir); r.Code != 0 || !strings.Contains(r.Stdout, "nearly full") {
		t.Errorf("status does not say that writes are refused:\n%s", r)
	}
	s.Check(t, true) // reads go on
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	await(t, "take writes again", func() bool { return send() == nil })
	s.Check(t, true)
	if code := p.Stop(); code != 0 {
		t.Errorf("stop: exit %d:\n%s", code, p.Output())
	}
	n.Fsck(t)
}

// Without a reserve worth the name the disk runs full in the middle of a write. The node stops and says why; after
// there is room again it has every acknowledged reading.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, "128")
	n := scenario.Init(t, filepath.Join(disk, "data"))
	n.Configure(t, "minFreeBytes", 1)
	p := n.Start(t)
	var series []*scenario.Series
	for _, name := range []string{"one", "two", "three", "four"} {
		series = append(series, scenario.NewSeries(t, n, name))
	}
	filler := filepath.Join(disk, "filler")
	fill(t, filler, 256<<10)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range series {
		wg.Go(func() {
			for s.Send(ctx) == nil {
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		t.Fatalf("neither refused nor stopped within a minute; the node said:\n%s", p.Output())
	}
	code := p.Wait(20 * time.Second)
	out := p.Output()
	t.Logf("exit code %d after %d readings:\n%s", code, series[0].Acked(), out)
	if code != 1 || !strings.Contains(out, "tally: the node had to stop") || !strings.Contains(out, "no space left on device") || strings.Contains(out, "goroutine ") {
		t.Errorf("the node ended with exit code %d, want 1 and a clear message", code)
	}
	p.Kill()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	n.Fsck(t)
	p = n.Start(t)
	policy := n.Policy(t)
	for _, s := range series {
		s.Check(t, true)
		s.Prove(t, policy, s.Acked()-1)
		if err := s.Send(t.Context()); err != nil {
			t.Errorf("%s: after there is room again: %v", s.ID, err)
		}
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("stop: exit %d:\n%s", code, p.Output())
	}
	n.Fsck(t)
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("the node does not %s within 10 s", what)
}
