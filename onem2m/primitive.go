package onem2m

// Operation is the operation of a request primitive (m2m:operation, TS-0004 clause 6.3.4.2.5).
type Operation uint8

// The operations of oneM2M.
const (
	Create   Operation = 1
	Retrieve Operation = 2
	Update   Operation = 3
	Delete   Operation = 4
	Notify   Operation = 5
)

// ResultContent says what a response carries (rcn; m2m:resultContent, TS-0004 clause 6.3.4.2.7).
type ResultContent int8

// The result contents. ResultContentDefault leaves the choice to the operation.
const (
	ResultContentDefault                    ResultContent = -1
	ResultContentNothing                    ResultContent = 0
	ResultContentAttributes                 ResultContent = 1
	ResultContentHierarchicalAddress        ResultContent = 2
	ResultContentHierarchicalAddressAndAttr ResultContent = 3
	ResultContentAttributesAndChildren      ResultContent = 4
	ResultContentAttributesAndChildRefs     ResultContent = 5
	ResultContentChildRefs                  ResultContent = 6
	ResultContentOriginalResource           ResultContent = 7
	ResultContentChildResources             ResultContent = 8
	ResultContentModifiedAttributes         ResultContent = 9
	ResultContentSemanticContent            ResultContent = 10
	ResultContentDiscoveryRefs              ResultContent = 11
	ResultContentPermissions                ResultContent = 12
)

// Request is a request primitive (TS-0004 clause 6.4.1), already parsed by a binding.
// A binding fills it and decides nothing.
type Request struct {
	Operation Operation
	// To is the target exactly as addressed, without a binding's encoding: "-/x" or "cse/x" (CSE-relative),
	// "/cse-id/x" (SP-relative), "//sp-id/cse-id/x" (absolute).
	To   string
	From string // originator (fr); empty only for an AE that asks for an ID
	// RequestID is rqi and ReleaseVersion rvi; both are echoed in the response.
	RequestID      string
	ReleaseVersion string
	Type           ResourceType // ty; 0 when the request has none
	// Content is the primitive content (pc) as JSON text, for example {"m2m:cin":{"con":"21"}}.
	// A binding that received CBOR has converted it. Nil when the request has none.
	Content       []byte
	ResultContent ResultContent
	// DesiredIDType is drt: 0 unset, 1 structured (the default), 2 unstructured.
	DesiredIDType uint8
	Filter        *FilterCriteria // fc, nil when none was given
	// Attributes is atrl, the attributes asked for by a partial RETRIEVE.
	Attributes []string

	// The rest is carried and checked, and echoed where TS-0004 says so.
	OriginatingTimestamp string // ot
	RequestExpiration    string // rqet, absolute or relative
	ResultExpiration     string // rset
	ResultPersistence    string // rp, absolute or relative
	OperationExecution   string // oet
	EventCategory        string // ec
	ResponseType         uint8  // rt.rtv; 0 unset
	// NotificationURIs is rt.nu, to whom the result of a non-blocking request is sent: nil when the request has none,
	// which means the originator; empty when it has an empty list, which means nobody (TS-0001 clause 8.2.2.3).
	NotificationURIs  []string
	GroupRequestID    string // gid
	VendorInformation string // vsi
	// RoleIDs is rids, the roles that the originator wants to act in (TS-0003 clause 7.4).
	RoleIDs []string
	// Tokens is tkns (TS-0003 clause 7.3.2): authorization tokens, JWTs (IsJWT). Credentials may come in the same
	// parameter: a binding takes those out of the request and hands one to the Handler as evidence, so that they are
	// passed on to nobody.
	Tokens []string
	// TokenIDs is tids, LocalTokenIDs ltids: tokens that this CSE has, by Token-ID and by the resource ID of a <token>.
	TokenIDs      []string
	LocalTokenIDs []string
	// Signature is the device's own signature over the request. A binding leaves it nil; the CSE that finds one in the
	// vendor information, and finds it valid, takes it from there.
	Signature *Signature

	SourceIP string // the client's address as the binding saw it, for acip; never from the client's own words
	// Delivery is set by a binding whose transport may deliver a message twice (MQTT QoS 1 and 2): it lets the ledger
	// recognise the second delivery of a write and answer it as the first, without doing it again.
	Delivery *Delivery
}

