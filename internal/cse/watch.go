package cse

import (
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// The notificationEventTypes (TS-0004 clause 6.3.4.2.19) that a committed change can be.
const (
	eventUpdate      = 1
	eventDelete      = 2
	eventChildCreate = 3
	eventChildDelete = 4

	eventRetrieveNoChild = 5 // of la or ol of a container without instances

	eventBlockingUpdate = 7 // asked before the change, and so no event of its own
	eventMissingData    = 8 // of a timeSeries
)

// The notificationContentTypes (TS-0004 clause 6.3.4.2.31).
const (
	contentAllAttributes      = 1
	contentModifiedAttributes = 2
	contentResourceID         = 3
	contentTimeSeries         = 5
)

// watch is what a subscription waits for, parsed from its attributes (TS-0001 clause 9.6.8).
type watch struct {
	events     uint32 // bit n is set for notificationEventType n
	attributes []string
	childTypes []onem2m.ResourceType
	monitors   monitors
	// conditions apply to the subscribed-to resource, sizes to the contentInstance that came or went.
	conditions *filter
	sizes      *filter
	content    int64
	targets    []string
	subscriber string // su
	creator    string // cr
	tellsWho   bool   // eeno
	counter    int64  // exc, 0 when there is none

	// md: a report on missing data points needs so many of them within so long, in microseconds.
	missing       int64
	missingWithin int64

	category string // ec of the notifications, "" for none
	batch    *Batch
	rate     *Rate
	latest   bool
	counted  bool // nse
}

// monitor is an operationMonitor of a subscription: the operations and the originator that it counts.
type monitor struct {
	operations access // 0 for any
	originator string // "" for any
	single     bool   // written with org
}

func (c *Core) parseMonitor(value []byte) monitor {
	n, limited := onem2m.Int(onem2m.Field(value, "ops"))
	org := onem2m.Field(value, "org")
	if org == nil {
		// Without ops, n is 0.
		return monitor{operations: access(n), originator: c.localID(text(onem2m.Field(value, "or")))}
	}
	m := monitor{originator: c.localID(text(org)), single: true}
	if limited {
		m.operations = accessOf(onem2m.Operation(n))
	}
	if m.operations == accessRetrieve {
		m.operations |= accessDiscover
	}
	return m
}

// monitors are the operationMonitors of a subscription.
type monitors []monitor

// find gives the first monitor that counts an operation of an originator, nil when none does.
func (m monitors) find(op access, originator string) *monitor {
	for i := range m {
		if (m[i].operations == 0 || m[i].operations&op != 0) && (m[i].originator == "" || m[i].originator == originator) {
			return &m[i]
		}
	}
	return nil
}

func parseWatch(c *Core, sub *Resource) *watch {
	w := &watch{
		events:     1 << eventUpdate,
		content:    contentAllAttributes,
		targets:    stringsOf(sub.Get("nu")),
		subscriber: text(sub.Get("su")),
	}
	if n, ok := onem2m.Int(sub.Get("nct")); ok {
		w.content = n
	}
	if n, ok := onem2m.Int(sub.Get("exc")); ok {
		w.counter = n
	}
	w.parseDelivery(sub)
	var conditions, sizes onem2m.FilterCriteria
	for name, value := range onem2m.Fields(sub.Get("enc")) {
		switch name {
		case "net":
			w.events = 0
			for e := range onem2m.Elements(value) {
				if n, ok := onem2m.Int(e); ok && n > 0 && n < 32 {
					w.events |= 1 << n
				}
			}
		case "atr":
			w.attributes = stringsOf(value)
		case "chty":
			for e := range onem2m.Elements(value) {
				if n, ok := onem2m.Int(e); ok {
					w.childTypes = append(w.childTypes, onem2m.ResourceType(n))
				}
			}
		case "om":
			// Without event types, every operation on the subscribed-to resource counts: CREATE is that of a child.
			w.events = 1<<eventUpdate | 1<<eventDelete | 1<<eventChildCreate
			for e := range onem2m.Elements(value) {
				w.monitors = append(w.monitors, c.parseMonitor(e))
			}
		case "md":
			w.missing, _ = onem2m.Int(onem2m.Field(value, "num"))
			w.missingWithin, _ = onem2m.ParseDuration(text(onem2m.Field(value, "dur")))
		case "crb":
			conditions.CreatedBefore = text(value)
		case "cra":
			conditions.CreatedAfter = text(value)
		case "ms":
			conditions.ModifiedSince = text(value)
		case "us":
			conditions.UnmodifiedSince = text(value)
		case "exb":
			conditions.ExpireBefore = text(value)
		case "exa":
			conditions.ExpireAfter = text(value)
		case "sts":
			conditions.StateTagSmaller = integerPointer(value)
		case "stb":
			conditions.StateTagBigger = integerPointer(value)
		case "sza":
			sizes.SizeAbove = integerPointer(value)
		case "szb":
			sizes.SizeBelow = integerPointer(value)
		case "fo":
			if n, ok := onem2m.Int(value); ok {
				conditions.Operation, sizes.Operation = uint8(n), uint8(n)
			}
		}
	}
	// The attribute tables have validated all of this; what does not parse all the same matches nothing.
	var err error
	if w.conditions, err = newFilter(&conditions); err != nil {
		w.events = 0
	}
	if w.sizes, err = newFilter(&sizes); err != nil {
		w.events = 0
	}
	return w
}

// parseDelivery reads the attributes that say how notifications are delivered (TS-0004 clause 7.5.1.2.2, steps 2.2 to
// 2.4 and 4.0).
func (w *watch) parseDelivery(sub *Resource) {
	w.creator, w.tellsWho = text(sub.Get("cr")), trueValue(sub.Get("eeno"))
	w.category = string(sub.Get("nec"))
	w.counted = trueValue(sub.Get("nse"))
	// A notification of category latest replaces the one of its subscription that waits, and one of category immediate
	// waits for no others (TS-0001 clause 8.1.2).
	w.latest = trueValue(sub.Get("ln")) || string(sub.Get("pn")) == pendingSendLatest || w.category == categoryLatest
	if w.latest {
		w.category = categoryLatest
	}
	if bn := sub.Get("bn"); bn != nil && w.category != categoryImmediate {
		b := Batch{}
		b.Number, _ = onem2m.Int(onem2m.Field(bn, "num"))
		b.Duration, _ = onem2m.ParseDurationOrSeconds(onem2m.Field(bn, "dur"))
		w.batch = &b
	}
	if rl := sub.Get("rl"); rl != nil {
		number, _ := onem2m.Int(onem2m.Field(rl, "mnn"))
		window, _ := onem2m.ParseDuration(text(onem2m.Field(rl, "tww")))
		if number > 0 && window > 0 {
			w.rate = &Rate{number, window}
		}
	}
}

const (
	pendingSendLatest = "1" // m2m:pendingNotification
	categoryImmediate = "2" // m2m:eventCat
	categoryLatest    = "4"
)

func integerPointer(value []byte) *int64 {
	if n, ok := onem2m.Int(value); ok {
		return &n
	}
	return nil
}

// wants says whether a change is one that the subscription waits for, event being the kind of change seen from the
// subscribed-to resource.
func (w *watch) wants(v *visit, event int, ch *change, subject *Resource) (bool, error) {
	if w.events&(1<<event) == 0 || len(w.monitors) > 0 && w.monitors.find(accessOf(ch.operation()), ch.originator) == nil {
		return false, nil
	}
	changed := ch.typ()
	switch event {
	case eventUpdate:
		if len(w.attributes) > 0 && !slices.ContainsFunc(ch.modified, func(name string) bool {
			return slices.Contains(w.attributes, name)
		}) {
			return false, nil
		}
	case eventChildCreate, eventChildDelete:
		if len(w.childTypes) > 0 && !slices.Contains(w.childTypes, changed) {
			return false, nil
		}
	}
	if len(w.sizes.conditions) > 0 {
		ok, err := w.sizes.matches(v, &item{instance: ch.instance, resource: subject})
		if !ok || err != nil {
			return false, err
		}
	}
	if len(w.conditions.conditions) == 0 {
		return true, nil
	}
	it, err := newItem(v.r, subject)
	if err != nil {
		return false, err
	}
	return w.conditions.matches(v, &it)
}

// typ is the type of the resource that changed.
func (ch *change) typ() onem2m.ResourceType {
	switch {
	case ch.instance != nil:
		return ch.instance.typ()
	case ch.after != nil:
		return ch.after.Type
	}
	return ch.before.Type
}
