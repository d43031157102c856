package cse_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// reference is a slow and obvious oneM2M core: a tree of structs, searched from end to end for everything. The
// model test compares the real core with it.
type reference struct {
	root *refNode
	now  int64
	next uint64
	// told is what the last request notified, "sub5:3" for a subscription and event type.
	told []string
}

type refRule struct {
	acor string
	acop int
}

// refNode is any resource; kids are in creation order, instances apart from oldest to newest.
type refNode struct {
	ty            onem2m.ResourceType
	ri, rn, owner string
	parent        *refNode
	kids, cins    []*refNode
	ct, lt, st    int64
	body          refBody
}

// refBody is what a request may set. Nil means that the request does not have it.
type refBody struct {
	rn            string
	lbl, acpi     []string
	mni, mbs, mia *int64
	con           string
	dgt           int
	pv            []refRule
	mid           []string
	net           []int
	exc           int
}

func newReference(now int64) *reference {
	admin := []refRule{{"Coperator", 63}}
	root := &refNode{ty: 5, ri: "cb", rn: "tally", owner: "Coperator", ct: now, lt: now, body: refBody{acpi: []string{"acp2"}}}
	root.kids = []*refNode{{ty: 1, ri: "acp2", rn: "acpAdmin", owner: "Coperator", parent: root, ct: now, lt: now, body: refBody{pv: admin}}}
	return &reference{root: root, now: now, next: 3}
}

func (n *refNode) path() string {
	if n.parent == nil {
		return n.rn
	}
	return n.parent.path() + "/" + n.rn
}

// all lists every resource, instances included.
func (m *reference) all() []*refNode {
	var list []*refNode
	var visit func(n *refNode)
	visit = func(n *refNode) {
		list = append(list, n)
		for _, k := range n.kids {
			visit(k)
		}
		list = append(list, n.cins...)
	}
	visit(m.root)
	return list
}

// instance says whether a resource is one that its parent keeps only so many of.
func (n *refNode) instance() bool { return n.ty == 4 || n.ty == 30 }

func (m *reference) overdue(n *refNode) bool {
	return n.instance() && n.parent.body.mia != nil && m.now-n.ct >= *n.parent.body.mia*1_000_000
}

func (m *reference) byID(id string) *refNode {
	for _, n := range m.all() {
		if (n.ri == id || n.path() == id) && !m.overdue(n) {
			return n
		}
	}
	return nil
}

// resolve gives the resource and what is asked of it: "", "la", "ol" or "fopt".
func (m *reference) resolve(to string) (n *refNode, virtual string) {
	if n := m.byID(to); n != nil {
		return n, ""
	}
	i := strings.LastIndexByte(to, '/')
	if i < 0 {
		return nil, ""
	}
	n, virtual = m.byID(to[:i]), to[i+1:]
	if n != nil && ((n.ty == 3 || n.ty == 29) && (virtual == "la" || virtual == "ol") || n.ty == 9 && virtual == "fopt") {
		return n, virtual
	}
	return nil, ""
}

func allows(rules []refRule, who string, op int) bool {
	return slices.ContainsFunc(rules, func(r refRule) bool { return (r.acor == who || r.acor == "all") && r.acop&op != 0 })
}

// policies gives the accessControlPolicies that a resource links and that exist.
func (m *reference) policies(n *refNode) []*refNode {
	var list []*refNode
	for _, id := range n.body.acpi {
		if acp := m.byID(id); acp != nil && acp.ty == 1 {
			list = append(list, acp)
		}
	}
	return list
}

// can is access control: TS-0001 clause 9.6.2. In this model pvs is always {owner: 63}.
func (m *reference) can(n *refNode, who string, op int) bool {
	if n.instance() {
		n = n.parent
	}
	if n.ty == 1 {
		return who == n.owner
	}
	acps := m.policies(n)
	if len(acps) == 0 {
		return who == n.owner
	}
	return slices.ContainsFunc(acps, func(acp *refNode) bool { return allows(acp.body.pv, who, op) })
}

// blind says whether somebody has no privilege on a resource at all.
func (m *reference) blind(n *refNode, who string) bool {
	for op := 1; op < 64; op <<= 1 {
		if m.can(n, who, op) {
			return false
		}
	}
	acps := m.policies(n)
	return !slices.ContainsFunc(acps, func(acp *refNode) bool { return acp.owner == who })
}

