package onem2m

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	microsPerSecond = 1_000_000
	secondsPerDay   = 86_400

	// MinTime and MaxTime bound the times of this package: the years 1970 to 9999 in UTC, in Unix microseconds.
	MinTime int64 = 0
	MaxTime int64 = 253_402_300_800*microsPerSecond - 1
)

// FormatTime writes a time, in Unix microseconds, as m2m:timestamp (TS-0004 clause 6.3.3) in UTC with six digits of
// fraction: "20261123T071500,123456". A time outside MinTime and MaxTime becomes the nearer of the two.
func FormatTime(unixMicro int64) string {
	var buf [22]byte
	return string(AppendTime(buf[:0], unixMicro))
}

// AppendTime appends what FormatTime writes.
func AppendTime(dst []byte, unixMicro int64) []byte {
	t := min(max(unixMicro, MinTime), MaxTime)
	seconds, micros := t/microsPerSecond, t%microsPerSecond
	year, month, day := civil(seconds / secondsPerDay)
	clock := seconds % secondsPerDay
	dst = appendDigits(dst, year, 4)
	dst = appendDigits(dst, month, 2)
	dst = appendDigits(dst, day, 2)
	dst = append(dst, 'T')
	dst = appendDigits(dst, clock/3600, 2)
	dst = appendDigits(dst, clock/60%60, 2)
	dst = appendDigits(dst, clock%60, 2)
	dst = append(dst, ',')
	return appendDigits(dst, micros, 6)
}

func appendDigits(dst []byte, v int64, width int) []byte {
	n := len(dst)
	for range width {
		dst = append(dst, '0')
	}
	for i := n + width - 1; i >= n; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}

// ParseTime reads an m2m:timestamp, "20261123T071500" or with a fraction of one to nine digits after a comma, as Unix
// microseconds. Digits beyond the microsecond are cut off. Years are 1970 to 9999; a leap second is refused.
func ParseTime(s string) (int64, error) {
	if len(s) < 15 || s[8] != 'T' {
		return 0, timeError(s, "want YYYYMMDDThhmmss[,fraction]")
	}
	var part [6]int64
	for i, at := range [...][2]int{{0, 4}, {4, 6}, {6, 8}, {9, 11}, {11, 13}, {13, 15}} {
		v, ok := digits(s[at[0]:at[1]])
		if !ok {
			return 0, timeError(s, "want YYYYMMDDThhmmss[,fraction]")
		}
		part[i] = v
	}
	year, month, day, hour, minute, second := part[0], part[1], part[2], part[3], part[4], part[5]
	switch {
	case year < 1970:
		return 0, timeError(s, "year before 1970")
	case month < 1 || month > 12 || day < 1 || day > daysIn(year, month):
		return 0, timeError(s, "no such day")
	case hour > 23 || minute > 59 || second > 59:
		return 0, timeError(s, "no such time of day")
	}
	var micros int64
	if len(s) > 15 {
		fraction := s[16:]
		if s[15] != ',' || len(fraction) == 0 || len(fraction) > 9 {
			return 0, timeError(s, "want one to nine digits after a comma")
		}
		if _, ok := digits(fraction); !ok {
			return 0, timeError(s, "want one to nine digits after a comma")
		}
		for i := range 6 {
			micros *= 10
			if i < len(fraction) {
				micros += int64(fraction[i] - '0')
			}
		}
	}
	seconds := days(year, month, day)*secondsPerDay + hour*3600 + minute*60 + second
	return seconds*microsPerSecond + micros, nil
}

// ParseAbsRel reads an m2m:absRelTimestamp (TS-0004 clause 6.3.3) as Unix microseconds: a timestamp, or a number of
// milliseconds, with a sign or without, counted from now (the digits after a point, which the standard does not have and
// some clients send, are cut off), or an xs:duration from now ("PT30S").
// A time outside MinTime and MaxTime is refused.
func ParseAbsRel(s string, now int64) (int64, error) {
	if len(s) >= 15 && s[8] == 'T' && s[0] != 'P' {
		return ParseTime(s)
	}
	var offset int64
	if len(s) > 0 && s[0] == 'P' {
		d, err := ParseDuration(s)
		if err != nil {
			return 0, err
		}
		offset = d
	} else {
		whole, fraction, decimal := strings.Cut(s, ".")
		millis, err := strconv.ParseInt(whole, 10, 64)
		if _, ok := digits(fraction); err != nil || decimal && !ok || millis > MaxTime/1000 || millis < -MaxTime/1000 {
			return 0, timeError(s, "neither a timestamp, a duration nor a number of milliseconds in range")
		}
		offset = millis * 1000
	}
	if now < MinTime || now > MaxTime || offset > MaxTime-now || offset < MinTime-now {
		return 0, timeError(s, "outside the years 1970 to 9999")
	}
	return now + offset, nil
}

