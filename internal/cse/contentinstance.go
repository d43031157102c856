package cse

import (
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// prepareInstance checks the representation of an instance (TS-0004 clauses 7.4.7.2.1 and 7.4.39.2.1).
func (c *Core) prepareInstance(r Reader, req *onem2m.Request, env Env, d *draft, members []onem2m.Member) error {
	container := d.parent
	d.isInstance = true
	ref := InstanceRef{Index: env.NextIndex, Time: env.Time}
	for i := range members {
		value := members[i].Value
		switch members[i].Name {
		case "rn":
			d.name = text(value)
		case "con":
			ref.Size = uint64(onem2m.Size(value))
		case "cnf":
			if !validContentInfo(text(value)) {
				return refuse(onem2m.StatusBadRequest, "contentInfo (cnf) %s is not a media type with an encoding 0 to 2 and an optional security 0 to 5, as in text/plain:0", value)
			}
		case "et":
			expires, err := expirationOf(value, env.Time)
			if err != nil {
				return err
			}
			ref.Expires = expires
		case "dgt":
			if req.Type == onem2m.TypeTimeSeriesInst {
				generated, err := onem2m.ParseAbsRel(text(value), env.Time)
				if err != nil {
					return refuse(onem2m.StatusBadRequest, "dataGenerationTime (dgt): %v", err)
				}
				ref.Generated = generated
			}
		case "dcnt", "conr", "at":
			return unsupportedAttribute(req.Type, members[i].Name)
		}
	}
	if err := c.compile(container).limits.checkFits(container.RI, ref.Size); err != nil {
		return err
	}
	if d.name != "" {
		taken, err := nameTaken(r, container.RI, d.name)
		if err != nil {
			return err
		}
		if taken || env.NextIndex != unknownIndex && reservedName(d.name, env.NextIndex) {
			return nameConflict(container.RI, d.name)
		}
	}
	if req.Type == onem2m.TypeTimeSeriesInst {
		if err := checkGenerated(r, container.RI, ref.Generated); err != nil {
			return err
		}
	}
	counters, ok, err := r.Container(container.RI)
	if err != nil {
		return err
	}
	if !ok {
		return noCounters(container.RI)
	}
	ref.StateTag = counters.StateTag + 1
	d.counters = counters
	d.instance = instance{
		ri:         onem2m.ResourceRI(req.Type, env.NextIndex),
		container:  container,
		ref:        ref,
		members:    members,
		originator: d.originator,
	}
	return nil
}

// createInstance makes room in the container, appends the instance and moves the container's counters.
func (c *Core) createInstance(st State, req *onem2m.Request, env Env, d *draft) (Result, error) {
	limits := &c.compile(d.parent).limits
	if err := retain(st, d.parent.RI, &d.counters, limits, 1, d.instance.ref.Size, env.Time); err != nil {
		return Result{}, err
	}
	if err := st.AppendInstance(d.parent.RI, d.instance.ref, d.name); err != nil {
		return Result{}, err
	}
	if err := observe(st, d.parent, d.instance.ref, env.Time); err != nil {
		return Result{}, err
	}
	o := &d.outcome
	o.change = change{kind: changeCreated, originator: d.originator, parent: d.parent, instance: &d.instance, shown: d.shown}
	o.effects[0] = Effect{
		Operation:  onem2m.Create,
		Originator: d.originator,
		Target:     d.parent.RI,
		Resource:   d.instance.ri,
		Type:       req.Type,
		Status:     onem2m.StatusCreated,
		Payload:    req.Content,
	}
	return c.committed(st, req, env, o)
}

// validContentInfo checks m2m:contentInfo: "text/plain", "application/json:0" or "application/json:1:0"
// (TS-0004 table 6.3.3-1).
func validContentInfo(s string) bool {
	media, rest, encoded := strings.Cut(s, ":")
	kind, sub, ok := strings.Cut(media, "/")
	if !ok || kind == "" || sub == "" || strings.ContainsAny(media, " \t\r\n") {
		return false
	}
	if !encoded {
		return false
	}
	encoding, security, secured := strings.Cut(rest, ":")
	if len(encoding) != 1 || encoding[0] < '0' || encoding[0] > '2' {
		return false
	}
	return !secured || len(security) == 1 && security[0] >= '0' && security[0] <= '5'
}

// removeInstance removes one instance from what holds it, and counts the change in the state tag of a container.
func removeInstance(st State, container string, index uint64, now int64) error {
	counters, ok, err := st.Container(container)
	if err != nil {
		return err
	}
	if !ok {
		return noCounters(container)
	}
	if err := st.RemoveInstance(container, index); err != nil {
		return err
	}
	res, err := st.Resource(container)
	if err != nil {
		return err
	}
	if res.Type == onem2m.TypeContainer {
		counters.StateTag++
	}
	return st.SetCounters(container, counters.StateTag, now)
}

// EraseInstance drops the instance at a log index from its container when it is still live, because its payload is
// being erased from the log. An index that is no live instance is no error. Err is a failure of the State.
func (c *Core) EraseInstance(st State, index uint64, env Env) error {
	container, _, ok, err := st.LookupInstance(index)
	if err != nil || !ok {
		return err
	}
	return removeInstance(st, container, index, env.Time)
}

// Redact returns what may stay of an instance's request content when its payload is erased: the content replaced by a
// filler of the same contentSize, and of the other attributes only those that the resource tree depends on (rn, et, and
// dgt of a timeSeriesInstance). Executed again, it makes the same writes to the tree. What is not the content of an
// instance gives an empty contentInstance.
func Redact(content []byte) []byte {
	tag, members, err := onem2m.ParseContent(content)
	if err != nil || tag != "m2m:cin" && tag != "m2m:tsi" {
		tag, members = "m2m:cin", nil
	}
	out := append([]byte(`{"`), tag...)
	out = append(out, `":{`...)
	separator := ""
	for _, m := range members {
		value := m.Value
		switch m.Name {
		case "rn", "et":
		case "dgt":
			if tag != "m2m:tsi" {
				continue
			}
		case "con":
			value = filler(onem2m.Size(value))
		default:
			continue
		}
		out = append(out, separator...)
		out = append(onem2m.AppendQuote(out, m.Name), ':')
		out = append(out, value...)
		separator = ","
	}
	return append(out, "}}"...)
}

// filler is a JSON string whose contentSize is size.
func filler(size int) []byte {
	out := append(make([]byte, 0, size+2), '"')
	for range size {
		out = append(out, '-')
	}
	return append(out, '"')
}
