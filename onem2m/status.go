package onem2m

import "strconv"

// StatusCode is rsc, the response status code (m2m:responseStatusCode, TS-0004 clauses 6.3.4.2.9 and 6.6.3).
type StatusCode int

// The response status codes of TS-0004 clause 6.6.3.
const (
	StatusAccepted                                 StatusCode = 1000
	StatusAcceptedNonBlockingRequestSync           StatusCode = 1001
	StatusAcceptedNonBlockingRequestAsync          StatusCode = 1002
	StatusOK                                       StatusCode = 2000
	StatusCreated                                  StatusCode = 2001
	StatusDeleted                                  StatusCode = 2002
	StatusUpdated                                  StatusCode = 2004
	StatusBadRequest                               StatusCode = 4000
	StatusReleaseVersionNotSupported               StatusCode = 4001
	StatusNotFound                                 StatusCode = 4004
	StatusOperationNotAllowed                      StatusCode = 4005
	StatusRequestTimeout                           StatusCode = 4008
	StatusUnsupportedMediaType                     StatusCode = 4015
	StatusSubscriptionCreatorHasNoPrivilege        StatusCode = 4101
	StatusContentsUnacceptable                     StatusCode = 4102
	StatusOriginatorHasNoPrivilege                 StatusCode = 4103
	StatusGroupRequestIdentifierExists             StatusCode = 4104
	StatusConflict                                 StatusCode = 4105
	StatusOriginatorNotAuthenticated               StatusCode = 4106
	StatusSecurityAssociationRequired              StatusCode = 4107
	StatusInvalidChildResourceType                 StatusCode = 4108
	StatusNoMembers                                StatusCode = 4109
	StatusGroupMemberTypeInconsistent              StatusCode = 4110
	StatusOriginatorHasAlreadyRegistered           StatusCode = 4117
	StatusAppRuleValidationFailed                  StatusCode = 4126
	StatusOperationDeniedByRemoteEntity            StatusCode = 4127
	StatusServiceSubscriptionNotEstablished        StatusCode = 4128
	StatusServiceSubscriptionLimitsExceeded        StatusCode = 4141
	StatusInvalidProcessConfiguration              StatusCode = 4142
	StatusInvalidSPARQLQuery                       StatusCode = 4143
	StatusInternalServerError                      StatusCode = 5000
	StatusNotImplemented                           StatusCode = 5001
	StatusTargetNotReachable                       StatusCode = 5103
	StatusReceiverHasNoPrivileges                  StatusCode = 5105
	StatusAlreadyExists                            StatusCode = 5106
	StatusRemoteEntityNotReachable                 StatusCode = 5107
	StatusTargetNotSubscribable                    StatusCode = 5203
	StatusSubscriptionVerificationInitiationFailed StatusCode = 5204
	StatusSubscriptionHostHasNoPrivilege           StatusCode = 5205
	StatusNonBlockingSynchRequestNotSupported      StatusCode = 5206
	StatusNotAcceptable                            StatusCode = 5207
	StatusUnableToRecallRequest                    StatusCode = 5220
	StatusCrossResourceOperationFailure            StatusCode = 5221
	StatusMaxNumberOfMemberExceeded                StatusCode = 6010
	StatusInvalidArguments                         StatusCode = 6023
	StatusInsufficientArguments                    StatusCode = 6024
)

