package mqttbinding

import "strings"

// trie finds the subscriptions that match a topic. The broker's lock guards it.
type trie struct{ root node }

// node is one level of topic filters. "+" and "#" are levels like others.
type node struct {
	children map[string]*node
	subs     map[*session]*subscription
	groups   map[string]*group
}

// group is the members of one shared subscription (MQTT 5.0 clause 4.8.2).
type group struct {
	members []*subscription
	next    int
}

func (n *node) empty() bool { return len(n.children) == 0 && len(n.subs) == 0 && len(n.groups) == 0 }

func (t *trie) add(s *subscription) {
	n := &t.root
	for _, l := range s.filter.levels {
		c := n.children[l]
		if c == nil {
			if n.children == nil {
				n.children = make(map[string]*node)
			}
			c = &node{}
			n.children[l] = c
		}
		n = c
	}
	if name := s.filter.group; name != "" {
		if n.groups == nil {
			n.groups = make(map[string]*group)
		}
		g := n.groups[groupKey(s)]
		if g == nil {
			g = &group{}
			n.groups[groupKey(s)] = g
		}
		g.members = append(g.members, s)
		return
	}
	if n.subs == nil {
		n.subs = make(map[*session]*subscription)
	}
	n.subs[s.session] = s
}

// groupKey keeps groups of the same name of different originators apart: nobody may take another's readings away by
// joining his group.
func groupKey(s *subscription) string { return s.session.owner + "\x00" + s.filter.group }

func (t *trie) remove(s *subscription) { t.root.remove(s, s.filter.levels) }

func (n *node) remove(s *subscription, levels []string) {
	if len(levels) > 0 {
		if c := n.children[levels[0]]; c != nil {
			c.remove(s, levels[1:])
			if c.empty() {
				delete(n.children, levels[0])
			}
		}
		return
	}
	if s.filter.group == "" {
		delete(n.subs, s.session)
		return
	}
	g := n.groups[groupKey(s)]
	if g == nil {
		return
	}
	for i, m := range g.members {
		if m == s {
			g.members = append(g.members[:i:i], g.members[i+1:]...)
			break
		}
	}
	if len(g.members) == 0 {
		delete(n.groups, groupKey(s))
	}
}

// match calls sub with every subscription of its own that matches topic, and shared with every matching group.
func (t *trie) match(topic string, sub func(*subscription), shared func(*group)) {
	t.root.match(topic, true, true, sub, shared)
}

func (n *node) match(rest string, more, first bool, sub func(*subscription), shared func(*group)) {
	wild := !first || !strings.HasPrefix(rest, "$") // [MQTT-4.7.2-1]
	if wild {
		n.children["#"].each(sub, shared)
	}
	if !more {
		n.each(sub, shared)
		return
	}
	level, rest, more := strings.Cut(rest, "/")
	if c := n.children[level]; c != nil && level != "+" && level != "#" {
		c.match(rest, more, false, sub, shared)
	}
	if c := n.children["+"]; c != nil && wild {
		c.match(rest, more, false, sub, shared)
	}
}

func (n *node) each(sub func(*subscription), shared func(*group)) {
	if n == nil {
		return
	}
	for _, s := range n.subs {
		sub(s)
	}
	for _, g := range n.groups {
		shared(g)
	}
}
