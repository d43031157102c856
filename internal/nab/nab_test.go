package nab

import "testing"

func TestAllReadings(t *testing.T) {
	total, repeated := 0, 0
	for _, s := range Sensors {
		rs, err := s.Readings()
		if err != nil {
			t.Fatal(err)
		}
		total += len(rs)
		seen := make(map[int64]bool)
		for _, r := range rs {
			if seen[r.Time.Unix()] && s.Name == "machine-temperature" {
				repeated++
			}
			seen[r.Time.Unix()] = true
		}
	}
	if total != 38469 || repeated != 12 {
		t.Fatalf("%d readings with %d repeated timestamps, want 38469 with 12", total, repeated)
	}
}
