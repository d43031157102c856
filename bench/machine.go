package bench

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// Machine is what a run was measured on.
type Machine struct {
	CPU        string    `json:"cpu"`
	Cores      int       `json:"cores"`
	System     string    `json:"system"` // operating system and kernel
	Go         string    `json:"go"`
	Dir        string    `json:"dir"`
	FileSystem string    `json:"fileSystem"`
	SyncP50    float64   `json:"syncP50Millis"` // a 4 KiB append and fdatasync on that file system
	SyncP99    float64   `json:"syncP99Millis"`
	Load       string    `json:"loadAverage"` // before the run
	Date       time.Time `json:"date"`
}

// describeMachine looks at the machine and the folder that the benchmarks work in. It refuses file systems that live
// in memory: there a sync costs nothing, and nothing committed would be durable.
func describeMachine(dir string) (Machine, error) {
	m := Machine{
		CPU: cpuModel(), Cores: runtime.NumCPU(), System: kernel(), Go: runtime.Version(),
		Dir: dir, Load: loadAverage(), Date: time.Now().UTC().Truncate(time.Second),
	}
	var err error
	var memory bool
	if m.FileSystem, memory, err = fileSystem(dir); err != nil {
		return m, fmt.Errorf("look at the file system of %s: %w", dir, err)
	}
	if memory {
		return m, fmt.Errorf("%s is on %s, which lives in memory: a benchmark of durable commits means nothing there; name a folder on a real disk with --dir", dir, m.FileSystem)
	}
	m.SyncP50, m.SyncP99, err = measureSync(dir, 100)
	return m, err
}

// measureSync appends and syncs n times and returns p50 and p99 in milliseconds.
func measureSync(dir string, n int) (p50, p99 float64, err error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, 0, fmt.Errorf("measure a sync: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page := make([]byte, 4096)
	took := make([]float64, 0, n)
	for range n {
		begin := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, 0, fmt.Errorf("measure a sync: %w", err)
		}
		if err := dataSync(f); err != nil {
			return 0, 0, fmt.Errorf("measure a sync: %w", err)
		}
		took = append(took, millis(time.Since(begin)))
	}
	return quantile(took, 0.5), quantile(took, 0.99), nil
}

func (m *Machine) print(w io.Writer) {
	fmt.Fprintf(w, "Tallystick benchmarks, %s\n", m.Date.Format(time.RFC3339))
	fmt.Fprintf(w, "  machine  %s, %d cores; %s; %s\n", m.CPU, m.Cores, m.System, m.Go)
	fmt.Fprintf(w, "  disk     %s on %s: append and fdatasync p50 %.2f ms, p99 %.2f ms\n", m.Dir, m.FileSystem, m.SyncP50, m.SyncP99)
	if m.Load != "" {
		fmt.Fprintf(w, "  load     %s before the run (1, 5, 15 minutes); other work makes the figures noisy, the ratios less so\n", m.Load)
	}
}
