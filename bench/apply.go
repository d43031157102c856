package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/tallystick/tallystick/internal/ledger"
)

const (
	applyRound = 40_000 // readings of one round
	applyWarm  = 20_000
)

// applySizes are readings a block: what 64 connections and what a loaded network give.
var applySizes = []int{64, 256, 1024}

// cost is what something took for each reading, in microseconds.
type cost struct {
	wall    []float64 // on the goroutine that consensus calls, one a round
	cpu     []float64 // of the whole process: the goroutines that seal, compact and collect garbage too
	execute []float64 // the part of wall before Commit
	check   []float64 // the batch's signature, which a validator that did not sign it checks once
	floor   []float64 // SHA-256 and an appended write for each reading, wall
	floorC  []float64 // the same, CPU
	floor1  []float64 // SHA-256 of each reading, one appended write a block
}

// apply measures the apply path next to its floor.
func (b *Bench) apply(ctx context.Context) (*Section, error) {
	s := &Section{
		Name: "apply", Title: "Apply path: decode, execute, log, tree, state digest, commit; one goroutine, no consensus",
		Subject: "apply", Against: "floor",
	}
	a, err := newApplier(filepath.Join(b.dir, "apply"))
	if err != nil {
		return nil, err
	}
	defer func() { a.close() }()
	r, err := loadReadings()
	if err != nil {
		return nil, err
	}
	src := &source{readings: r, a: a}
	file, err := os.Create(filepath.Join(b.dir, "floor"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := (&cost{}).round(a, src, file, applyWarm, applySizes[len(applySizes)-1]); err != nil {
		return nil, err
	}
	costs := make([]cost, len(applySizes))
	stop, err := b.profile("apply.pprof")
	if err != nil {
		return nil, err
	}
	for range b.Rounds {
		for i, size := range applySizes {
			if err := ctx.Err(); err != nil {
				return nil, errors.Join(err, stop())
			}
			if err := costs[i].round(a, src, file, b.scaled(applyRound), size); err != nil {
				return nil, errors.Join(err, stop())
			}
		}
	}
	if err := stop(); err != nil {
		return nil, err
	}
	for i, size := range applySizes {
		c := &costs[i]
		name := fmt.Sprintf("%d readings a block", size)
		floor, floor1 := median(c.floor), median(c.floor1)
		var goal, summit *Goal
		if size == applySizes[len(applySizes)-1] {
			goal, summit = atMost(5), ratioAtMost(3)
		}
		s.add(name, "us/reading", median(c.wall), 0, goal)
		s.add(name+", floor with a write a reading", "us/reading", median(c.wall), floor, summit)
		s.add(name+", floor with a write a block", "us/reading", median(c.wall), floor1, nil)
		s.add(name+", of it execution", "us/reading", median(c.execute), 0, nil)
		s.add(name+", CPU of all goroutines", "us/reading", median(c.cpu), median(c.floorC), nil)
		s.add(name+", batch signature besides", "us/reading", median(c.check), 0, nil)
	}
	s.note("floor: SHA-256 of each reading's share of the same batch, plus one appended write: of each reading (the goal's), or of each block.")
	s.note("CPU includes sealing, compaction and garbage collection beside the measured goroutine, next to the CPU of the floor with a write a reading;\n" +
		"other work on the machine changes it less than it changes the time.")
	s.note("the batches are the six sensors' real readings, a credential each, as ingress encodes them; nothing is synced in either column,\n" +
		"the block store's sync is consensus's and in the HTTP figures.")
	if b.Profile != "" {
		s.note("profile: go tool pprof -top %s", filepath.Join(b.Profile, "apply.pprof"))
	} else {
		s.note("to see where the time goes: tally bench --only apply --profile DIR")
	}
	return s, nil
}

// round applies n readings, size a block, and the floor of the same blocks before or after it in turn.
func (c *cost) round(a *applier, src *source, file *os.File, n, size int) error {
	blocks := max(n/size, 1)
	txs := make([][]byte, blocks)
	for i := range txs {
		txs[i] = src.batch(size)
	}
	total := float64(blocks * size)
	first := len(c.wall)%2 == 0
	if first {
		if err := c.floors(file, txs, size); err != nil {
			return err
		}
	}
	runtime.GC() // what made the batches is not the apply path's
	var wall, execute, check time.Duration
	var cpu time.Duration
	for _, tx := range txs {
		block, err := a.propose(tx)
		if err != nil {
			return err
		}
		begin := time.Now()
		if !ledger.VerifyBatch(tx, chainID, a.public) {
			return fmt.Errorf("block %d: the signature of the batch is not valid", block.Height)
		}
		check += time.Since(begin)
		cpu0, err := ownCPU()
		if err != nil {
			return err
		}
		begin = time.Now()
		e, err := a.apply(block)
		if err != nil {
			return err
		}
		wall += time.Since(begin)
		execute += e
		cpu1, err := ownCPU()
		if err != nil {
			return err
		}
		cpu += cpu1 - cpu0
		if err := a.check(size); err != nil {
			return err
		}
	}
	if !first {
		if err := c.floors(file, txs, size); err != nil {
			return err
		}
	}
	c.wall = append(c.wall, micros(wall)/total)
	c.execute = append(c.execute, micros(execute)/total)
	c.check = append(c.check, micros(check)/total)
	c.cpu = append(c.cpu, micros(cpu)/total)
	return nil
}

// floors measures the floor of the same bytes.
func (c *cost) floors(file *os.File, txs [][]byte, size int) error {
	total := float64(len(txs) * size)
	cpu0, err := ownCPU()
	if err != nil {
		return err
	}
	begin := time.Now()
	for _, tx := range txs {
		for share := range shares(tx, size) {
			_ = sha256.Sum256(share)
			if _, err := file.Write(share); err != nil {
				return fmt.Errorf("write the floor's file: %w", err)
			}
		}
	}
	each := time.Since(begin)
	cpu1, err := ownCPU()
	if err != nil {
		return err
	}
	begin = time.Now()
	for _, tx := range txs {
		for share := range shares(tx, size) {
			_ = sha256.Sum256(share)
		}
		if _, err := file.Write(tx); err != nil {
			return fmt.Errorf("write the floor's file: %w", err)
		}
	}
	c.floor = append(c.floor, micros(each)/total)
	c.floorC = append(c.floorC, micros(cpu1-cpu0)/total)
	c.floor1 = append(c.floor1, micros(time.Since(begin))/total)
	return nil
}

// shares cuts a batch into n parts of about the same size.
func shares(tx []byte, n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for i := range n {
			if !yield(tx[len(tx)*i/n : len(tx)*(i+1)/n]) {
				return
			}
		}
	}
}

// profile starts a CPU profile of this process, if profiles are wanted, and returns what ends it.
func (b *Bench) profile(name string) (stop func() error, err error) {
	if b.Profile == "" {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(b.Profile, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(b.Profile, name))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
