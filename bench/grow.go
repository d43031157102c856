package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
)

// growJob tells a process of its own to grow a ledger and to look at it at some sizes.
type growJob struct {
	Dir   string   `json:"dir"`
	Block int      `json:"block"` // readings a block
	Sizes []uint64 `json:"sizes"` // readings, ascending
	// Profile is a folder for a heap profile at each size, "" for none.
	Profile string `json:"profile"`
}

// growth is what was found at one size.
type growth struct {
	Readings  uint64  `json:"readings"`
	Wall      float64 `json:"wall"` // apply path since the last size, microseconds a reading
	CPU       float64 `json:"cpu"`  // the same, all threads
	Late      float64 `json:"late"` // the same of the last tenth, at most 100,000 readings, in the median of their blocks
	Resident  int64   `json:"resident"`
	Peak      int64   `json:"peak"`
	Heap      int64   `json:"heap"` // live after a collection
	LatestP50 float64 `json:"latestP50"`
	LatestP99 float64 `json:"latestP99"` // microseconds to read the latest instance
	BundleP50 float64 `json:"bundleP50"`
	BundleP99 float64 `json:"bundleP99"` // microseconds to make a bundle of a random entry
	VerifyP50 float64 `json:"verifyP50"`
	VerifyP99 float64 `json:"verifyP99"` // microseconds to verify it
	MaxBundle int     `json:"maxBundle"` // bytes
	LogBytes  int64   `json:"logBytes"`
	TreeBytes int64   `json:"treeBytes"`
	Reserved  int64   `json:"reserved"` // of TreeBytes, preallocated and not written
}

// runGrow is the process: a job on in, one line a size on out.
func runGrow(ctx context.Context, in io.Reader, out io.Writer) error {
	var job growJob
	if err := json.NewDecoder(in).Decode(&job); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	a, err := newApplier(job.Dir)
	if err != nil {
		return err
	}
	r, err := loadReadings()
	if err != nil {
		return errors.Join(err, a.close())
	}
	src := &source{readings: r, a: a}
	for _, size := range job.Sizes {
		g, err := grow(ctx, src, size, job.Block)
		if err == nil {
			err = g.look(ctx, a, job.Dir)
		}
		if err == nil && job.Profile != "" {
			err = heapProfile(filepath.Join(job.Profile, "heap-"+count(size)+".pprof"))
		}
		if err == nil {
			err = json.NewEncoder(out).Encode(g)
		}
		if err != nil {
			return errors.Join(err, a.close())
		}
	}
	return a.close()
}

// grow applies readings until there are size.
func grow(ctx context.Context, src *source, size uint64, block int) (*growth, error) {
	g := &growth{Readings: size}
	begin, late := src.sent, size-min((size-src.sent)/10, 100_000)
	var wall, cpu time.Duration
	var blocks []float64
	for src.sent < size {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		isLate := src.sent >= late
		n := int(min(uint64(block), size-src.sent))
		b, err := src.a.propose(src.batch(n))
		if err != nil {
			return nil, err
		}
		cpu0, err := ownCPU()
		if err != nil {
			return nil, err
		}
		start := time.Now()
		if _, err := src.a.apply(b); err != nil {
			return nil, err
		}
		took := time.Since(start)
		cpu1, err := ownCPU()
		if err != nil {
			return nil, err
		}
		wall, cpu = wall+took, cpu+cpu1-cpu0
		if isLate {
			blocks = append(blocks, micros(took)/float64(n))
		}
		if err := src.a.check(n); err != nil {
			return nil, err
		}
	}
	g.Wall, g.CPU = micros(wall)/float64(size-begin), micros(cpu)/float64(size-begin)
	g.Late = median(blocks)
	return g, nil
}

// Samples of a look.
const (
	latestSamples = 2000
	bundleSamples = 200
)

// look measures reading and proving at the present size, then memory and disk.
func (g *growth) look(ctx context.Context, a *applier, dir string) error {
	if err := g.latest(a); err != nil {
		return err
	}
	if err := g.bundles(ctx, a); err != nil {
		return err
	}
	var err error
	if g.Resident, g.Peak, err = residentBytes(os.Getpid()); err != nil {
		return err
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	g.Heap = int64(m.HeapAlloc)
	if g.LogBytes, _, err = diskBytes(filepath.Join(dir, ledger.LogDir)); err != nil {
		return err
	}
	g.TreeBytes, g.Reserved, err = diskBytes(filepath.Join(dir, ledger.TreeDir))
	return err
}

// heapProfile writes what lives in memory, as of the last collection.
func heapProfile(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write a heap profile: %w", err)
	}
	return errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
}

// latest retrieves the latest instances, all sensors in turn, as ingress does.
func (g *growth) latest(a *applier) error {
	took := make([]float64, 0, latestSamples)
	for i := range latestSamples {
		req := onem2m.Request{
			Operation: onem2m.Retrieve, To: container(i%sensors) + "/la", From: deviceID(i % sensors), RequestID: "-", ReleaseVersion: "4",
			ResultContent: onem2m.ResultContentDefault,
		}
		begin := time.Now()
		view := a.app.View()
		res := a.app.Core().Read(view, &req, cse.Env{Time: time.Now().UnixMicro()})
		view.Close()
		took = append(took, micros(time.Since(begin)))
		if res.Err != nil {
			return fmt.Errorf("retrieve %s: %w", req.To, res.Err)
		}
		if res.Response.Status != onem2m.StatusOK {
			return fmt.Errorf("retrieve %s: %d %s", req.To, int(res.Response.Status), res.Response.Content)
		}
	}
	g.LatestP50, g.LatestP99 = quantile(took, 0.5), quantile(took, 0.99)
	return nil
}

// bundles makes and verifies bundles of random entries.
func (g *growth) bundles(ctx context.Context, a *applier) error {
	size := a.app.Head().LogSize
	rng := rand.New(rand.NewPCG(1, size))
	if b, err := a.app.Bundle(ctx, size-1); err != nil { // waits for a checkpoint of all
		return err
	} else if b.Checkpoint.Size != size {
		return fmt.Errorf("the newest checkpoint is of size %d, not %d", b.Checkpoint.Size, size)
	}
	var made, verified []float64
	for range bundleSamples {
		index := rng.Uint64N(size)
		begin := time.Now()
		b, err := a.app.Bundle(ctx, index)
		if err != nil {
			return err
		}
		file := b.Marshal()
		made = append(made, micros(time.Since(begin)))
		begin = time.Now()
		v, err := a.app.Policy().Verify(file)
		if err != nil {
			return fmt.Errorf("verify the bundle of entry %d: %w", index, err)
		}
		verified = append(verified, micros(time.Since(begin)))
		if v.Index != index || !bytes.Equal(v.Payload, b.Payload) {
			return fmt.Errorf("the bundle of entry %d proves something else", index)
		}
		g.MaxBundle = max(g.MaxBundle, len(file))
	}
	g.BundleP50, g.BundleP99 = quantile(made, 0.5), quantile(made, 0.99)
	g.VerifyP50, g.VerifyP99 = quantile(verified, 0.5), quantile(verified, 0.99)
	return nil
}