// conceal is what becomes of a refusal: who has no privilege on what is, or on what is above what is not, is told that alone.
func (m *reference) conceal(from, to string, want onem2m.StatusCode) onem2m.StatusCode {
	if want < 3000 {
		return want
	}
	n, _ := m.resolve(to)
	for at := to; n == nil; {
		i := strings.LastIndexByte(at, '/')
		if i < 0 {
			return want
		}
		at = at[:i]
		n = m.byID(at)
		if n == nil {
			n, _ = m.resolve(at)
		}
	}
	if n.instance() {
		n = n.parent
	}
	if n.ty != 5 && m.blind(n, from) {
		return 4103
	}
	return want
}

// concealment is conceal for a target as it is now, before the request changes it.
func (m *reference) concealment(from, to string) func(onem2m.StatusCode) onem2m.StatusCode {
	hidden := m.conceal(from, to, 4000) == 4103
	return func(want onem2m.StatusCode) onem2m.StatusCode {
		if want >= 3000 && hidden {
			return 4103
		}
		return want
	}
}

// concealed does so for the members of a group, of which those that are gone are told to be gone.
func (m *reference) concealed(from string, one func(to string) onem2m.StatusCode) func(to string) onem2m.StatusCode {
	return func(to string) onem2m.StatusCode {
		if n, _ := m.resolve(to); n == nil {
			return one(to)
		}
		conceal := m.concealment(from, to)
		return conceal(one(to))
	}
}

// end gives the newest or oldest instance that is not overdue.
func (m *reference) end(n *refNode, virtual string) *refNode {
	var live []*refNode
	for _, c := range n.cins {
		if !m.overdue(c) {
			live = append(live, c)
		}
	}
	switch {
	case len(live) == 0:
		return nil
	case virtual == "la":
		return live[len(live)-1]
	}
	return live[0]
}

func (n *refNode) bytes() (sum int64) {
	for _, c := range n.cins {
		sum += int64(len(c.body.con))
	}
	return sum
}

// trim drops the oldest instances for the limits, with room for add more of size bytes.
func (m *reference) trim(n *refNode, add, size int64) {
	for len(n.cins) > 0 {
		over := n.body.mni != nil && int64(len(n.cins))+add > *n.body.mni || n.body.mbs != nil && n.bytes()+size > *n.body.mbs
		if !over && !m.overdue(n.cins[0]) {
			return
		}
		n.cins = n.cins[1:]
	}
}

// children says which types go below which.
var refChildren = map[onem2m.ResourceType][]onem2m.ResourceType{
	5: {1, 2, 3, 9, 14, 23, 29}, 2: {1, 3, 9, 23, 29}, 3: {3, 4, 23, 29}, 1: {23}, 9: {23}, 29: {23, 30},
}

func (m *reference) create(from, to string, ty onem2m.ResourceType, b refBody) onem2m.StatusCode {
	t, virtual := m.resolve(to)
	if t == nil {
		return 4004
	}
	if virtual != "" {
		return 4005
	}
	if !(ty == 2 && t == m.root) && !m.can(t, from, 1) || ty == 23 && !m.can(t, from, 2) {
		return 4103
	}
	if !slices.Contains(refChildren[t.ty], ty) {
		if ty == 23 {
			return 5203
		}
		return 4108
	}
	prefix := map[onem2m.ResourceType]string{1: "acp", 3: "cnt", 4: "cin", 9: "grp", 23: "sub", 29: "ts", 30: "tsi"}
	n := &refNode{ty: ty, owner: from, parent: t, ct: m.now, lt: m.now, body: b}
	n.ri = prefix[ty] + strconv.FormatUint(m.next, 36)
	if ty == 2 {
		n.ri = from
	}
	n.rn = b.rn
	if n.rn == "" {
		n.rn = n.ri
	}
	if n.instance() {
		if t.body.mbs != nil && int64(len(b.con)) > *t.body.mbs || t.body.mni != nil && *t.body.mni == 0 {
			return 5207
		}
	}
	if len(m.policies(n)) != len(b.acpi) {
		return 4000
	}
	if ty == 2 && m.byID(from) != nil {
		return 4117
	}
	for _, other := range append(slices.Clone(t.kids), t.cins...) {
		if other.rn == n.rn {
			return 4105
		}
	}
	if ty == 9 {
		if status := m.checkMembers(n, from); status != 0 {
			return status
		}
	}
	if ty == 30 && slices.ContainsFunc(t.cins, func(other *refNode) bool { return other.body.dgt == b.dgt }) {
		return 4105
	}
	m.next++
	if n.instance() {
		m.trim(t, 1, int64(len(b.con)))
		t.st++
		t.lt = m.now
		n.st = t.st
		t.cins = append(t.cins, n)
	} else {
		t.kids = append(t.kids, n)
	}
	m.watchers(t, 3, n)
	return 2001
}

