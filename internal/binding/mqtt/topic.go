package mqttbinding

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Bounds of topics. MQTT allows 65535 bytes and as many levels.
const (
	maxTopic  = 1024
	maxLevels = 64
)

// Prefix is the first level of the topics of plain devices: tally/<ae>/<container path>.
const Prefix = "tally"

// The reserved beginnings of topics.
const (
	plainPrefix  = Prefix + "/"
	oneM2MPrefix = "/oneM2M/"
	sharePrefix  = "$share/"
)

var (
	errTopic  = errors.New("the topic name is not valid")
	errFilter = errors.New("the topic filter is not valid")
)

// checkTopic says whether s is a topic name (MQTT 5.0 clause 4.7) within the bounds.
func checkTopic(s string) error {
	if s == "" || len(s) > maxTopic || strings.ContainsAny(s, "+#\x00") || !utf8.ValidString(s) || strings.Count(s, "/") >= maxLevels {
		return errTopic
	}
	return nil
}

// filter is a parsed topic filter (MQTT 5.0 clauses 4.7 and 4.8.2).
type filter struct {
	group  string // of a shared subscription, else ""
	levels []string
}

func parseFilter(s string) (filter, error) {
	var f filter
	if len(s) > maxTopic || !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		return f, errFilter
	}
	if rest, ok := strings.CutPrefix(s, sharePrefix); ok {
		group, rest, _ := strings.Cut(rest, "/")
		if group == "" || strings.ContainsAny(group, "+#") {
			return f, errFilter
		}
		f.group, s = group, rest
	}
	if s == "" || strings.Count(s, "/") >= maxLevels {
		return f, errFilter
	}
	f.levels = strings.Split(s, "/")
	for i, l := range f.levels {
		if l == "#" && i != len(f.levels)-1 {
			return f, errFilter // [MQTT-4.7.1-1]
		}
		if len(l) > 1 && strings.ContainsAny(l, "+#") {
			return f, errFilter // [MQTT-4.7.1-2]
		}
	}
	return f, nil
}

// wild says whether the filter matches more than one topic.
func (f *filter) wild() bool {
	for _, l := range f.levels {
		if l == "+" || l == "#" {
			return true
		}
	}
	return false
}

// topic is the topic that a filter without wildcards matches.
func (f *filter) topic() string { return strings.Join(f.levels, "/") }

// matches says whether the filter matches a topic.
func (f *filter) matches(topic string) bool {
	if strings.HasPrefix(topic, "$") && (f.levels[0] == "+" || f.levels[0] == "#") {
		return false // [MQTT-4.7.2-1]
	}
	rest, more := topic, true
	for _, l := range f.levels {
		if l == "#" {
			return true // the parent level included
		}
		if !more {
			return false
		}
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if l != "+" && l != level {
			return false
		}
	}
	return !more
}

// The kinds of oneM2M topics (TS-0010 clauses 6.4.2 to 6.4.4).
const (
	kindRequest              = "req"
	kindResponse             = "resp"
	kindRegistrationRequest  = "reg_req"
	kindRegistrationResponse = "reg_resp"
)

// oneM2MTopic is a topic /oneM2M/<kind>/<originator>/<receiver>/<format>. IDs are as in the topic: without leading '/',
// other '/' as ':'.
type oneM2MTopic struct {
	kind, originator, receiver string
	cbor                       bool
}

// parseOneM2M reads a topic that begins with oneM2MPrefix.
func parseOneM2M(topic string) (t oneM2MTopic, ok bool) {
	rest, ok := strings.CutPrefix(topic, oneM2MPrefix)
	if !ok {
		return t, false
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 4 || parts[1] == "" || parts[2] == "" {
		return t, false
	}
	t.kind, t.originator, t.receiver = parts[0], parts[1], parts[2]
	switch t.kind {
	case kindRequest, kindResponse, kindRegistrationRequest, kindRegistrationResponse:
	default:
		return t, false
	}
	switch parts[3] {
	case "json":
	case "cbor":
		t.cbor = true
	default:
		return t, false
	}
	return t, true
}

func (t *oneM2MTopic) String() string {
	format := "/json"
	if t.cbor {
		format = "/cbor"
	}
	return oneM2MPrefix + t.kind + "/" + t.originator + "/" + t.receiver + format
}

// topicID writes an ID as topics have it (TS-0010 clause 6.4.2).
func topicID(id string) string {
	if rest, ok := strings.CutPrefix(id, "//"); ok {
		return ":" + strings.ReplaceAll(rest, "/", ":")
	}
	return strings.ReplaceAll(strings.TrimPrefix(id, "/"), "/", ":")
}
