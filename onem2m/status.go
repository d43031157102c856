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
	StatusOriginatorHasNotRegistered               StatusCode = 4106
	StatusSecurityAssociationRequired              StatusCode = 4107
	StatusInvalidChildResourceType                 StatusCode = 4108
	StatusNoMembers                                StatusCode = 4109
	StatusGroupMemberTypeInconsistent              StatusCode = 4110
	StatusOriginatorHasAlreadyRegistered           StatusCode = 4117
	StatusAppRuleValidationFailed                  StatusCode = 4126
	StatusOperationDeniedByRemoteEntity            StatusCode = 4127
	StatusServiceSubscriptionNotEstablished        StatusCode = 4128
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

// statusText holds the name of each status code in TS-0004 and the HTTP status that TS-0009 clause 6.3.2 maps it to.
var statusText = map[StatusCode]struct {
	name string
	http int
}{
	StatusAccepted:                                 {"ACCEPTED", 202},
	StatusAcceptedNonBlockingRequestSync:           {"ACCEPTED_NON_BLOCKING_REQUEST_SYNC", 202},
	StatusAcceptedNonBlockingRequestAsync:          {"ACCEPTED_NON_BLOCKING_REQUEST_ASYNC", 202},
	StatusOK:                                       {"OK", 200},
	StatusCreated:                                  {"CREATED", 201},
	StatusDeleted:                                  {"DELETED", 200},
	StatusUpdated:                                  {"UPDATED", 200},
	StatusBadRequest:                               {"BAD_REQUEST", 400},
	StatusReleaseVersionNotSupported:               {"RELEASE_VERSION_NOT_SUPPORTED", 501},
	StatusNotFound:                                 {"NOT_FOUND", 404},
	StatusOperationNotAllowed:                      {"OPERATION_NOT_ALLOWED", 405},
	StatusRequestTimeout:                           {"REQUEST_TIMEOUT", 504},
	StatusUnsupportedMediaType:                     {"UNSUPPORTED_MEDIA_TYPE", 415},
	StatusSubscriptionCreatorHasNoPrivilege:        {"SUBSCRIPTION_CREATOR_HAS_NO_PRIVILEGE", 403},
	StatusContentsUnacceptable:                     {"CONTENTS_UNACCEPTABLE", 400},
	StatusOriginatorHasNoPrivilege:                 {"ORIGINATOR_HAS_NO_PRIVILEGE", 403},
	StatusGroupRequestIdentifierExists:             {"GROUP_REQUEST_IDENTIFIER_EXISTS", 409},
	StatusConflict:                                 {"CONFLICT", 409},
	StatusOriginatorHasNotRegistered:               {"ORIGINATOR_HAS_NOT_REGISTERED", 403},
	StatusSecurityAssociationRequired:              {"SECURITY_ASSOCIATION_REQUIRED", 403},
	StatusInvalidChildResourceType:                 {"INVALID_CHILD_RESOURCE_TYPE", 403},
	StatusNoMembers:                                {"NO_MEMBERS", 403},
	StatusGroupMemberTypeInconsistent:              {"GROUP_MEMBER_TYPE_INCONSISTENT", 400},
	StatusOriginatorHasAlreadyRegistered:           {"ORIGINATOR_HAS_ALREADY_REGISTERED", 403},
	StatusAppRuleValidationFailed:                  {"APP_RULE_VALIDATION_FAILED", 403},
	StatusOperationDeniedByRemoteEntity:            {"OPERATION_DENIED_BY_REMOTE_ENTITY", 403},
	StatusServiceSubscriptionNotEstablished:        {"SERVICE_SUBSCRIPTION_NOT_ESTABLISHED", 403},
	StatusInvalidProcessConfiguration:              {"INVALID_PROCESS_CONFIGURATION", 400},
	StatusInvalidSPARQLQuery:                       {"INVALID_SPARQL_QUERY", 400},
	StatusInternalServerError:                      {"INTERNAL_SERVER_ERROR", 500},
	StatusNotImplemented:                           {"NOT_IMPLEMENTED", 501},
	StatusTargetNotReachable:                       {"TARGET_NOT_REACHABLE", 404},
	StatusReceiverHasNoPrivileges:                  {"RECEIVER_HAS_NO_PRIVILEGES", 403},
	StatusAlreadyExists:                            {"ALREADY_EXISTS", 409},
	StatusRemoteEntityNotReachable:                 {"REMOTE_ENTITY_NOT_REACHABLE", 404},
	StatusTargetNotSubscribable:                    {"TARGET_NOT_SUBSCRIBABLE", 403},
	StatusSubscriptionVerificationInitiationFailed: {"SUBSCRIPTION_VERIFICATION_INITIATION_FAILED", 500},
	StatusSubscriptionHostHasNoPrivilege:           {"SUBSCRIPTION_HOST_HAS_NO_PRIVILEGE", 403},
	StatusNonBlockingSynchRequestNotSupported:      {"NON_BLOCKING_SYNCH_REQUEST_NOT_SUPPORTED", 501},
	StatusNotAcceptable:                            {"NOT_ACCEPTABLE", 406},
	StatusUnableToRecallRequest:                    {"UNABLE_TO_RECALL_REQUEST", 409},
	StatusCrossResourceOperationFailure:            {"CROSS_RESOURCE_OPERATION_FAILURE", 500},
	StatusMaxNumberOfMemberExceeded:                {"MAX_NUMBER_OF_MEMBER_EXCEEDED", 400},
	StatusInvalidArguments:                         {"INVALID_ARGUMENTS", 400},
	StatusInsufficientArguments:                    {"INSUFFICIENT_ARGUMENTS", 400},
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
