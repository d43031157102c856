package bench

import (
	"fmt"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/internal/nab"
)

// sensors is how many devices send: one for each file of package nab.
const sensors = 6

// readings are the payloads of the benchmarks: the real readings of package nab, in order, each the content of a
// contentInstance. A sensor that has come to its end begins again with its times moved on; the digits of its values
// after the second decimal are then drawn anew, so that a second pass is no plain repetition, which would flatter
// whatever compresses it.
type readings struct {
	rows [sensors][]nab.Reading
	span [sensors]time.Duration // how far a pass moves the times on
}

func loadReadings() (*readings, error) {
	if len(nab.Sensors) != sensors {
		return nil, fmt.Errorf("the benchmarks know %d sensors, package nab has %d", sensors, len(nab.Sensors))
	}
	r := new(readings)
	for i, s := range nab.Sensors {
		rows, err := s.Readings()
		if err != nil {
			return nil, fmt.Errorf("read the readings of %s: %w", s.Name, err)
		}
		r.rows[i] = rows
		r.span[i] = rows[len(rows)-1].Time.Sub(rows[0].Time) + 5*time.Minute
	}
	return r, nil
}

// append appends the content of reading n of a sensor.
func (r *readings) append(dst []byte, sensor int, n uint64) []byte {
	rows := r.rows[sensor]
	pass, i := n/uint64(len(rows)), n%uint64(len(rows))
	row := &rows[i]
	dst = append(dst, `{"m2m:cin":{"con":{"time":"`...)
	dst = row.Time.Add(time.Duration(pass)*r.span[sensor]).AppendFormat(dst, time.RFC3339)
	dst = append(dst, `","value":`...)
	begin := len(dst)
	dst = append(dst, row.Value...)
	if pass > 0 {
		redraw(dst[begin:], uint64(sensor)<<56|n)
	}
	return append(dst, "}}}"...)
}

// redraw replaces the digits after the second decimal by ones that follow from seed. The last is no zero, so that
// the number stays in its shortest form.
func redraw(value []byte, seed uint64) {
	decimals := -1
	for i, c := range value {
		switch {
		case c == '.':
			decimals = 0
		case c < '0' || c > '9': // an exponent
			if decimals >= 0 {
				return
			}
		case decimals >= 0:
			if decimals++; decimals > 2 {
				seed = mix(seed)
				value[i] = '1' + byte(seed%9)
			}
		}
	}
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Names of the resources that the benchmarks make.
func deviceID(sensor int) string  { return "Cbench" + strconv.Itoa(sensor) }
func aeName(sensor int) string    { return "bench" + strconv.Itoa(sensor) }
func container(sensor int) string { return "tally/" + aeName(sensor) + "/readings" }
