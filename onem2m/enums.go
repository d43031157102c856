package onem2m

// The enumerations of TS-0004 clause 6.3.4.2 that the resource types use.
var (
	enumAccessControlOperations = &Enum{"m2m:accessControlOperations", [][2]int64{{1, 63}}}
	enumAnnounceSyncType        = &Enum{"m2m:announceSyncType", [][2]int64{{1, 2}}}
	enumConsistencyStrategy     = &Enum{"m2m:consistencyStrategy", [][2]int64{{1, 3}}}
	enumCSEType                 = &Enum{"m2m:cseTypeID", [][2]int64{{1, 3}}}
	enumEvalCriteriaOperator    = &Enum{"m2m:evalCriteriaOperator", [][2]int64{{1, 6}}}
	enumEventCat                = &Enum{"m2m:eventCat", [][2]int64{{2, 4}, {100, 999}}}
	enumFilterOperation         = &Enum{"m2m:filterOperation", [][2]int64{{1, 3}}}
	enumGeometryType            = &Enum{"m2m:geometryType", [][2]int64{{1, 6}}}
	enumMemberType              = &Enum{"m2m:memberType", append([][2]int64{{0, 0}}, resourceTypeRanges...)}
	enumMgmtDefinition          = &Enum{"m2m:mgmtDefinition", [][2]int64{{0, 1999}}}
	enumNotificationContentType = &Enum{"m2m:notificationContentType", [][2]int64{{1, 5}}}
	enumNotificationEventType   = &Enum{"m2m:notificationEventType", [][2]int64{{1, 8}}}
	enumOperation               = &Enum{"m2m:operation", [][2]int64{{1, 5}}}
	enumPendingNotification     = &Enum{"m2m:pendingNotification", [][2]int64{{1, 2}}}
	enumRequestStatus           = &Enum{"m2m:requestStatus", [][2]int64{{1, 5}}}
	enumResourceType            = &Enum{"m2m:resourceType", resourceTypeRanges}
	enumStationaryIndication    = &Enum{"m2m:stationaryIndication", [][2]int64{{1, 2}}}
)

// resourceTypeRanges are the numbers that TS-0004 table 6.3.4.2.1-1 assigns, not only those of the types known here:
// a policy or a filter may name any of them.
var resourceTypeRanges = [][2]int64{
	{1, 5}, {9, 10}, {13, 18}, {23, 32}, {34, 34}, {43, 44}, {47, 48}, {58, 58}, {60, 60}, {62, 66},
	{10001, 10005}, {10009, 10010}, {10013, 10014}, {10016, 10016}, {10018, 10018}, {10024, 10024},
	{10028, 10030}, {10060, 10060}, {10062, 10066},
}
