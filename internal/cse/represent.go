package cse

import (
	"math"
	"slices"
	"strconv"

	"github.com/tallystick/tallystick/onem2m"
)

// item is a resource or an instance in hand, as representations and filters see it.
type item struct {
	resource *Resource // nil for an instance
	counters Counters  // of what holds instances
	instance *instance // set for an instance
	// statistics is notificationStatsInfo of a subscription, nil when it is not known or not to be shown.
	statistics []byte
}

func (it *item) typ() onem2m.ResourceType {
	if it.instance != nil {
		return it.instance.typ()
	}
	return it.resource.Type
}

func (it *item) ri() string {
	if it.instance != nil {
		return it.instance.ri
	}
	return it.resource.RI
}

func (it *item) rn() string {
	if it.instance != nil {
		return it.instance.name()
	}
	return it.resource.RN
}

// policy is the resource whose policies decide access to the item: an instance follows what holds it
// (TS-0001 clauses 9.6.7 and 9.6.37).
func (it *item) policy() *Resource {
	if it.instance != nil {
		return it.instance.container
	}
	return it.resource
}

// newItem completes a resource with the counters that are kept apart from it.
func newItem(r Reader, res *Resource) (item, error) {
	it := item{resource: res}
	if holds(res) {
		counters, ok, err := r.Container(res.RI)
		if err != nil {
			return it, err
		}
		if !ok {
			return it, noCounters(res.RI)
		}
		it.counters = counters
	}
	return it, nil
}

// maxUncounted bounds the instances that one look at counters finds overdue.
const maxUncounted = 10_000

// discount takes instances that have outlived maxInstanceAge off the counters that are shown: they are hidden already, but
// go only with the next write to what holds them (see Expire). When that are more than maxUncounted and not all, the rest
// is counted.
func (c *Core) discount(r Reader, it *item, now int64) error {
	if it.instance != nil || it.counters.Count == 0 {
		return nil
	}
	limits := &c.compile(it.resource).limits
	if limits.age == math.MaxInt64 {
		return nil
	}
	_, newest, ok, err := r.LookupInstance(it.counters.Newest)
	if err != nil {
		return err
	}
	if ok && now-newest.Time >= limits.age {
		it.counters.Count, it.counters.Bytes = 0, 0
		return nil
	}
	seen := 0
	for ref, err := range r.Instances(it.resource.RI, false) {
		if err != nil {
			return err
		}
		if seen == maxUncounted || !limits.overdue(ref, now) {
			break
		}
		seen++
		it.counters.Count--
		it.counters.Bytes -= ref.Size
	}
	return nil
}

// holds says whether a resource is of a type that holds instances, and so has counters.
func holds(res *Resource) bool { return res.Type.InstanceType() != 0 }

// tagged says whether resources and instances of a type have a stateTag (TS-0001 clauses 9.6.6, 9.6.7 and 9.6.35): those
// of a timeSeries have none.
func tagged(t onem2m.ResourceType) bool {
	switch t {
	case onem2m.TypeContainer, onem2m.TypeContentInstance, onem2m.TypeFlexContainer, onem2m.TypeFlexContInst:
		return true
	}
	return false
}

func noCounters(ri string) error { return &corruption{"container " + ri + " has no counters"} }

// readInstance fetches an instance from the log.
func readInstance(r Reader, container *Resource, ref InstanceRef) (*instance, error) {
	content, err := r.InstanceContent(ref.Index)
	if err != nil {
		return nil, err
	}
	in := &instance{ri: onem2m.ResourceRI(container.Type.InstanceType(), ref.Index), container: container, ref: ref, originator: content.Originator}
	if content.Content == nil {
		return in, nil
	}
	if _, in.members, err = onem2m.ParseContent(content.Content); err != nil {
		return nil, &corruption{"the logged content of " + in.ri + " cannot be read: " + err.Error()}
	}
	return in, nil
}

// typ is the resource type of the instance.
func (in *instance) typ() onem2m.ResourceType { return in.container.Type.InstanceType() }

// get gives the request's own value of an attribute, nil when it had none.
func (in *instance) get(name string) []byte {
	for i := range in.members {
		if in.members[i].Name == name {
			return in.members[i].Value
		}
	}
	return nil
}

// name is the resource name: the one the originator chose, or else the resource ID.
func (in *instance) name() string {
	if rn := text(in.get("rn")); rn != "" {
		return rn
	}
	return in.ri
}

// attributeSet chooses attributes by short name; nil chooses all.
type attributeSet func(name string) bool

// objectWriter appends the members of one JSON object.
type objectWriter struct {
	dst  []byte
	keep attributeSet
	any  bool
}

// key starts a member and says whether it is wanted at all.
func (w *objectWriter) key(name string) bool {
	if w.keep != nil && !w.keep(name) {
		return false
	}
	if w.any {
		w.dst = append(w.dst, ',')
	}
	w.any = true
	w.dst = append(w.dst, '"')
	w.dst = append(w.dst, name...)
	w.dst = append(w.dst, '"', ':')
	return true
}

func (w *objectWriter) text(name, value string) {
	if w.key(name) {
		w.dst = onem2m.AppendQuote(w.dst, value)
	}
}

func (w *objectWriter) number(name string, value uint64) {
	if w.key(name) {
		w.dst = strconv.AppendUint(w.dst, value, 10)
	}
}

func (w *objectWriter) time(name string, value int64) {
	if w.key(name) {
		w.dst = append(w.dst, '"')
		w.dst = onem2m.AppendTime(w.dst, value)
		w.dst = append(w.dst, '"')
	}
}

