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

// append appends reading n of a sensor as a contentInstance.
func (r *readings) append(dst []byte, sensor int, n uint64) []byte {
	dst = append(dst, `{"m2m:cin":{"con":`...)
	return append(r.appendContent(dst, sensor, n), "}}"...)
}

// appendContent appends reading n of a sensor as a plain device sends it.
func (r *readings) appendContent(dst []byte, sensor int, n uint64) []byte {
	dst = append(dst, `{"time":"`...)
	dst = r.time(sensor, n).AppendFormat(dst, time.RFC3339)
	dst = append(dst, `","value":`...)
	return append(r.appendValue(dst, sensor, n), '}')
}

// appendPack appends count readings of a sensor from n on as a SenML pack (RFC 8428).
func (r *readings) appendPack(dst []byte, sensor int, n uint64, count int) []byte {
	dst = append(append(dst, `[{"bn":"`...), aeName(sensor)...)
	dst = append(dst, `","t":`...)
	for i := n; ; {
		dst = strconv.AppendInt(dst, r.time(sensor, i).Unix(), 10)
		dst = append(r.appendValue(append(dst, `,"v":`...), sensor, i), '}')
		if i++; i == n+uint64(count) {
			return append(dst, ']')
		}
		dst = append(dst, `,{"t":`...)
	}
}

func (r *readings) time(sensor int, n uint64) time.Time {
	rows := r.rows[sensor]
	pass, i := n/uint64(len(rows)), n%uint64(len(rows))
	return rows[i].Time.Add(time.Duration(pass) * r.span[sensor])
}

func (r *readings) appendValue(dst []byte, sensor int, n uint64) []byte {
	rows := r.rows[sensor]
	begin := len(dst)
	dst = append(dst, rows[n%uint64(len(rows))].Value...)
	if n >= uint64(len(rows)) {
		redraw(dst[begin:], uint64(sensor)<<56|n)
	}
	return dst
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
func container(sensor int) string { return "tally/" + plainPath(sensor) }

// plainPath is the container's address for devices that speak no oneM2M.
func plainPath(sensor int) string { return aeName(sensor) + "/readings" }
