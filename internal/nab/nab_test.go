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
		for i := 1; i < len(rs); i++ {
			if rs[i].Time.Equal(rs[i-1].Time) && s.Name == "machine-temperature" {
				repeated++
			}
		}
	}
	if total != 38469 || repeated != 12 {
		t.Fatalf("%d readings with %d repeated timestamps, want 38469 with 12", total, repeated)
	}
}
