package onem2m

// member describes a member of a complex type; p is Mandatory or Optional.
func member(short, long string, k Kind, p Presence) AttributeDef {
	card := ZeroOne
	if p == Mandatory {
		card = One
	}
	return AttributeDef{Short: short, Long: long, Kind: k, Create: p, Update: p, Card: card}
}

func (a AttributeDef) list() AttributeDef            { a.List = true; return a }
func (a AttributeDef) nonEmpty() AttributeDef        { a.List, a.NonEmpty = true, true; return a }
func (a AttributeDef) enum(e *Enum) AttributeDef     { a.Kind, a.Enum = KindEnum, e; return a }
func (a AttributeDef) of(c *ComplexDef) AttributeDef { a.Kind, a.Complex = KindComplex, c; return a }

// The complex data types of TS-0004 clause 6.3.5 that the resource types use.
var (
	complexIPAddresses = &ComplexDef{"m2m:accessControlIpAddresses", []AttributeDef{
		member("ipv4", "ipv4Addresses", KindIPv4, Optional).list(),
		member("ipv6", "ipv6Addresses", KindIPv6, Optional).list(),
	}}
	complexLocationRegion = &ComplexDef{"m2m:locationRegion", []AttributeDef{
		member("accc", "countryCode", KindToken, Optional).list(),
		member("accr", "circRegion", KindFloat, Optional).list(),
	}}
	complexEvalCriteria = &ComplexDef{"m2m:evalCriteria", []AttributeDef{
		member("optr", "operator", 0, Mandatory).enum(enumEvalCriteriaOperator),
		member("sbjt", "subject", KindNCName, Mandatory),
		member("thld", "threshold", KindAny, Mandatory),
	}}
	complexAccessControlContexts = &ComplexDef{"m2m:accessControlContexts", []AttributeDef{
		member("acec", "accessControlEvalCriteria", 0, Optional).of(complexEvalCriteria),
		member("acip", "accessControlIpAddresses", 0, Optional).of(complexIPAddresses),
		member("acl", "accessControlLimit", KindNonNegInteger, Optional),
		member("aclr", "accessControlLocationRegion", 0, Optional).of(complexLocationRegion),
		member("actw", "accessControlWindow", KindSchedule, Optional).list(),
		member("acui", "accessControlUserIDs", KindString, Optional).list(),
	}}
	complexSpecializationType = &ComplexDef{"m2m:specializationType", []AttributeDef{
		member("cnd", "containerDefinition", KindID, Optional),
		member("mgd", "mgmtDefinition", 0, Optional).enum(enumMgmtDefinition),
	}}
	complexAccessControlObjectDetails = &ComplexDef{"m2m:accessControlObjectDetails", []AttributeDef{
		member("chty", "childResourceType", 0, Mandatory).list().enum(enumResourceType),
		member("spty", "specializationType", 0, Optional).of(complexSpecializationType),
		member("ty", "resourceType", 0, Optional).enum(enumResourceType),
	}}
	complexAccessControlRule = &ComplexDef{"m2m:accessControlRule", []AttributeDef{
		member("aca", "accessControlAttributes", KindNCName, Optional).list(),
		member("acaf", "accessControlAuthenticationFlag", KindBoolean, Optional),
		member("acco", "accessControlContexts", 0, Optional).list().of(complexAccessControlContexts),
		member("acod", "accessControlObjectDetails", 0, Optional).list().of(complexAccessControlObjectDetails),
		member("acop", "accessControlOperations", 0, Mandatory).enum(enumAccessControlOperations),
		member("acor", "accessControlOriginators", KindID, Mandatory).nonEmpty(),
	}}
	complexSetOfAcrs = &ComplexDef{"m2m:setOfAcrs", []AttributeDef{
		member("acr", "accessControlRule", 0, Optional).list().of(complexAccessControlRule),
	}}

	complexTokenPermission = &ComplexDef{"m2m:tokenPermission", []AttributeDef{
		member("pv", "privileges", 0, Optional).of(complexSetOfAcrs),
		member("rids", "roleIDs", KindIssuedID, Optional).list(),
		member("ris", "resourceIDs", KindID, Optional).list(),
	}}
	complexTokenPermissions = &ComplexDef{"m2m:tokenPermissions", []AttributeDef{
		member("pm", "permission", 0, Optional).list().of(complexTokenPermission),
	}}

	complexMissingData = &ComplexDef{"m2m:missingData", []AttributeDef{
		member("dur", "duration", KindDuration, Mandatory),
		member("num", "number", KindPositiveInteger, Mandatory),
	}}
	complexOperationMonitor = &ComplexDef{"m2m:operationMonitor", []AttributeDef{
		member("ops", "operations", 0, Optional).enum(enumAccessControlOperations),
		member("or", "originator", KindID, Optional),
		member("org", "originator", KindID, Optional), // as clients of other CSEs write it
	}}
	complexEventNotificationCriteria = &ComplexDef{"m2m:eventNotificationCriteria", []AttributeDef{
		member("aq", "advancedQuery", KindString, Optional),
		member("atr", "attribute", KindNCName, Optional).list(),
		member("chty", "childResourceType", 0, Optional).list().enum(enumResourceType),
		member("cra", "createdAfter", KindTimestamp, Optional),
		member("crb", "createdBefore", KindTimestamp, Optional),
		member("exa", "expireAfter", KindTimestamp, Optional),
		member("exb", "expireBefore", KindTimestamp, Optional),
		member("fo", "filterOperation", 0, Optional).enum(enumFilterOperation),
		member("md", "missingData", 0, Optional).of(complexMissingData),
		member("ms", "modifiedSince", KindTimestamp, Optional),
		member("net", "notificationEventType", 0, Optional).nonEmpty().enum(enumNotificationEventType),
		member("om", "operationMonitor", 0, Optional).list().of(complexOperationMonitor),
		member("stb", "stateTagBigger", KindPositiveInteger, Optional),
		member("sts", "stateTagSmaller", KindPositiveInteger, Optional),
		member("sza", "sizeAbove", KindNonNegInteger, Optional),
		member("szb", "sizeBelow", KindPositiveInteger, Optional),
		member("us", "unmodifiedSince", KindTimestamp, Optional),
	}}
	complexBatchNotify = &ComplexDef{"m2m:batchNotify", []AttributeDef{
		member("dur", "duration", KindSeconds, Optional),
		member("num", "number", KindNonNegInteger, Optional),
	}}
	complexRateLimit = &ComplexDef{"m2m:rateLimit", []AttributeDef{
		member("mnn", "maxNrOfNotify", KindNonNegInteger, Optional),
		member("tww", "timeWindow", KindDuration, Optional),
	}}
	complexNotificationStatsInfo = &ComplexDef{"m2m:setOfNotificationStatsInfo", []AttributeDef{
		member("noec", "notificationEventCount", KindNonNegInteger, Mandatory),
		member("rqs", "requestsSent", KindNonNegInteger, Mandatory),
		member("rsr", "responsesReceived", KindNonNegInteger, Mandatory),
		member("tg", "target", KindID, Mandatory),
	}}

	complexGeoCoordinates = &ComplexDef{"m2m:geoCoordinates", []AttributeDef{
		member("crd", "coordinates", KindCoordinates, Mandatory),
		member("typ", "type", 0, Mandatory).enum(enumGeometryType),
	}}
	complexContentRef = &ComplexDef{"m2m:contentRef", []AttributeDef{
		member("nm", "name", KindNCName, Mandatory),
		member("uri", "URI", KindAnyURI, Mandatory),
	}}
	complexActivityPattern = &ComplexDef{"m2m:activityPattern", []AttributeDef{
		member("dsi", "dataSizeIndicator", KindPositiveInteger, Optional),
		member("se", "scheduleElement", KindSchedule, Mandatory).list(),
		member("sti", "stationaryIndication", 0, Optional).enum(enumStationaryIndication),
	}}
)
