package mqttbinding

import (
	"net/url"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestMatch: wildcards as in MQTT 5.0 clause 4.7.
func TestMatch(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking/x", true},
		{"sport/#", "sport", true},
		{"#", "a/b", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		{"#", "$SYS/x", false},
		{"+/x", "$SYS/x", false},
		{"$SYS/#", "$SYS/x", true},
		{"a", "b", false},
		{"a/b", "a/b", true},
	} {
		f, err := parseFilter(c.filter)
		if err != nil {
			t.Fatalf("%s: %v", c.filter, err)
		}
		if got := f.matches(c.topic); got != c.want {
			t.Errorf("%s matches %s: %v", c.filter, c.topic, got)
		}
		if got := trieMatches(f, c.topic); got != c.want {
			t.Errorf("%s finds %s: %v", c.topic, c.filter, got)
		}
	}
	for _, bad := range []string{"", "a#", "#/a", "a/+b", "$share/g", "$share//a", "$share/+/a", strings.Repeat("a/", 70), "a\x00", "\xff"} {
		if _, err := parseFilter(bad); err == nil {
			t.Errorf("%q is taken for a filter", bad)
		}
	}
}

func trieMatches(f filter, topic string) (found bool) {
	var tr trie
	sub := &subscription{session: &session{}, filter: f, options: packets.Subscription{}}
	tr.add(sub)
	tr.match(topic, func(*subscription) { found = true }, func(*group) { found = true })
	tr.remove(sub)
	if !tr.root.empty() {
		panic("the trie is not empty")
	}
	return found
}

// FuzzTopics: what is taken for a topic or filter is used without harm, and both ways to match agree.
func FuzzTopics(f *testing.F) {
	f.Add("a/+/#", "a/b/c")
	f.Add("$share/g/+", "/oneM2M/req/C/cse/json")
	f.Fuzz(func(t *testing.T, pattern, topic string) {
		if x, ok := parseOneM2M(topic); ok && x.String() != topic {
			t.Errorf("%q became %q", topic, x.String())
		}
		pathOf(topic)
		flt, err := parseFilter(pattern)
		if err != nil || checkTopic(topic) != nil {
			return
		}
		if flt.matches(topic) != trieMatches(flt, topic) {
			t.Errorf("%q and %q: the two ways to match disagree", pattern, topic)
		}
	})
}
