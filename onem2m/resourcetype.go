package onem2m

import "strconv"

// ResourceType is ty (m2m:resourceType, TS-0004 clause 6.3.4.2.1).
type ResourceType int32

// The resource types that this implementation knows.
const (
	// TypeMixed is the memberType of a group whose members have different types. No resource has it.
	TypeMixed           ResourceType = 0
	TypeACP             ResourceType = 1
	TypeAE              ResourceType = 2
	TypeContainer       ResourceType = 3
	TypeContentInstance ResourceType = 4
	TypeCSEBase         ResourceType = 5
	TypeGroup           ResourceType = 9
	TypeMgmtObj         ResourceType = 13
	TypeNode            ResourceType = 14
	TypePollingChannel  ResourceType = 15
	TypeRemoteCSE       ResourceType = 16
	TypeRequest         ResourceType = 17
	TypeSubscription    ResourceType = 23
	TypeFlexContainer   ResourceType = 28
	TypeTimeSeries      ResourceType = 29
	TypeTimeSeriesInst  ResourceType = 30 // timeSeriesInstance
	TypeRole            ResourceType = 31
	TypeToken           ResourceType = 32
	TypeDAC             ResourceType = 34 // dynamicAuthorizationConsultation
	TypeFlexContInst    ResourceType = 58 // flexContainerInstance
)

// Virtual resources have no number in m2m:resourceType. These values name them inside the server and never travel.
const (
	TypeOldest      ResourceType = 20001 // <oldest>, "ol"
	TypeLatest      ResourceType = 20002 // <latest>, "la"
	TypeFanOutPoint ResourceType = 20003 // <fanOutPoint>, "fopt"
	// TypePollingChannelURI is <pollingChannelURI>, "pcu".
	TypePollingChannelURI ResourceType = 20004
)

// String gives the name of the resource type ("container"), or its number when it is not a known one.
func (t ResourceType) String() string {
	switch t {
	case TypeMixed:
		return "mixed"
	case TypeOldest:
		return "oldest"
	case TypeLatest:
		return "latest"
	case TypeFanOutPoint:
		return "fanOutPoint"
	case TypePollingChannelURI:
		return "pollingChannelURI"
	}
	if d := Lookup(t); d != nil {
		return d.Name
	}
	return strconv.Itoa(int(t))
}

// Assigned says whether TS-0004 table 6.3.4.2.1-1 has the number, known here or not.
func (t ResourceType) Assigned() bool { return enumResourceType.Contains(int64(t)) }

// InstanceType gives the type of the instances that a resource of type t holds, 0 when it holds none: contentInstance for
// container, timeSeriesInstance for timeSeries, flexContainerInstance for flexContainer.
func (t ResourceType) InstanceType() ResourceType {
	switch t {
	case TypeContainer:
		return TypeContentInstance
	case TypeTimeSeries:
		return TypeTimeSeriesInst
	case TypeFlexContainer:
		return TypeFlexContInst
	}
	return 0
}

// Specialized says whether resources of type t are of specializations, each with a root member and attributes of its own:
// flexContainers and mgmtObjs.
func (t ResourceType) Specialized() bool { return t == TypeFlexContainer || t == TypeMgmtObj }

// IsInstance says whether t is the type of the instances that some other type holds.
func (t ResourceType) IsInstance() bool {
	return t == TypeContentInstance || t == TypeTimeSeriesInst || t == TypeFlexContInst
}

// VirtualChild gives the virtual resource that name addresses below a parent of type t (TS-0001 clauses 9.6.6,
// 9.6.13, 9.6.22, 9.6.27 and 9.6.28), or 0 when it addresses none.
func (t ResourceType) VirtualChild(name string) ResourceType {
	switch {
	case name == "la" && t.InstanceType() != 0:
		return TypeLatest
	case name == "ol" && t.InstanceType() != 0:
		return TypeOldest
	case t == TypeGroup && name == "fopt":
		return TypeFanOutPoint
	case t == TypePollingChannel && name == "pcu":
		return TypePollingChannelURI
	}
	return 0
}
