package tree

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A set is what a sorted list would be, and old sets stay what they were, whatever is made of them after a rollback.
func TestTimeSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			set  timeSet
			want []int64
		}
		history := []version{{}}
		next := int64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now := history[len(history)-1]
			switch rapid.SampledFrom([]string{"ascend", "any", "remove", "back"}).Draw(t, "step") {
			case "ascend":
				for range rapid.SampledFrom([]int{1, 3, maxPart, maxPart + 1}).Draw(t, "n") {
					next += 10
					now.set, now.want = now.set.with(next), append(slices.Clone(now.want), next)
				}
			case "any":
				at := rapid.Int64Range(0, 100).Draw(t, "at")
				if i, found := slices.BinarySearch(now.want, at); !found {
					now.set, now.want = now.set.with(at), slices.Insert(slices.Clone(now.want), i, at)
				}
				next = max(next, at)
			case "remove":
				if len(now.want) > 0 {
					i := rapid.IntRange(0, len(now.want)-1).Draw(t, "i")
					now.set, now.want = now.set.without(now.want[i]), slices.Delete(slices.Clone(now.want), i, i+1)
				}
			case "back":
				history = history[:rapid.IntRange(1, len(history)).Draw(t, "to")]
				continue
			}
			history = append(history, now)
		}
		for _, v := range history {
			if got := v.set.times(); !slices.Equal(got, v.want) {
				t.Fatalf("got %v, want %v", got, v.want)
			}
			for at := range int64(120) {
				if v.set.has(at) != slices.Contains(v.want, at) {
					t.Fatalf("has %d: %t", at, v.set.has(at))
				}
			}
		}
	})
}