// The response types (m2m:responseType, TS-0004 clause 6.3.4.2.6).
const (
	ResponseTypeNonBlockingSync  = 1 // the result is kept in a <request> resource
	ResponseTypeNonBlockingAsync = 2 // the same, and it is sent to NotificationURIs
	ResponseTypeBlocking         = 3 // the response has the result; the default
	ResponseTypeFlexBlocking     = 4 // as the receiver likes
	// ResponseTypeNone asks for no response. A binding sends none to a request that was met, or the emptiest one that
	// its protocol has.
	ResponseTypeNone = 5
)

// Delivery names one message of a client's session (MQTT 5.0 clause 4.4, message delivery retry).
type Delivery struct {
	// Session names the session among those of its originator: a hash.
	Session [8]byte
	// ID is the packet identifier. A message takes the place of the one that had the identifier before.
	ID uint16
	// Message identifies session, packet identifier, topic and payload: a hash of them all.
	Message [8]byte
	// Window is how many of a session's last messages, this one not counted, the client may still send again: 1 to
	// MaxDeliveries.
	Window uint16
	// Again says that the message is one that the client sends again, if the session's last one with the same packet
	// identifier agrees with it.
	Again bool
}

// MaxDeliveries is how many messages of a session can be remembered.
const MaxDeliveries = 4096

// FilterUsage is fu (m2m:filterUsage).
type FilterUsage uint8

// The filter usages. Zero means that the request had none.
const (
	FilterUsageDiscovery    FilterUsage = 1
	FilterUsageConditional  FilterUsage = 2
	FilterUsageIPEOnDemand  FilterUsage = 3
	FilterUsageDiscoveryRet FilterUsage = 4
)

// FilterCriteria is fc (TS-0004 clause 6.3.5.8). Strings are as received; the core validates them.
type FilterCriteria struct {
	Usage            FilterUsage // fu
	Operation        uint8       // fo: 1 AND (default), 2 OR, 3 XOR
	CreatedBefore    string      // crb
	CreatedAfter     string      // cra
	ModifiedSince    string      // ms
	UnmodifiedSince  string      // us
	StateTagSmaller  *int64      // sts
	StateTagBigger   *int64      // stb
	ExpireBefore     string      // exb
	ExpireAfter      string      // exa
	Labels           []string    // lbl, with wildcards
	LabelsQuery      string      // lbq
	Types            []ResourceType
	ChildTypes       []ResourceType // chty
	ParentTypes      []ResourceType // pty
	SizeAbove        *int64         // sza: sizeAbove
	SizeBelow        *int64         // szb: sizeUntil
	ContentTypes     []string       // cty
	Attributes       []AttributeFilter
	ChildAttributes  []AttributeFilter // catr
	ParentAttributes []AttributeFilter // patr
	ChildLabels      []string          // clbl
	ParentLabels     []string          // plbl
	Limit            *int64            // lim
	Level            *int64            // lvl
	Offset           *int64            // ofst, counted from 1
	ApplyRelPath     string            // arp
}

// AttributeFilter is one attribute=value of a filter, the value possibly with '*' wildcards.
type AttributeFilter struct{ Name, Value string }

// Response is a response primitive (TS-0004 clause 6.4.2).
type Response struct {
	Status         StatusCode
	RequestID      string
	ReleaseVersion string
	To, From       string
	Content        []byte // pc as JSON text, nil when there is none
	// Location is the structured CSE-relative address of a created resource (HTTP Content-Location), else empty.
	Location string
	// ContentStatus (cnst) and ContentOffset (cnot) report a partial result: 1 PARTIAL_CONTENT, 2 FULL_CONTENT, 0 unset.
	ContentStatus uint8
	ContentOffset int64

	OriginatingTimestamp string // ot
	ResultExpiration     string // rset
	EventCategory        string // ec, a decimal number
	VendorInformation    string // vsi
}