// checkMembers checks the members of a group of at most 3 (mnm), all of which must be there and readable.
func (m *reference) checkMembers(n *refNode, from string) onem2m.StatusCode {
	if len(n.body.mid) > 3 {
		return 6010
	}
	for _, id := range n.body.mid {
		member := m.byID(id)
		if member == nil {
			return 4004
		}
		if !m.can(member, from, 2) {
			return 5105
		}
	}
	return 0
}

// update changes what is set in b of a resource of type ty.
func (m *reference) update(from, to string, ty onem2m.ResourceType, b refBody) onem2m.StatusCode {
	t, virtual := m.resolve(to)
	switch {
	case t == nil:
		return 4004
	case virtual != "" || t.instance() || t.ty == 5:
		return 4005
	}
	if t.ty == ty && b.acpi != nil {
		acps := m.policies(t)
		if len(acps) == 0 && from != t.owner || len(acps) > 0 && !slices.ContainsFunc(acps, func(acp *refNode) bool { return acp.owner == from }) {
			return 4103
		}
		if len(m.policies(&refNode{body: b})) != len(b.acpi) {
			return 4000
		}
	} else if !m.can(t, from, 4) {
		return 4103
	}
	if t.ty != ty {
		return 4000
	}
	after := t.body
	switch {
	case b.acpi != nil:
		after.acpi = b.acpi
	case ty == 3 || ty == 29:
		after.lbl = b.lbl
		if b.mni != nil {
			after.mni = b.mni
		}
	case ty == 1:
		after.pv = b.pv
	}
	t.body = after
	t.lt = m.now
	if ty == 3 || ty == 29 {
		m.trim(t, 0, 0)
		t.st++
	}
	m.next++
	m.watchers(t, 1, t)
	return 2004
}

func (m *reference) delete(from, to string) onem2m.StatusCode {
	t, virtual := m.resolve(to)
	switch {
	case t == nil:
		return 4004
	case t == m.root:
		return 4005
	case !m.can(t, from, 8):
		return 4103
	}
	if virtual != "" {
		if t = m.end(t, virtual); t == nil {
			return 4004
		}
	}
	m.next++
	if t.instance() {
		m.watchers(t.parent, 4, t)
		t.parent.cins = slices.DeleteFunc(t.parent.cins, func(n *refNode) bool { return n == t })
		t.parent.st++
		t.parent.lt = m.now
		return 2002
	}
	// Each resource with all below it, level by level.
	m.gone(t)
	queue := slices.Clone(t.kids)
	for i := 0; i < len(queue); i++ {
		queue = append(queue, queue[i].kids...)
	}
	for _, n := range queue {
		m.gone(n)
	}
	t.unlink()
	return 2002
}

func (n *refNode) unlink() {
	n.parent.kids = slices.DeleteFunc(slices.Clone(n.parent.kids), func(k *refNode) bool { return k == n })
}

// gone tells of a deletion while the resource is still there.
func (m *reference) gone(n *refNode) {
	if !slices.Contains(n.parent.kids, n) {
		return
	}
	m.watchers(n, 2, n)
	m.watchers(n.parent, 4, n)
}

// watchers tells the subscriptions below subject of an event, and ends those that have told enough.
func (m *reference) watchers(subject *refNode, event int, changed *refNode) {
	for _, sub := range slices.Clone(subject.kids) {
		if sub.ty != 23 || sub == changed || !slices.Contains(subject.kids, sub) || !slices.Contains(sub.body.net, event) || !m.can(subject, sub.owner, 2) {
			continue
		}
		m.told = append(m.told, fmt.Sprintf("%s:%d", sub.ri, event))
		switch sub.body.exc {
		case 0:
		case 1:
			sub.unlink()
			m.watchers(subject, 4, sub)
		default:
			sub.body.exc--
		}
	}
}

// retrieve gives the representation of a resource, with all descendants that may be seen when nested.
func (m *reference) retrieve(from, to string, nested bool) (onem2m.StatusCode, map[string]any) {
	t, virtual := m.resolve(to)
	switch {
	case t == nil:
		return 4004, nil
	case !m.can(t, from, 2):
		return 4103, nil
	}
	if virtual != "" {
		if t = m.end(t, virtual); t == nil {
			return 4004, nil
		}
	}
	r := m.represent(t, from, nested)
	if mid, ok := r["mid"].([]string); ok {
		mid = slices.DeleteFunc(mid, func(id string) bool { return m.byID(id) == nil })
		r["mid"], r["cnm"] = mid, len(mid)
	}
	return 2000, map[string]any{onem2m.Lookup(t.ty).Tag: r}
}

