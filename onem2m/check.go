package onem2m

// CheckCreate checks the attributes of a CREATE request against the resource type: each is known, may be given by a
// request, is given once and has its data type, and none that is mandatory is missing (TS-0004 clauses 7.2.2.2 and
// 7.4). Members come from ParseContent. Errors are *Error with StatusBadRequest, or StatusOperationNotAllowed for a
// type that no request creates.
func (d *TypeDef) CheckCreate(members []Member) error {
	if !d.Creatable {
		return Errorf(StatusOperationNotAllowed, "%s cannot be created by a request", d.Name)
	}
	var seen uint64
	for i := range members {
		at, err := d.find(members[i].Name, &seen)
		if err != nil {
			return err
		}
		a := &d.Attributes[at]
		if a.Create == NotPresent {
			return badRequest("attribute %s of %s is not allowed in a CREATE", a.Short, d.Name)
		}
		if err := a.check(members[i].Value); err != nil {
			return badRequest("attribute %s of %s: %v", a.Short, d.Name, err)
		}
	}
	if missing := d.mandatory &^ seen; missing != 0 {
		for i := range d.Attributes {
			if missing&(1<<i) != 0 {
				return badRequest("mandatory attribute %s of %s is missing", d.Attributes[i].Short, d.Name)
			}
		}
	}
	return nil
}

// CheckUpdate checks the attributes of an UPDATE request against the resource type as CheckCreate does. An attribute
// whose value is null is one to be removed, or, if the resource must have it, to be set anew by the CSE; both only
// where Card allows. An UPDATE of nothing is allowed (TS-0004 clause 7.2.2.2). Errors are *Error with
// StatusBadRequest, or StatusOperationNotAllowed for a type that cannot be updated.
func (d *TypeDef) CheckUpdate(members []Member) error {
	if !d.Updatable {
		return Errorf(StatusOperationNotAllowed, "%s cannot be updated", d.Name)
	}
	var seen uint64
	for i := range members {
		at, err := d.find(members[i].Name, &seen)
		if err != nil {
			return err
		}
		a := &d.Attributes[at]
		if a.Update == NotPresent {
			return badRequest("attribute %s of %s is not allowed in an UPDATE", a.Short, d.Name)
		}
		if IsNull(members[i].Value) {
			if a.Card == One {
				return badRequest("attribute %s of %s cannot be removed", a.Short, d.Name)
			}
			continue
		}
		if err := a.check(members[i].Value); err != nil {
			return badRequest("attribute %s of %s: %v", a.Short, d.Name, err)
		}
	}
	return nil
}

// find gives the position of an attribute in the table and marks it as seen.
func (d *TypeDef) find(name string, seen *uint64) (int, error) {
	i := search(d.Attributes, name)
	if i < 0 {
		return 0, badRequest("%s has no attribute %.64q", d.Name, name)
	}
	if *seen&(1<<i) != 0 {
		return 0, badRequest("attribute %s of %s is given twice", name, d.Name)
	}
	*seen |= 1 << i
	return i, nil
}
