//go:build !linux

package bench

import (
	"errors"
	"os"
	"time"
)

// errSystem is why the benchmarks refuse to run: they could not tell a disk from memory here, nor count CPU time and
// memory of other processes.
var errSystem = errors.New("the benchmarks run on Linux only")

func fileSystem(string) (string, bool, error) { return "", false, errSystem }

func dataSync(f *os.File) error { return f.Sync() }

func cpuModel() string { return "unknown CPU" }

func kernel() string { return "unknown system" }

func loadAverage() string { return "" }

func ownCPU() (time.Duration, error) { return 0, errSystem }

func processCPU(int) (time.Duration, error) { return 0, errSystem }

func residentBytes(int) (now, peak int64, err error) { return 0, 0, errSystem }

func diskBytes(string) (occupied, reserved int64, err error) { return 0, 0, errSystem }
