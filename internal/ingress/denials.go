package ingress

import (
	"cmp"
	"context"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
)

// Bounds of what refusals cost, however many there are.
const (
	denialRows   = 4096 // kinds of refusals told apart in a minute
	denialsTold  = 64   // of them that one entry of the log names; the others it counts by reason
	promptTold   = 16   // that an entry names before the minute is over
	promptsEach  = 6    // such entries in a minute
	denialPeriod = time.Minute
	promptDelay  = 500 * time.Millisecond // in which more is waited for
)

// denialKey is what refusals have in common that are counted as one kind.
type denialKey struct {
	source  netip.Prefix
	claimed string
	cred    identity.KeyID // of the proven credential, zero for none
	reason  binding.Reason
	doing   string
	binding string
}

// denialCount is how many refusals of a kind were not told yet.
type denialCount struct {
	count      uint64
	order      uint64 // of the first of them
	fresh      bool   // nothing was told of this kind, in this minute or the one before
	on         string // what the first of them addressed
	originator string // of the credential
}

// denials counts refusals and tells the ledger of them: of a new kind within a second, of all at the end of a minute.
// It waits for nothing and takes a bounded amount of memory. What it has not told is lost in a crash.
type denials struct {
	node string
	now  func() time.Time
	// tell orders the encoding of an Audit and waits until it is committed.
	tell func(ctx context.Context, content []byte) telling

	mu      sync.Mutex
	since   time.Time
	order   uint64
	kinds   map[denialKey]*denialCount
	before  map[denialKey]struct{} // kinds of the minute before
	others  map[binding.Reason]uint64
	unsure  uint64
	prompts int

	fresh   chan struct{} // a new kind is there
	stop    chan struct{}
	ended   chan struct{}
	telling sync.Mutex // held while an Audit is ordered
}

// telling is what became of an Audit.
type telling int

const (
	told telling = iota
	notTold
	notKnown // it may be committed yet
)

func newDenials(node string, tell func(context.Context, []byte) telling) *denials {
	return &denials{
		node: node, now: time.Now, tell: tell, since: time.Now(),
		kinds: make(map[denialKey]*denialCount), others: make(map[binding.Reason]uint64),
		fresh: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
}

// note counts a refusal. cred is what the client proved to hold, nil for nothing.
func (n *denials) note(ev binding.Evidence, d binding.Denial, cred *identity.Credential) {
	k := denialKey{source: prefixOf(ev.Source), claimed: auditText(d.From), reason: d.Reason, doing: d.Doing, binding: ev.Binding}
	if !ledger.IsAuditWord(k.doing) {
		k.doing = "other" // a method that no protocol has
	}
	originator := ""
	if cred != nil {
		originator = cred.Originator
		if cred.Kind != 0 {
			k.cred = cred.ID()
		}
		if k.claimed == originator {
			k.claimed = ""
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.kinds[k]
	if c == nil {
		if len(n.kinds) >= denialRows {
			n.others[k.reason]++
			return
		}
		c = &denialCount{on: auditText(d.To), originator: originator}
		_, known := n.before[k]
		if c.fresh = !known; c.fresh {
			n.signal()
		}
		n.kinds[k] = c
	}
	if c.count == 0 {
		n.order++
		c.order = n.order
	}
	c.count++
}

func (n *denials) signal() {
	select {
	case n.fresh <- struct{}{}:
	default:
	}
}

// run tells until close.
func (n *denials) run() {
	defer close(n.ended)
	minute := time.NewTicker(denialPeriod)
	defer minute.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		select {
		case <-n.fresh:
			if n.prompt() && n.rest(promptDelay) {
				n.report(ctx, false)
			}
		case <-minute.C:
			n.report(ctx, true)
		case <-n.stop:
			return
		}
	}
}

// prompt says whether another entry may be made before the minute is over.
func (n *denials) prompt() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.prompts++
	return n.prompts <= promptsEach
}

func (n *denials) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-n.stop:
		return false
	}
}

// close ends run.
func (n *denials) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.stop:
	default:
		close(n.stop)
	}
}

// report orders what was not told yet: all of it, or only the kinds that are new. It is the end of a minute when all is.
func (n *denials) report(ctx context.Context, all bool) {
	n.telling.Lock()
	defer n.telling.Unlock()
	a, taken, content := n.take(all)
	if a == nil {
		return
	}
	switch n.tell(ctx, content) {
	case notTold:
		n.giveBack(a, taken)
	case notKnown:
		n.mu.Lock()
		n.unsure += a.Unsure
		for _, t := range taken {
			n.unsure += t.count
		}
		for _, o := range a.Others {
			n.unsure += o.Count
		}
		n.mu.Unlock()
	}
}

