package onem2m

import "strconv"

// InstanceRI gives the resource ID of the contentInstance at a log position: "cin" and the position in base 36.
func InstanceRI(index uint64) string { return ResourceRI(TypeContentInstance, index) }

// ParseInstanceRI gives the type and the log position that an instance's resource ID stands for. It accepts only what
// ResourceRI makes for a type of instances: one resource has one ID.
func ParseInstanceRI(ri string) (t ResourceType, index uint64, ok bool) {
	if len(ri) < 4 || ri[3] == '0' && len(ri) > 4 {
		return 0, 0, false
	}
	switch ri[:3] {
	case "cin":
		t = TypeContentInstance
	case "tsi":
		t = TypeTimeSeriesInst
	case "fci":
		t = TypeFlexContInst
	default:
		return 0, 0, false
	}
	for i := 3; i < len(ri); i++ {
		var digit uint64
		switch c := ri[i]; {
		case c >= '0' && c <= '9':
			digit = uint64(c - '0')
		case c >= 'a' && c <= 'z':
			digit = uint64(c-'a') + 10
		default:
			return 0, 0, false
		}
		const limit = ^uint64(0)
		if index > (limit-digit)/36 {
			return 0, 0, false
		}
		index = index*36 + digit
	}
	return t, index, true
}

// ResourceRI gives the resource ID that the CSE assigns to a resource whose creation is at a log position: the
// type's IDPrefix and the position in base 36. The type must be a known one.
func ResourceRI(t ResourceType, index uint64) string {
	var buf [20]byte
	return string(strconv.AppendUint(append(buf[:0], Lookup(t).IDPrefix...), index, 36))
}
