package coapbinding

import (
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"github.com/tallystick/tallystick/onem2m"
)

// responseCodes are the CoAP response codes of response status codes (TS-0008 clause 6.2.4, table 6.2.4-1). OK and
// those that a table cannot decide are in responseCode.
var responseCodes = map[onem2m.StatusCode]codes.Code{
	onem2m.StatusCreated:                           codes.Created,
	onem2m.StatusDeleted:                           codes.Deleted,
	onem2m.StatusUpdated:                           codes.Changed,
	onem2m.StatusAcceptedNonBlockingRequestSync:    codes.Created,
	onem2m.StatusBadRequest:                        codes.BadRequest,
	onem2m.StatusReleaseVersionNotSupported:        codes.NotImplemented,
	onem2m.StatusNotFound:                          codes.NotFound,
	onem2m.StatusOperationNotAllowed:               codes.MethodNotAllowed,
	onem2m.StatusRequestTimeout:                    codes.GatewayTimeout,
	onem2m.StatusUnsupportedMediaType:              codes.UnsupportedMediaType,
	onem2m.StatusSubscriptionCreatorHasNoPrivilege: codes.Forbidden,
	onem2m.StatusContentsUnacceptable:              codes.BadRequest,
	onem2m.StatusOriginatorHasNoPrivilege:          codes.Forbidden,
	onem2m.StatusGroupRequestIdentifierExists:      codes.BadRequest,
	onem2m.StatusConflict:                          codes.Forbidden,
	onem2m.StatusOriginatorNotAuthenticated:        codes.Forbidden,
	onem2m.StatusSecurityAssociationRequired:       codes.Forbidden,
	onem2m.StatusInvalidChildResourceType:          codes.Forbidden,
	onem2m.StatusNoMembers:                         codes.Forbidden,
	onem2m.StatusGroupMemberTypeInconsistent:       codes.BadRequest,
	4111:                                           codes.Forbidden,
	4112:                                           codes.Forbidden,
	4113:                                           codes.Forbidden,
	4114:                                           codes.Forbidden,
	4115:                                           codes.Forbidden,
	4116:                                           codes.Forbidden,
	onem2m.StatusOriginatorHasAlreadyRegistered:    codes.Forbidden,
	4118:                                 codes.NotFound,
	4119:                                 codes.NotFound,
	4120:                                 codes.BadOption,
	4121:                                 codes.NotFound,
	4122:                                 codes.BadOption,
	4123:                                 codes.BadRequest,
	4124:                                 codes.BadRequest,
	4125:                                 codes.NotImplemented,
	onem2m.StatusAppRuleValidationFailed: codes.Forbidden,
	onem2m.StatusOperationDeniedByRemoteEntity:            codes.Forbidden,
	onem2m.StatusServiceSubscriptionNotEstablished:        codes.Forbidden,
	onem2m.StatusServiceSubscriptionLimitsExceeded:        codes.TooManyRequests, // RFC 8516
	onem2m.StatusInvalidSPARQLQuery:                       codes.BadRequest,
	onem2m.StatusInternalServerError:                      codes.InternalServerError,
	onem2m.StatusNotImplemented:                           codes.NotImplemented,
	onem2m.StatusTargetNotReachable:                       codes.NotFound,
	onem2m.StatusReceiverHasNoPrivileges:                  codes.Forbidden,
	onem2m.StatusAlreadyExists:                            codes.BadRequest,
	onem2m.StatusRemoteEntityNotReachable:                 codes.NotFound,
	onem2m.StatusTargetNotSubscribable:                    codes.Forbidden,
	onem2m.StatusSubscriptionVerificationInitiationFailed: codes.InternalServerError,
	onem2m.StatusSubscriptionHostHasNoPrivilege:           codes.Forbidden,
	onem2m.StatusNonBlockingSynchRequestNotSupported:      codes.NotImplemented,
	onem2m.StatusNotAcceptable:                            codes.NotAcceptable,
	5208:                                                  codes.Forbidden,
	5214:                                                  codes.Forbidden,
	5215:                                                  codes.Forbidden,
	5218:                                                  codes.Forbidden,
	5219:                                                  codes.BadRequest,
	onem2m.StatusUnableToRecallRequest:                    codes.BadRequest,
	onem2m.StatusCrossResourceOperationFailure:            codes.InternalServerError,
	5222:                                   codes.Forbidden,
	6003:                                   codes.NotFound,
	6005:                                   codes.NotFound,
	onem2m.StatusMaxNumberOfMemberExceeded: codes.BadRequest,
	6022:                                   codes.BadRequest,
	onem2m.StatusInvalidArguments:          codes.BadRequest,
	onem2m.StatusInsufficientArguments:     codes.BadRequest,
	6028:                                   codes.BadRequest,
	6029:                                   codes.BadRequest,
	6030:                                   codes.GatewayTimeout,
	6031:                                   codes.GatewayTimeout,
}

// responseCode gives the CoAP response code of a response to op. A code that the table lacks falls back on its class.
func responseCode(op onem2m.Operation, rsp *onem2m.Response) codes.Code {
	if c, ok := responseCodes[rsp.Status]; ok {
		return c
	}
	switch rsp.Status / 1000 {
	case 1: // 2.01 when a <request> resource was made
		if rsp.Location != "" || len(rsp.Content) > 0 {
			return codes.Created
		}
		return codes.Changed
	case 2:
		if op == onem2m.Retrieve {
			return codes.Content
		}
		return codes.Changed
	case 4:
		return codes.BadRequest
	}
	return codes.InternalServerError
}

// statusOf gives the response status code of a success without oneM2M-RSC option, as devices that know nothing of
// oneM2M give it.
func statusOf(op onem2m.Operation, c codes.Code) onem2m.StatusCode {
	switch {
	case c == codes.Created:
		return onem2m.StatusCreated
	case c == codes.Deleted:
		return onem2m.StatusDeleted
	case c == codes.Changed && op == onem2m.Update:
		return onem2m.StatusUpdated
	}
	return onem2m.StatusOK
}