func (m *reference) represent(n *refNode, from string, nested bool) map[string]any {
	r := map[string]any{
		"ty": n.ty, "ri": n.ri, "pi": "", "rn": n.rn, "ct": onem2m.FormatTime(n.ct), "lt": onem2m.FormatTime(n.lt),
	}
	if n.parent != nil {
		r["pi"], r["et"] = n.parent.ri, "99991231T235959"
	}
	if n.instance() && n.parent.body.mia != nil {
		r["et"] = onem2m.FormatTime(n.ct + *n.parent.body.mia*1_000_000)
	}
	if n.body.lbl != nil {
		r["lbl"] = n.body.lbl
	}
	if n.body.acpi != nil {
		r["acpi"] = n.body.acpi
	}
	rules := func(list []refRule) map[string]any {
		acr := []any{}
		for _, rule := range list {
			acr = append(acr, map[string]any{"acor": []string{rule.acor}, "acop": rule.acop})
		}
		return map[string]any{"acr": acr}
	}
	switch n.ty {
	case 1:
		r["pv"], r["pvs"] = rules(n.body.pv), rules([]refRule{{n.owner, 63}})
	case 2:
		r["api"], r["rr"], r["srv"], r["aei"] = "Ntest", false, []string{"4"}, n.ri
	case 3, 29:
		live := refNode{cins: slices.DeleteFunc(slices.Clone(n.cins), m.overdue)}
		r["cni"], r["cbs"] = len(live.cins), live.bytes()
		if n.ty == 3 {
			r["st"] = n.st
		} else {
			r["mdd"], r["mdc"] = false, 0
		}
		for name, v := range map[string]*int64{"mni": n.body.mni, "mbs": n.body.mbs, "mia": n.body.mia} {
			if v != nil {
				r[name] = *v
			}
		}
	case 4:
		r["st"], r["cs"], r["con"] = n.st, len(n.body.con), n.body.con
	case 30:
		r["cs"], r["con"], r["dgt"] = len(n.body.con), n.body.con, onem2m.FormatTime(int64(n.body.dgt))
	case 9:
		r["mid"], r["mnm"], r["mt"], r["csy"], r["cnm"] = append([]string{}, n.body.mid...), 3, 0, 1, len(n.body.mid)
	case 23:
		r["nu"], r["nct"], r["enc"] = []string{"http://h"}, 3, map[string]any{"net": n.body.net}
		if n.body.exc > 0 {
			r["exc"] = n.body.exc
		}
	}
	if !nested {
		return r
	}
	var below func(n *refNode)
	below = func(n *refNode) {
		for _, k := range append(slices.Clone(n.kids), n.cins...) {
			if !m.can(k, from, 2) || m.overdue(k) {
				below(k) // what shows below it shows here
				continue
			}
			tag := onem2m.Lookup(k.ty).Tag
			list, _ := r[tag].([]any)
			r[tag] = append(list, m.represent(k, from, true))
		}
	}
	below(n)
	return r
}

// discover lists the addresses of what is below a resource, depth first, instances last.
func (m *reference) discover(from, to string, types []onem2m.ResourceType, label string, limit int) (onem2m.StatusCode, []string) {
	t, virtual := m.resolve(to)
	if t == nil {
		return 4004, nil
	}
	list := []string{}
	var visit func(n *refNode)
	visit = func(n *refNode) {
		for _, k := range append(slices.Clone(n.kids), n.cins...) {
			ok := len(types) == 0 || slices.Contains(types, k.ty)
			if label != "" && !slices.Contains(k.body.lbl, label) {
				ok = false
			}
			if ok && m.can(k, from, 32) && !m.overdue(k) && len(list) < limit {
				list = append(list, k.path())
			}
			visit(k)
		}
	}
	if virtual == "" {
		visit(t)
	}
	return 2000, list
}

// fanOut does one operation on all members of a group and gives their statuses.
func (m *reference) fanOut(from string, group *refNode, op int, one func(to string) onem2m.StatusCode) (onem2m.StatusCode, []onem2m.StatusCode) {
	switch {
	case !m.can(group, from, op):
		return 4103, nil
	case len(group.body.mid) == 0:
		return 4109, nil
	}
	var statuses []onem2m.StatusCode
	var left []string
	for _, id := range group.body.mid {
		status := one(id)
		statuses = append(statuses, status)
		if status != 2002 {
			left = append(left, id)
		}
	}
	if len(left) < len(statuses) {
		// What was deleted is no member any more.
		group.body.mid, group.lt = left, m.now
		m.next++
		m.watchers(group, 1, group)
	}
	return 2000, statuses
}