func (w *objectWriter) raw(name string, value []byte) {
	if w.key(name) {
		w.dst = append(w.dst, value...)
	}
}

// attributes writes the attributes of an item in a fixed order: the universal ones, the counters, then the rest
// (by name for a resource, as the originator sent them for a contentInstance).
func (w *objectWriter) attributes(it *item) {
	if it.instance != nil {
		w.instanceAttributes(it.instance)
		return
	}
	res := it.resource
	w.number("ty", uint64(res.Type))
	w.text("ri", res.RI)
	w.text("pi", res.PI)
	w.text("rn", res.RN)
	w.time("ct", res.Created)
	modified := res.Modified
	if holds(res) {
		modified = it.counters.Modified
	}
	w.time("lt", modified)
	switch {
	case res.Expires != 0:
		w.time("et", res.Expires)
	case res.Type != onem2m.TypeCSEBase:
		w.raw("et", neverExpiresText)
	}
	if tagged(res.Type) {
		w.number("st", it.counters.StateTag)
	}
	if holds(res) && (res.Type != onem2m.TypeFlexContainer || res.Get("fcied") != nil) {
		w.number("cni", it.counters.Count)
		w.number("cbs", it.counters.Bytes)
	}
	for i := range res.Attrs {
		if !hidden(res.Attrs[i].Name) {
			w.raw(res.Attrs[i].Name, res.Attrs[i].Value)
		}
	}
	if it.statistics != nil {
		w.raw("nsi", it.statistics)
	}
}

// hidden says whether an attribute is one that the core keeps for itself: its name is no short name, so that no request
// can name it, and no representation shows it.
func hidden(name string) bool { return name[0] == '~' }

func (w *objectWriter) instanceAttributes(in *instance) {
	w.number("ty", uint64(in.typ()))
	w.text("ri", in.ri)
	w.text("pi", in.container.RI)
	w.text("rn", in.name())
	var buf [32]byte
	stamp := append(onem2m.AppendTime(append(buf[:0], '"'), in.ref.Time), '"') // formatted once for both
	w.raw("ct", stamp)
	w.raw("lt", stamp)
	if at := in.expires(); at != neverExpires {
		w.time("et", at)
	} else {
		w.raw("et", neverExpiresText)
	}
	if tagged(in.typ()) {
		w.number("st", in.ref.StateTag)
	}
	w.number("cs", in.ref.Size)
	if in.typ() == onem2m.TypeFlexContInst {
		w.text("org", in.originator)
	}
	for i := range in.members {
		switch name := in.members[i].Name; name {
		case "rn", "et":
		case "cr":
			// Sent as null, it asks that the originator be recorded (TS-0001 clause 9.6.1.3.2).
			w.text("cr", in.originator)
		default:
			w.raw(name, in.members[i].Value)
		}
	}
}

// tag is the name of the root member of the item's representation.
func (it *item) tag() string {
	if res := it.policy(); res.Type.Specialized() {
		return text(res.Get(specializationName))
	}
	return tagOf(it.typ())
}

// tagOf is the name of the root member of a representation: "m2m:cnt".
func tagOf(t onem2m.ResourceType) string {
	switch t {
	case onem2m.TypeContentInstance:
		return "m2m:cin"
	case onem2m.TypeContainer:
		return "m2m:cnt"
	}
	if d := onem2m.Lookup(t); d != nil {
		return d.Tag
	}
	return "m2m:" + strconv.Itoa(int(t))
}

// appendRepresentation appends {"m2m:cnt":{...}} with the attributes that keep chooses.
func appendRepresentation(dst []byte, it *item, keep attributeSet) []byte {
	dst = slices.Grow(dst, it.weight())
	dst = append(dst, `{"`...)
	dst = append(dst, it.tag()...)
	dst = append(dst, `":{`...)
	w := objectWriter{dst: dst, keep: keep}
	w.attributes(it)
	return append(w.dst, '}', '}')
}

// attribute gives the JSON text of any attribute of an item, those kept outside Attrs included; nil when it has none.
func (it *item) attribute(name string) []byte {
	w := objectWriter{keep: func(n string) bool { return n == name }}
	w.attributes(it)
	if !w.any {
		return nil
	}
	return w.dst[len(name)+3:]
}

// The times and numbers that filters compare. ok is false when the item has no such attribute.

func (it *item) created() (at int64, ok bool) {
	if it.instance != nil {
		return it.instance.ref.Time, true
	}
	return it.resource.Created, true
}

func (it *item) modified() (at int64, ok bool) {
	switch {
	case it.instance != nil:
		return it.instance.ref.Time, true
	case holds(it.resource):
		return it.counters.Modified, true
	}
	return it.resource.Modified, true
}

// expires is expirationTime, which every resource but the CSEBase has.
func (it *item) expires() (at int64, ok bool) {
	switch {
	case it.instance != nil:
		return it.instance.expires(), true
	case it.resource.Type == onem2m.TypeCSEBase:
		return 0, false
	case it.resource.Expires == 0:
		return neverExpires, true
	}
	return it.resource.Expires, true
}

func (it *item) stateTag() (st uint64, ok bool) {
	switch {
	case !tagged(it.typ()):
		return 0, false
	case it.instance != nil:
		return it.instance.ref.StateTag, true
	}
	return it.counters.StateTag, true
}

func (it *item) contentSize() (cs uint64, ok bool) {
	if it.instance != nil {
		return it.instance.ref.Size, true
	}
	n, ok := onem2m.Int(it.resource.Get("cs"))
	return uint64(n), ok
}

func (it *item) labels() []byte {
	if it.instance != nil {
		return it.instance.get("lbl")
	}
	return it.resource.Get("lbl")
}
