package onem2m

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TS-0004 clause 6.3.3 (m2m:timestamp).
func TestTimestamps(t *testing.T) {
	at := time.Date(2026, 11, 23, 7, 15, 0, 123_456_000, time.UTC).UnixMicro()
	if got := FormatTime(at); got != "20261123T071500,123456" {
		t.Errorf("FormatTime: %s", got)
	}
	for s, want := range map[string]int64{
		"20261123T071500,123456":    at,
		"20261123T071500,123456789": at,
		"20261123T071500,1":         at - 23_456,
		"20261123T071500":           at - 123_456,
		"19700101T000000":           MinTime,
		"99991231T235959,999999":    MaxTime,
		"20000229T000000":           time.Date(2000, 2, 29, 0, 0, 0, 0, time.UTC).UnixMicro(),
	} {
		if got, err := ParseTime(s); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", "20261123", "20261123T0715", "20261123 071500", "20261123T071500,", "20261123T071500.5", "20261123T071500,1234567890",
		"20261123T071500Z", "19691231T235959", "20260229T000000", "21000229T000000", "20261301T000000", "20260001T000000",
		"20260100T000000", "20260131T240000", "20260131T006000", "20260131T000060", "2026-131T000000", "20261123T071500,12x",
	} {
		if v, err := ParseTime(s); err == nil {
			t.Errorf("%q was read as %d", s, v)
		}
	}
	if FormatTime(-1) != "19700101T000000,000000" || FormatTime(MaxTime+1) != "99991231T235959,999999" {
		t.Error("a time out of range is not brought to the nearer bound")
	}
}

func TestTimeAgreesWithCalendar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		micros := rapid.Int64Range(MinTime, MaxTime).Draw(t, "micros")
		s := FormatTime(micros)
		want := strings.Replace(time.UnixMicro(micros).UTC().Format("20060102T150405.000000"), ".", ",", 1)
		if s != want {
			t.Fatalf("%d: %s, want %s", micros, s, want)
		}
		if back, err := ParseTime(s); err != nil || back != micros {
			t.Fatalf("%s came back as %d, %v", s, back, err)
		}
	})
}

// TS-0004 clause 6.3.3 (m2m:absRelTimestamp).
func TestAbsRel(t *testing.T) {
	const now = 1_000_000_000
	for s, want := range map[string]int64{
		"1500.0": now + 1_500_000, "1.5": now + 1000, "5000": now + 5_000_000, "+5000": now + 5_000_000, "-1000": now - 1_000_000, "0": now, "PT1.5S": now + 1_500_000, "P10Y0M0DT0H0M6.5S": now + 3650*86_400_000_000 + 6_500_000,
		"19700101T000001": 1_000_000,
	} {
		if got, err := ParseAbsRel(s, now); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "+", "x", "1.", ".5", "1.x", "-2000000", "9223372036854775807", "253402300800000", "P", "PT", "+-5"} {
		if got, err := ParseAbsRel(s, now); err == nil {
			t.Errorf("%q was read as %d", s, got)
		}
	}
}

func TestDurations(t *testing.T) {
	const second = 1_000_000
	for s, want := range map[string]int64{
		"PT10S": 10 * second, "PT0.5S": second / 2, "P1D": 86_400 * second, "P1DT2H3M4.000005S": (86_400+7200+180+4)*second + 5,
		"P1M": 30 * 86_400 * second, "PT1M": 60 * second, "P1Y": 365 * 86_400 * second, "P2W": 14 * 86_400 * second, "PT0S": 0,
	} {
		if got, err := ParseDuration(s); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", "P", "PT", "P1", "PT1", "10S", "P10S", "PT1D", "P1DT", "PT1S1M", "PT1M1M", "PT1.5M", "PT1.S", "PT.5S", "-PT1S", "PT1.0H",
		"P8036Y", "PT999999999999999H", "P1DT1H1D", "PTT1S",
	} {
		if got, err := ParseDuration(s); err == nil {
			t.Errorf("%q was read as %d", s, got)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"20261123T071500,123456", "20261123T071500", "P1DT2H3M4.5S", "-5000", "+1", "PT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := ParseTime(s); err == nil {
			if back, err := ParseTime(FormatTime(v)); err != nil || back != v {
				t.Fatalf("%q: %d came back as %d, %v", s, v, back, err)
			}
		}
		if v, err := ParseAbsRel(s, MaxTime/2); err == nil && (v < MinTime || v > MaxTime) {
			t.Fatalf("%q: %d is out of range", s, v)
		}
		if v, err := ParseDuration(s); err == nil && (v < 0 || v > MaxTime) {
			t.Fatalf("%q: duration %d is out of range", s, v)
		}
	})
}
