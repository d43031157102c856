// Package nab holds real sensor readings for the demo, the benchmarks and the tests: six files of the Numenta Anomaly
// Benchmark (MIT licence, data/LICENSE.txt), unchanged.
package nab

import (
	"embed"
	"fmt"
	"strings"
	"time"
)

//go:embed data/*.csv data/LICENSE.txt
var files embed.FS

// Sensor is one file.
type Sensor struct {
	Name     string // for people and for resource names: "machine-temperature"
	Quantity string
	Unit     string
	file     string
}

// Sensors are the six files, largest first.
var Sensors = []Sensor{
	{"machine-temperature", "temperature", "degF", "machine_temperature_system_failure.csv"},
	{"ambient-temperature", "temperature", "degF", "ambient_temperature_system_failure.csv"},
	{"speed-6005", "speed", "mph", "speed_6005.csv"},
	{"travel-time-387", "travel time", "s", "TravelTime_387.csv"},
	{"occupancy-6005", "occupancy", "%", "occupancy_6005.csv"},
	{"speed-7578", "speed", "mph", "speed_7578.csv"},
}

// Reading is one row. The value is the file's text, so that nothing is lost by parsing it.
type Reading struct {
	Time  time.Time
	Value string
}

// Readings returns the rows of a sensor's file in order, its repeated timestamps and gaps included.
func (s Sensor) Readings() ([]Reading, error) {
	b, err := files.ReadFile("data/" + s.file)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	out := make([]Reading, 0, len(lines)-1)
	for i, line := range lines[1:] {
		at, value, ok := strings.Cut(strings.TrimSpace(line), ",")
		t, err := time.Parse(time.DateTime, at)
		if err != nil || !ok {
			return nil, fmt.Errorf("%s, line %d: %q is no reading", s.file, i+2, line)
		}
		out = append(out, Reading{t, value})
	}
	return out, nil
}