// statusText holds the name of each status code in TS-0004 clause 6.6.3 and the HTTP status that TS-0009 table 6.3.2-1
// maps it to. The codes of functions that this implementation lacks are there too: a response that is passed on may
// carry them. Table 6.3.2-1 has neither 4128, 4141 nor 4142: 4141 is what HTTP says of too many
// requests (RFC 6585 clause 4), the others follow the codes beside them.
var statusText = map[StatusCode]struct {
	name string
	http int
}{
	StatusAccepted:                          {"ACCEPTED", 202},
	StatusAcceptedNonBlockingRequestSync:    {"ACCEPTED_NON_BLOCKING_REQUEST_SYNC", 202},
	StatusAcceptedNonBlockingRequestAsync:   {"ACCEPTED_NON_BLOCKING_REQUEST_ASYNC", 202},
	StatusOK:                                {"OK", 200},
	StatusCreated:                           {"CREATED", 201},
	StatusDeleted:                           {"DELETED", 200},
	StatusUpdated:                           {"UPDATED", 200},
	StatusBadRequest:                        {"BAD_REQUEST", 400},
	StatusReleaseVersionNotSupported:        {"RELEASE_VERSION_NOT_SUPPORTED", 501},
	StatusNotFound:                          {"NOT_FOUND", 404},
	StatusOperationNotAllowed:               {"OPERATION_NOT_ALLOWED", 405},
	StatusRequestTimeout:                    {"REQUEST_TIMEOUT", 504},
	StatusUnsupportedMediaType:              {"UNSUPPORTED_MEDIA_TYPE", 415},
	StatusSubscriptionCreatorHasNoPrivilege: {"SUBSCRIPTION_CREATOR_HAS_NO_PRIVILEGE", 403},
	StatusContentsUnacceptable:              {"CONTENTS_UNACCEPTABLE", 400},
	StatusOriginatorHasNoPrivilege:          {"ORIGINATOR_HAS_NO_PRIVILEGE", 403},
	StatusGroupRequestIdentifierExists:      {"GROUP_REQUEST_IDENTIFIER_EXISTS", 409},
	StatusConflict:                          {"CONFLICT", 409},
	StatusOriginatorNotAuthenticated:        {"ORIGINATOR_NOT_AUTHENTICATED", 403},
	StatusSecurityAssociationRequired:       {"SECURITY_ASSOCIATION_REQUIRED", 403},
	StatusInvalidChildResourceType:          {"INVALID_CHILD_RESOURCE_TYPE", 403},
	StatusNoMembers:                         {"NO_MEMBERS", 403},
	StatusGroupMemberTypeInconsistent:       {"GROUP_MEMBER_TYPE_INCONSISTENT", 400},
	4111:                                    {"ESPRIM_UNSUPPORTED_OPTION", 403},
	4112:                                    {"ESPRIM_UNKNOWN_KEY_ID", 403},
	4113:                                    {"ESPRIM_UNKNOWN_ORIG_RAND_ID", 403},
	4114:                                    {"ESPRIM_UNKNOWN_RECV_RAND_ID", 403},
	4115:                                    {"ESPRIM_BAD_MAC", 403},
	4116:                                    {"ESPRIM_IMPERSONATION_ERROR", 403},
	StatusOriginatorHasAlreadyRegistered:    {"ORIGINATOR_HAS_ALREADY_REGISTERED", 403},
	4118:                                    {"ONTOLOGY_NOT_AVAILABLE", 404},
	4119:                                    {"LINKED_SEMANTICS_NOT_AVAILABLE", 404},
	4120:                                    {"INVALID_SEMANTICS", 400},
	4121:                                    {"MASHUP_MEMBER_NOT_FOUND", 404},
	4122:                                    {"INVALID_TRIGGER_PURPOSE", 400},
	4123:                                    {"ILLEGAL_TRANSACTION_STATE_TRANSITION_ATTEMPTED", 400},
	4124:                                    {"BLOCKING_SUBSCRIPTION_ALREADY_EXISTS", 409},
	4125:                                    {"SPECIALIZATION_SCHEMA_NOT_FOUND", 501},
	StatusAppRuleValidationFailed:           {"APP_RULE_VALIDATION_FAILED", 403},
	StatusOperationDeniedByRemoteEntity:     {"OPERATION_DENIED_BY_REMOTE_ENTITY", 403},
	StatusServiceSubscriptionNotEstablished: {"SERVICE_SUBSCRIPTION_NOT_ESTABLISHED", 403},
	StatusServiceSubscriptionLimitsExceeded: {"SERVICE_SUBSCRIPTION_LIMITS_EXCEEDED", 429},
	StatusInvalidProcessConfiguration:       {"INVALID_PROCESS_CONFIGURATION", 400},
	StatusInvalidSPARQLQuery:                {"INVALID_SPARQL_QUERY", 400},
	StatusInternalServerError:               {"INTERNAL_SERVER_ERROR", 500},
	StatusNotImplemented:                    {"NOT_IMPLEMENTED", 501},
	StatusTargetNotReachable:                {"TARGET_NOT_REACHABLE", 404},
	StatusReceiverHasNoPrivileges:           {"RECEIVER_HAS_NO_PRIVILEGE", 403},
	StatusAlreadyExists:                     {"ALREADY_EXISTS", 409},
	StatusRemoteEntityNotReachable:          {"REMOTE_ENTITY_NOT_REACHABLE", 404},
	StatusTargetNotSubscribable:             {"TARGET_NOT_SUBSCRIBABLE", 403},
	StatusSubscriptionVerificationInitiationFailed: {"SUBSCRIPTION_VERIFICATION_INITIATION_FAILED", 500},
	StatusSubscriptionHostHasNoPrivilege:           {"SUBSCRIPTION_HOST_HAS_NO_PRIVILEGE", 403},
	StatusNonBlockingSynchRequestNotSupported:      {"NON_BLOCKING_SYNCH_REQUEST_NOT_SUPPORTED", 501},
	StatusNotAcceptable:                            {"NOT_ACCEPTABLE", 406},
	5208:                                           {"DISCOVERY_DENIED_BY_IPE", 403},
	5209:                                           {"GROUP_MEMBERS_NOT_RESPONDED", 500},
	5210:                                           {"ESPRIM_DECRYPTION_ERROR", 500},
	5211:                                           {"ESPRIM_ENCRYPTION_ERROR", 500},
	5212:                                           {"SPARQL_UPDATE_ERROR", 500},
	5214:                                           {"TARGET_HAS_NO_SESSION_CAPABILITY", 403},
	5215:                                           {"SESSION_IS_ONLINE", 403},
	5216:                                           {"JOIN_MULTICAST_GROUP_FAILED", 500},
	5217:                                           {"LEAVE_MULTICAST_GROUP_FAILED", 500},
	5218:                                           {"TRIGGERING_DISABLED_FOR_RECIPIENT", 403},
	5219:                                           {"UNABLE_TO_REPLACE_REQUEST", 409},
	StatusUnableToRecallRequest:                    {"UNABLE_TO_RECALL_REQUEST", 409},
	StatusCrossResourceOperationFailure:            {"CROSS_RESOURCE_OPERATION_FAILURE", 500},
	5222:                                           {"TRANSACTION_PROCESSING_IS_INCOMPLETE", 403},
	6003:                                           {"EXTERNAL_OBJECT_NOT_REACHABLE", 404},
	6005:                                           {"EXTERNAL_OBJECT_NOT_FOUND", 404},
	StatusMaxNumberOfMemberExceeded:                {"MAX_NUMBER_OF_MEMBER_EXCEEDED", 400},
	6020:                                           {"MGMT_SESSION_CANNOT_BE_ESTABLISHED", 500},
	6021:                                           {"MGMT_SESSION_ESTABLISHMENT_TIMEOUT", 500},
	6022:                                           {"INVALID_CMDTYPE", 400},
	StatusInvalidArguments:                         {"INVALID_ARGUMENTS", 400},
	StatusInsufficientArguments:                    {"INSUFFICIENT_ARGUMENTS", 400},
	6025:                                           {"MGMT_CONVERSION_ERROR", 500},
	6026:                                           {"MGMT_CANCELLATION_FAILED", 500},
	6028:                                           {"ALREADY_COMPLETE", 409},
	6029:                                           {"MGMT_COMMAND_NOT_CANCELLABLE", 409},
	6030:                                           {"EXTERNAL_OBJECT_NOT_REACHABLE_BEFORE_RQET_TIMEOUT", 504},
	6031:                                           {"EXTERNAL_OBJECT_NOT_REACHABLE_BEFORE_OET_TIMEOUT", 504},
}

// String gives the name of the code in TS-0004 ("BAD_REQUEST"), or its number when the code is not a known one.
func (s StatusCode) String() string {
	if t, ok := statusText[s]; ok {
		return t.name
	}
	return strconv.Itoa(int(s))
}

// HTTPStatus gives the HTTP status that goes with the code (TS-0009 clause 6.3.2). An unknown code falls back on
// its class: 1xxx 202, 2xxx 200, 4xxx 400, anything else 500.
func (s StatusCode) HTTPStatus() int {
	if t, ok := statusText[s]; ok {
		return t.http
	}
	switch s / 1000 {
	case 1:
		return 202
	case 2:
		return 200
	case 4:
		return 400
	}
	return 500
}

// Success says whether the request was accepted or done (classes 1xxx and 2xxx).
func (s StatusCode) Success() bool { return s >= 1000 && s < 3000 }
