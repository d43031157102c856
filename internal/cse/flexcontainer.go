package cse

import (
	"slices"
	"strconv"

	"github.com/tallystick/tallystick/onem2m"
)

// specializationName is the hidden attribute that keeps the root member of a flexContainer or mgmtObj ("cod:tempe",
// "m2m:bat"), which says what specialization it is.
const specializationName = "~tag"

// definitionOf describes the type of a resource, of a flexContainer or mgmtObj the specialization.
func definitionOf(res *Resource) *onem2m.TypeDef {
	if res.Type.Specialized() {
		if def := onem2m.Specialization(text(res.Get(specializationName))); def != nil {
			return def
		}
	}
	return onem2m.Lookup(res.Type)
}

// historyLimits bound the instances of a flexContainer and go with fcied.
var historyLimits = []string{"mbs", "mia", "mni"}

// completeFlexContainer checks what the attributes of a flexContainer say together and sets contentSize (TS-0004 clauses
// 7.4.37.2.1 and 7.4.37.2.3). With flexContainerInstancesEnabled (fcied) come the limits of its history; they are
// refused without it, and go with it.
func completeFlexContainer(req *onem2m.Request, before, after *Resource) error {
	def := definitionOf(after)
	if want := def.ContainerDefinition; before == nil && want != "" && text(after.Get("cnd")) != want {
		return refuse(onem2m.StatusBadRequest, "containerDefinition (cnd) of a %s is %s", def.Tag, want)
	}
	size := uint64(0)
	for _, a := range after.Attrs {
		if def.Custom(a.Name) {
			size += uint64(onem2m.Size(a.Value))
		}
	}
	after.set("cs", strconv.AppendUint(nil, size, 10))
	enabled := after.Get("fcied")
	if enabled == nil && before != nil && before.Get("fcied") != nil {
		for _, name := range historyLimits {
			if !carries(req, name) {
				after.unset(name)
			}
		}
	}
	for _, name := range historyLimits {
		switch n, ok := onem2m.Int(after.Get(name)); {
		case !ok:
		case enabled == nil:
			return refuse(onem2m.StatusBadRequest, "%s of a flexContainer goes with flexContainerInstancesEnabled (fcied) only", name)
		case n == 0:
			return refuse(onem2m.StatusBadRequest, "%s of a flexContainer is not 0", name)
		case name == "mbs" && uint64(n) < size && (before == nil || trueValue(enabled)):
			return refuse(onem2m.StatusBadRequest, "maxByteSize (mbs) %d is less than contentSize (cs) %d", n, size)
		}
	}
	return nil
}

// carries says whether an UPDATE gives an attribute a value.
func carries(req *onem2m.Request, name string) bool {
	// The request passed its checks, so its content is well formed.
	_, members, _ := onem2m.ParseContent(req.Content)
	return slices.ContainsFunc(members, func(m onem2m.Member) bool { return m.Name == name && !onem2m.IsNull(m.Value) })
}

// record is a flexContainerInstance that was made along with a change of its flexContainer: the custom attributes as they
// are from then on. It has an entry of its own in the log, right after that of the change, from which it follows.
type record struct {
	instance instance
	effect   Effect
}

// recordCreated makes the first instance of a new flexContainer, nil when it has no history.
func (c *Core) recordCreated(st State, res *Resource, originator string, env Env) (*record, error) {
	if res.Type != onem2m.TypeFlexContainer || res.Get("fcied") == nil {
		return nil, nil
	}
	return appendRecord(st, res, originator, 0, env)
}

// recordUpdated brings the history of a flexContainer in line with an UPDATE: an instance of the custom attributes, labels
// and location when the history is enabled and one of them was written, or when it starts; the newest one alone when it
// is disabled; nothing when it is removed.
func (c *Core) recordUpdated(st State, v *revision, env Env) (*record, error) {
	limits := c.compile(v.after).limits
	was, is := v.before.Get("fcied"), v.after.Get("fcied")
	made := false
	switch {
	case is == nil:
		limits.count = 0
	case !trueValue(is):
		limits.count, made = 1, was == nil
	default:
		if was != nil && !trueValue(was) {
			limits.count = 1 // the history begins anew
		}
		def := definitionOf(v.after)
		made = !trueValue(was) || slices.ContainsFunc(v.modified, func(name string) bool {
			return name == "lbl" || name == "loc" || def.Custom(name)
		})
	}
	var added, size uint64
	if made {
		n, _ := onem2m.Int(v.after.Get("cs"))
		added, size = 1, uint64(n)
	}
	if err := retain(st, v.after.RI, &v.counters, &limits, added, size, env.Time); err != nil || !made {
		return nil, err
	}
	return appendRecord(st, v.after, v.originator, v.counters.StateTag+1, env)
}

func appendRecord(st State, res *Resource, originator string, stateTag uint64, env Env) (*record, error) {
	def := definitionOf(res)
	w := objectWriter{dst: append(append([]byte(`{"`), def.Tag...), `":{`...)}
	for _, a := range res.Attrs {
		if a.Name == "lbl" || a.Name == "loc" || def.Custom(a.Name) {
			w.raw(a.Name, a.Value)
		}
	}
	content := append(w.dst, '}', '}')
	_, members, err := onem2m.ParseContent(content)
	if err != nil {
		return nil, &corruption{"flexContainer " + res.RI + " cannot be read: " + err.Error()}
	}
	size, _ := onem2m.Int(res.Get("cs"))
	ref := InstanceRef{Index: env.NextIndex + 1, Size: uint64(size), StateTag: stateTag, Time: env.Time}
	if err := st.AppendInstance(res.RI, ref, ""); err != nil {
		return nil, err
	}
	ri := onem2m.ResourceRI(onem2m.TypeFlexContInst, ref.Index)
	return &record{
		instance: instance{ri: ri, container: res, ref: ref, members: members, originator: originator},
		effect: Effect{
			Operation: onem2m.Create, Originator: originator, Target: res.RI, Resource: ri,
			Type: onem2m.TypeFlexContInst, Status: onem2m.StatusCreated, Payload: content,
		},
	}, nil
}

// committedWith is committed for a change that made a record too; nil when it made none.
func (c *Core) committedWith(st State, req *onem2m.Request, env Env, o *outcome, made *record) (Result, error) {
	result, err := c.committed(st, req, env, o)
	if err != nil || made == nil {
		return result, err
	}
	err = c.matchSubscriptions(st, &change{
		kind: changeCreated, originator: made.instance.originator, parent: made.instance.container, instance: &made.instance,
	}, env, &o.notices)
	if err != nil {
		return Result{}, err
	}
	result.Effects, result.Events = append(result.Effects, made.effect), o.notices.events
	return result, nil
}