// ParseDuration reads an xs:duration without a sign ("P1DT12H", "PT0.5S") as microseconds. A year counts as 365 days
// and a month as 30. A duration longer than the time from MinTime to MaxTime is refused.
func ParseDuration(s string) (int64, error) {
	rest, ok := s, len(s) > 2 && s[0] == 'P'
	if !ok {
		return 0, durationError(s)
	}
	rest = rest[1:]
	const day = secondsPerDay * microsPerSecond
	date := [...]durationUnit{{'Y', 365 * day}, {'M', 30 * day}, {'W', 7 * day}, {'D', day}}
	clock := [...]durationUnit{{'H', 3600 * microsPerSecond}, {'M', 60 * microsPerSecond}, {'S', microsPerSecond}}
	units, inTime := date[:], false
	var total int64
	for len(rest) > 0 {
		if rest[0] == 'T' && !inTime && len(rest) > 1 {
			units, inTime, rest = clock[:], true, rest[1:]
			continue
		}
		amount, unit, tail, ok := durationPart(rest)
		if !ok {
			return 0, durationError(s)
		}
		for len(units) > 0 && units[0].letter != unit {
			units = units[1:]
		}
		if len(units) == 0 || amount.micros != 0 && unit != 'S' || amount.fraction && unit != 'S' {
			return 0, durationError(s)
		}
		if amount.whole > (MaxTime-total-amount.micros)/units[0].micros {
			return 0, durationError(s)
		}
		total += amount.whole*units[0].micros + amount.micros
		units, rest = units[1:], tail
	}
	return total, nil
}

// ParseDurationOrSeconds reads a JSON value that is an xs:duration or, as many clients write it, a whole number of seconds,
// as microseconds. Its limits are those of ParseDuration.
func ParseDurationOrSeconds(value []byte) (int64, error) {
	if s, ok := Unquote(value); ok {
		return ParseDuration(s)
	}
	n, ok := Int(value)
	if !ok || n < 0 || n > MaxTime/microsPerSecond {
		return 0, durationError(string(value))
	}
	return n * microsPerSecond, nil
}

type durationUnit struct {
	letter byte
	micros int64
}

type durationAmount struct {
	whole, micros int64
	fraction      bool
}

// durationPart reads a number and the letter of its unit.
func durationPart(s string) (a durationAmount, unit byte, tail string, ok bool) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	a.whole, ok = digits(s[:i])
	if !ok || i >= len(s) {
		return a, 0, "", false
	}
	if s[i] == '.' {
		a.fraction = true
		i++
		scale, start := int64(microsPerSecond/10), i
		for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			a.micros += int64(s[i]-'0') * scale
			scale /= 10
		}
		if i == start || i >= len(s) {
			return a, 0, "", false
		}
	}
	return a, s[i], s[i+1:], true
}

// digits reads one to fifteen decimal digits.
func digits(s string) (v int64, ok bool) {
	if len(s) == 0 || len(s) > 15 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		v = v*10 + int64(s[i]-'0')
	}
	return v, true
}

var errDuration = errors.New("want a duration such as PT30S")

func durationError(s string) error      { return fmt.Errorf("duration %.64q: %w", s, errDuration) }
func timeError(s, problem string) error { return fmt.Errorf("time %.64q: %s", s, problem) }

func leap(year int64) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysIn(year, month int64) int64 {
	if month == 2 && leap(year) {
		return 29
	}
	return [...]int64{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[month-1]
}

// days counts the days from 1970-01-01 to a date of the Gregorian calendar. Years are taken to begin in March, so
// that the leap day is the last of its year.
func days(year, month, day int64) int64 {
	if month <= 2 {
		year--
	}
	era, yearOfEra := year/400, year%400
	dayOfYear := (153*((month+9)%12)+2)/5 + day - 1
	dayOfEra := yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear
	return era*146_097 + dayOfEra - 719_468
}

// civil is the inverse of days.
func civil(n int64) (year, month, day int64) {
	n += 719_468
	era, dayOfEra := n/146_097, n%146_097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36_524 - dayOfEra/146_096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	shifted := (5*dayOfYear + 2) / 153
	day = dayOfYear - (153*shifted+2)/5 + 1
	month = (shifted+2)%12 + 1
	year = yearOfEra + era*400
	if month <= 2 {
		year++
	}
	return year, month, day
}
