package onem2m

import "strings"

// Kind is the data type of an attribute, of a list's elements, or of a member of a complex type
// (TS-0004 clauses 6.3.2 to 6.3.5).
type Kind uint8

// The data types.
const (
	KindString          Kind = iota + 1 // xs:string
	KindToken                           // xs:token: no tab or line break, no blank at either end, none doubled
	KindNCName                          // xs:NCName: a name without ':'
	KindResourceName                    // rn: unreserved characters of RFC 3986, not a virtual resource's name
	KindID                              // m2m:ID: a resource, CSE or AE ID
	KindAppID                           // App-ID (TS-0001 clause 7.1.3): registered "R...", not registered "N..."
	KindAnyURI                          // xs:anyURI
	KindBoolean                         // xs:boolean
	KindNonNegInteger                   // xs:nonNegativeInteger that fits in 63 bits
	KindPositiveInteger                 // xs:positiveInteger that fits in 63 bits
	KindInteger                         // xs:integer that fits in 64 bits
	KindFloat                           // xs:float
	KindEnum                            // an integer out of Enum
	KindTimestamp                       // m2m:timestamp
	KindAbsRelTimestamp                 // m2m:absRelTimestamp: a timestamp or a number of milliseconds
	KindDateTime                        // xs:date, xs:time or xs:dateTime, in basic or extended format
	KindDuration                        // xs:duration without a sign
	KindSeconds                         // xs:duration without a sign, or a whole number of seconds
	KindSchedule                        // m2m:scheduleEntry: seven fields
	KindIPv4                            // m2m:ipv4, an address or a prefix
	KindIPv6                            // m2m:ipv6, an address or a prefix
	KindCoordinates                     // m2m:geoCoordinates.crd: a JSON array, or a string that holds one
	KindCreator                         // cr: null on CREATE, a request to record the originator (TS-0001 clause 9.6.1.3.2)
	KindIssuedID                        // m2m:roleID and m2m:tokenID: a name, '@' and the issuer's domain name
	KindJWT                             // m2m:dynAuthJWT: a JSON Web Token in compact serialization
	KindAny                             // any JSON value but null
	KindComplex                         // an object described by Complex
)

var kindNames = [...]string{
	KindString: "string", KindToken: "token", KindNCName: "NCName", KindResourceName: "resourceName", KindID: "ID",
	KindAppID: "App-ID", KindAnyURI: "anyURI", KindBoolean: "boolean",
	KindNonNegInteger: "nonNegativeInteger", KindPositiveInteger: "positiveInteger", KindInteger: "integer", KindFloat: "float",
	KindEnum: "enumeration", KindTimestamp: "timestamp", KindAbsRelTimestamp: "absRelTimestamp",
	KindDateTime: "dateTime", KindDuration: "duration", KindSeconds: "duration or seconds",
	KindSchedule: "scheduleEntry", KindIPv4: "ipv4", KindIPv6: "ipv6",
	KindCoordinates: "coordinates", KindCreator: "creator", KindIssuedID: "Role-ID or Token-ID", KindJWT: "JSON Web Token", KindAny: "any", KindComplex: "complex",
}

// String gives the name of the data type.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Presence says whether a request may or must carry an attribute (TS-0004 clause 7.4, columns Create and Update).
type Presence uint8

// The presences.
const (
	NotPresent Presence = iota // NP: refused
	Optional                   // O
	Mandatory                  // M
)

// String gives the abbreviation that TS-0004 uses.
func (p Presence) String() string { return [...]string{"NP", "O", "M"}[p] }

// Cardinality is the multiplicity of an attribute in a resource (TS-0001 clause 9.6.1).
type Cardinality uint8

// The cardinalities.
const (
	One         Cardinality = iota // always present
	ZeroOne                        // absent or present; null in an UPDATE removes it
	OneNullable                    // always present; null in an UPDATE puts the CSE's own value back
)

// String gives the multiplicity as TS-0001 writes it.
func (c Cardinality) String() string { return [...]string{"1", "0..1", "1 (nullable)"}[c] }

// Enum is an enumeration type (TS-0004 clause 6.3.4): the ranges of its values, both ends included.
type Enum struct {
	Name   string // "m2m:notificationContentType"
	Ranges [][2]int64
}

// Contains says whether v is a value of the enumeration.
func (e *Enum) Contains(v int64) bool {
	for _, r := range e.Ranges {
		if v >= r[0] && v <= r[1] {
			return true
		}
	}
	return false
}

// ComplexDef describes a complex data type (TS-0004 clause 6.3.5). Of its members, Create says whether one must be
// there and Update and Card mean nothing.
type ComplexDef struct {
	Name    string         // "m2m:accessControlRule"
	Members []AttributeDef // in ascending order of Short
}

// Member gives the description of a member by its short name, nil when the type has none such. The result is shared and
// must not be changed.
func (d *ComplexDef) Member(short string) *AttributeDef {
	if i := search(d.Members, short); i >= 0 {
		return &d.Members[i]
	}
	return nil
}

// AttributeDef describes one attribute of a resource type or one member of a complex data type.
type AttributeDef struct {
	Short, Long    string
	Kind           Kind        // of the value, or of each element when List
	List           bool        // the value is a JSON array
	NonEmpty       bool        // a list of at least one element
	Enum           *Enum       // set when Kind is KindEnum
	Complex        *ComplexDef // set when Kind is KindComplex
	Create, Update Presence
	Card           Cardinality
}

// TypeDef describes a resource type.
type TypeDef struct {
	Type     ResourceType
	Tag      string // name of the root member: "m2m:cnt"
	Name     string // "container"
	IDPrefix string // start of the resource IDs that the CSE assigns: "cnt"
	// ContainerDefinition is what the attribute cnd of a specialization of flexContainer must be; "" when it may be
	// anything, and for other types.
	ContainerDefinition string
	// MgmtDefinition is what the attribute mgd of a specialization of mgmtObj must be; 0 for other types.
	MgmtDefinition int64
	// Children are the types that may be created below, as far as this implementation has them.
	Children   []ResourceType
	Attributes []AttributeDef // in ascending order of Short
	// Creatable, Updatable and Deletable say whether the resource type knows the operation at all.
	Creatable, Updatable, Deletable bool

	mandatory uint64 // bit i is set when Attributes[i] must be in a CREATE
}

// Attribute gives the description of an attribute by its short name, nil when the type has none such.
// The result is shared and must not be changed.
func (d *TypeDef) Attribute(short string) *AttributeDef {
	if i := search(d.Attributes, short); i >= 0 {
		return &d.Attributes[i]
	}
	return nil
}

// AllowsChild says whether a resource of type t may be created below a resource of this type.
func (d *TypeDef) AllowsChild(t ResourceType) bool {
	for _, c := range d.Children {
		if c == t {
			return true
		}
	}
	return false
}

// search gives the position of a short name in a sorted table, -1 when it is not there.
func search(defs []AttributeDef, short string) int {
	lo, hi := 0, len(defs)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch c := strings.Compare(defs[mid].Short, short); {
		case c == 0:
			return mid
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return -1
}
