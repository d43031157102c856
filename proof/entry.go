package proof

// Entry is the content of one leaf of the log: who did what to which resource, when, and a commitment to the
// payload. Its encoding is deterministic CBOR (RFC 8949 section 4.2.1), an array:
//
//	[version=1, height, time, operation, originator, target, resource, type, status, commitment, authMethod, authKey]
//
// and of version 2, which is that of entries with AuthSignature and of no others, with the counter behind authKey.
type Entry struct {
	Height     uint64
	Time       int64     // block time, Unix microseconds
	Operation  Operation // oneM2M operation or one of the ledger's own
	Originator string
	Target     string // unstructured ID of the resource addressed (the parent for CREATE)
	Resource   string // unstructured ID of the resource created, changed or removed
	Type       uint32 // oneM2M resource type, 0 when none
	Status     uint32 // oneM2M response status code
	Commitment [32]byte
	Auth       Auth
}

// Operation is what an entry records: a oneM2M operation (1 CREATE, 3 UPDATE, 4 DELETE) or one of the ledger's own.
type Operation uint8

// The ledger's own operations.
const (
	OpGenesis Operation = 32 // the first entry: the network and its CSEBase
	OpEnrol   Operation = 33 // a credential was bound to an originator
	OpRevoke  Operation = 34 // a credential was revoked
	OpErase   Operation = 35 // the payload of an earlier entry was erased
	OpReset   Operation = 36 // a lab network's resources were all removed, and those of genesis made anew
	OpDeliver Operation = 37 // messages of sessions that entries of this block come from, so that none counts twice
	OpInvite  Operation = 38 // whoever has a one-time code may bind a credential to an originator, once
	OpAudit   Operation = 39 // a node told what it had refused for want of identity or rights

	OpQuarantine Operation = 40 // an originator was put into quarantine: all its requests are refused
	OpRelease    Operation = 41 // an originator was released from quarantine

	OpPropose Operation = 42 // an operator proposed an act that takes two
	OpApprove Operation = 43 // another operator approved it; the entries of the act follow
)

// AuthMethod says how the originator was authenticated.
type AuthMethod uint8

// The methods.
const (
	AuthNone  AuthMethod = 0 // the ledger itself (genesis, expiry)
	AuthToken AuthMethod = 1 // a bearer token, vouched for by the node that accepted the request
	// AuthSignature is the device's own signature over the request. Every validator verified it, and it is kept beside
	// the payload (Signed), inside the commitment.
	AuthSignature AuthMethod = 2
	// AuthKey is a key proven in the handshake of a connection, vouched for by the node that accepted the request.
	AuthKey AuthMethod = 3
	// AuthCode is a one-time code. Every node checked it; the key is the ID of its invitation.
	AuthCode AuthMethod = 4
)

// Auth says how the originator of an entry was authenticated and by which key.
type Auth struct {
	Method  AuthMethod
	Key     [8]byte // first 8 bytes of the SHA-256 of the credential (its ID on the ledger)
	Counter uint64  // of the signature with AuthSignature, else 0
}

// Bounds that decoders enforce.
const (
	MaxPayload = 1 << 20 // bytes of one payload
	MaxID      = 512     // bytes of an originator, target or resource ID
	MaxEntry   = 2048    // bytes of one encoded entry (three IDs of MaxID need 1631)
)