// kind is a row on its way to the ledger.
type kind struct {
	denialKey
	denialCount
}

// take makes an Audit of what was not told, nil when that is nothing. What it names is taken, and what it does not name
// goes into the counts by reason, when all is to be told.
func (n *denials) take(all bool) (a *ledger.Audit, taken []kind, content []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var rows []kind
	for k, c := range n.kinds {
		if c.count > 0 && (all || c.fresh) {
			rows = append(rows, kind{k, *c})
		}
	}
	slices.SortFunc(rows, func(x, y kind) int {
		if all {
			if c := cmp.Compare(y.count, x.count); c != 0 {
				return c
			}
		}
		return cmp.Compare(x.order, y.order)
	})
	limit := denialsTold
	if !all {
		limit = promptTold
	}
	now := n.now()
	a = &ledger.Audit{Node: n.node, Since: n.since.UnixMicro(), Until: max(now.UnixMicro(), n.since.UnixMicro())}
	size := 0
	for len(rows) > 0 && len(taken) < limit && size < ledger.MaxAuditBytes/2 {
		row := rows[0].denied()
		size += rowSize(&row)
		a.Denied = append(a.Denied, row)
		taken, rows = append(taken, rows[0]), rows[1:]
	}
	if all {
		for _, k := range rows {
			n.others[k.reason] += k.count
		}
		for reason, count := range n.others {
			a.Others = append(a.Others, ledger.DeniedOthers{Reason: string(reason), Count: count})
		}
		slices.SortFunc(a.Others, func(x, y ledger.DeniedOthers) int { return cmp.Compare(x.Reason, y.Reason) })
		a.Unsure = n.unsure
	}
	if all {
		n.before = make(map[denialKey]struct{}, len(n.kinds))
		for k := range n.kinds {
			n.before[k] = struct{}{}
		}
		clear(n.kinds)
		clear(n.others)
		n.unsure, n.prompts, n.since = 0, 0, now
	} else {
		for _, t := range taken {
			c := n.kinds[t.denialKey]
			c.count, c.fresh = 0, false
		}
		if len(rows) > 0 {
			n.signal()
		}
	}
	if len(a.Denied)+len(a.Others) == 0 && a.Unsure == 0 {
		return nil, nil, nil
	}
	content, err := a.Encode()
	if err != nil { // a struct of valid texts and numbers always marshals
		panic(err)
	}
	return a, taken, content
}

// giveBack puts back what could not be told.
func (n *denials) giveBack(a *ledger.Audit, taken []kind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.since = time.UnixMicro(a.Since)
	n.unsure += a.Unsure
	for _, o := range a.Others {
		n.others[binding.Reason(o.Reason)] += o.Count
	}
	for _, t := range taken {
		c := n.kinds[t.denialKey]
		switch {
		case c != nil:
			c.count += t.count
			c.order, c.on = t.order, t.on
		case len(n.kinds) < denialRows:
			t.fresh = false
			n.kinds[t.denialKey] = &t.denialCount
		default:
			n.others[t.reason] += t.count
		}
	}
}

func (k *kind) denied() ledger.Denied {
	d := ledger.Denied{
		Claimed: k.claimed, Originator: k.originator, Reason: string(k.reason), Doing: k.doing, Binding: k.binding,
		On: k.on, Count: k.count,
	}
	if k.source.IsValid() {
		if d.Source = k.source.String(); k.source.Addr().Is4() {
			d.Source = k.source.Addr().String()
		}
	}
	if k.cred != (identity.KeyID{}) {
		d.Key = hex.EncodeToString(k.cred[:])
	}
	return d
}

// rowSize is more than a row takes in an Audit: of what a client chose, no byte takes more than two.
func rowSize(d *ledger.Denied) int {
	return 256 + 2*(len(d.Claimed)+len(d.On)) + len(d.Originator)
}

// prefixOf is the part of an address that counts as one client: all of IPv4, 64 bits of IPv6.
func prefixOf(source string) netip.Prefix {
	a, err := netip.ParseAddr(source)
	if err != nil {
		return netip.Prefix{}
	}
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(a, bits).Masked()
}

// auditText makes of what a client said a text for the audit trail. Tokens that are not where they belong are left out:
// the trail is for everybody who audits.
func auditText(s string) string {
	if strings.Contains(s, identity.TokenPrefix) {
		return "(a token)"
	}
	const ellipsis = "..."
	cut := len(s) > ledger.MaxAuditText
	if cut {
		s = s[:ledger.MaxAuditText-len(ellipsis)]
	}
	plain := func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}
	s = strings.Map(plain, s)
	if cut {
		s += ellipsis
	}
	return strings.Clone(s)
}
