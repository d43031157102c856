package onem2m

import (
	"slices"
	"strings"
)

// The columns of the tables in TS-0004 clause 7.4, in its own notation.
const (
	np = NotPresent
	o  = Optional
	m  = Mandatory
)

// attribute describes an attribute that a resource may lack.
func attribute(short, long string, k Kind, create, update Presence) AttributeDef {
	return AttributeDef{Short: short, Long: long, Kind: k, Create: create, Update: update, Card: ZeroOne}
}

func (a AttributeDef) one() AttributeDef      { a.Card = One; return a }
func (a AttributeDef) nullable() AttributeDef { a.Card = OneNullable; return a }

// universal are the attributes of every resource (TS-0001 clause 9.6.1.3.1).
var universal = []AttributeDef{
	attribute("ct", "creationTime", KindTimestamp, np, np).one(),
	attribute("lbl", "labels", KindToken, o, o).list(),
	attribute("lt", "lastModifiedTime", KindTimestamp, np, np).one(),
	attribute("pi", "parentID", KindID, np, np).one(),
	attribute("ri", "resourceID", KindID, np, np).one(),
	attribute("rn", "resourceName", KindResourceName, o, np).one(),
	attribute("ty", "resourceType", 0, np, np).one().enum(enumResourceType),
}

// The common attributes (TS-0001 clause 9.6.1.3.2), in the groups in which the resource types have them.
var (
	expires   = []AttributeDef{attribute("et", "expirationTime", KindTimestamp, o, o).nullable()}
	protected = []AttributeDef{
		attribute("acpi", "accessControlPolicyIDs", KindID, o, o).nonEmpty(),
		attribute("cstn", "custodian", KindID, o, o),
		attribute("daci", "dynamicAuthorizationConsultationIDs", KindAnyURI, o, o).list(),
	}
	announceable = []AttributeDef{
		attribute("aa", "announcedAttribute", KindNCName, o, o).list(),
		attribute("ast", "announceSyncType", 0, o, o).enum(enumAnnounceSyncType),
		attribute("at", "announceTo", KindAnyURI, o, o).list(),
	}
	created  = []AttributeDef{attribute("cr", "creator", KindCreator, o, np)}
	stateTag = []AttributeDef{attribute("st", "stateTag", KindNonNegInteger, np, np).one()}
	located  = []AttributeDef{attribute("loc", "location", 0, o, o).of(complexGeoCoordinates)}
)

// flexContainer are the attributes that all specializations of flexContainer have (TS-0001 clause 9.6.35).
var flexContainer = slices.Concat(expires, protected, announceable, created, stateTag, located, []AttributeDef{
	attribute("cbs", "currentByteSize", KindNonNegInteger, np, np),
	attribute("cnd", "containerDefinition", KindAnyURI, m, np).one(),
	attribute("cni", "currentNrOfInstances", KindNonNegInteger, np, np),
	attribute("cs", "contentSize", KindNonNegInteger, np, np).one(),
	attribute("fcied", "flexContainerInstancesEnabled", KindBoolean, o, o),
	attribute("mbs", "maxByteSize", KindNonNegInteger, o, o),
	attribute("mia", "maxInstanceAge", KindNonNegInteger, o, o),
	attribute("mni", "maxNrOfInstances", KindNonNegInteger, o, o),
	attribute("nl", "nodeLink", KindID, o, o),
	attribute("or", "ontologyRef", KindAnyURI, o, o),
})

var typeDefs = []*TypeDef{
	// TS-0001 clause 9.6.2, TS-0004 clause 7.4.2.
	define(&TypeDef{
		Type: TypeACP, Tag: "m2m:acp", Name: "accessControlPolicy", IDPrefix: "acp",
		Children:  []ResourceType{TypeSubscription},
		Creatable: true, Updatable: true, Deletable: true,
	}, expires, announceable, []AttributeDef{
		attribute("adri", "authorizationDecisionResourceIDs", KindID, o, o).list(),
		attribute("airi", "authorizationInformationResourceIDs", KindID, o, o).list(),
		attribute("apri", "authorizationPolicyResourceIDs", KindID, o, o).list(),
		attribute("pv", "privileges", 0, m, o).one().of(complexSetOfAcrs),
		attribute("pvs", "selfPrivileges", 0, m, o).one().of(complexSetOfAcrs),
	}),
	// TS-0001 clause 9.6.5, TS-0004 clause 7.4.5.
	define(&TypeDef{
		Type: TypeAE, Tag: "m2m:ae", Name: "AE", IDPrefix: "ae",
		Children:  []ResourceType{TypeACP, TypeContainer, TypeDAC, TypeFlexContainer, TypeGroup, TypePollingChannel, TypeSubscription, TypeTimeSeries},
		Creatable: true, Updatable: true, Deletable: true,
	}, expires, protected, announceable, located, []AttributeDef{
		attribute("aei", "AE-ID", KindID, np, np).one(),
		attribute("ape", "activityPatternElements", 0, o, o).list().of(complexActivityPattern),
		attribute("api", "App-ID", KindAppID, m, np).one(),
		attribute("apn", "appName", KindString, o, o),
		attribute("csz", "contentSerialization", KindString, o, o).list(),
		attribute("esi", "e2eSecInfo", KindAny, o, o),
		attribute("mei", "M2M-Ext-ID", KindString, o, o),
		attribute("nl", "nodeLink", KindID, o, o),
		attribute("or", "ontologyRef", KindAnyURI, o, o),
		attribute("poa", "pointOfAccess", KindAnyURI, o, o).list(),
		attribute("regs", "registrationStatus", KindString, o, o),
		attribute("rr", "requestReachability", KindBoolean, m, o).one(),
		attribute("scp", "sessionCapabilities", KindString, o, o).list(),
		attribute("srv", "supportedReleaseVersions", KindString, m, o).one().list(),
		attribute("tren", "triggerEnable", KindBoolean, o, o),
		attribute("tri", "trigger-Recipient-ID", KindNonNegInteger, o, o),
		attribute("trps", "trackRegistrationPoints", KindBoolean, o, o),
	}),
	// TS-0001 clause 9.6.6, TS-0004 clause 7.4.6.
	define(&TypeDef{
		Type: TypeContainer, Tag: "m2m:cnt", Name: "container", IDPrefix: "cnt",
		Children:  []ResourceType{TypeContainer, TypeContentInstance, TypeFlexContainer, TypeSubscription, TypeTimeSeries},
		Creatable: true, Updatable: true, Deletable: true,
	}, expires, protected, announceable, created, stateTag, located, []AttributeDef{
		attribute("cbs", "currentByteSize", KindNonNegInteger, np, np).one(),
		attribute("cni", "currentNrOfInstances", KindNonNegInteger, np, np).one(),
		attribute("disr", "disableRetrieval", KindBoolean, o, o),
		attribute("li", "locationID", KindAnyURI, np, np),
		attribute("mbs", "maxByteSize", KindNonNegInteger, o, o),
		attribute("mia", "maxInstanceAge", KindNonNegInteger, o, o),
		attribute("mni", "maxNrOfInstances", KindNonNegInteger, o, o),
		attribute("or", "ontologyRef", KindAnyURI, o, o),
	}),
	// TS-0001 clause 9.6.7, TS-0004 clause 7.4.7.
	define(&TypeDef{
		Type: TypeContentInstance, Tag: "m2m:cin", Name: "contentInstance", IDPrefix: "cin",
		Creatable: true, Deletable: true,
	}, expires, announceable, created, stateTag, located, []AttributeDef{
		attribute("cnf", "contentInfo", KindString, o, np),
		attribute("con", "content", KindAny, m, np).one(),
		attribute("conr", "contentRef", 0, o, np).list().of(complexContentRef),
		attribute("cs", "contentSize", KindNonNegInteger, np, np).one(),
		attribute("dcnt", "deletionCnt", KindPositiveInteger, o, np),
		attribute("dgt", "dataGenerationTime", KindAbsRelTimestamp, o, np),
		attribute("or", "ontologyRef", KindAnyURI, o, np),
	}),
	// TS-0001 clause 9.6.3, TS-0004 clause 7.4.3. It is made with the CSE; no request creates, updates or deletes it.
	define(&TypeDef{
		Type: TypeCSEBase, Tag: "m2m:cb", Name: "CSEBase", IDPrefix: "cb",
		Children: []ResourceType{
			TypeACP, TypeAE, TypeContainer, TypeDAC, TypeFlexContainer, TypeGroup, TypeNode, TypeRemoteCSE, TypeRole, TypeSubscription,
			TypeTimeSeries, TypeToken,
		},
	}, protected, located, []AttributeDef{
		attribute("csi", "CSE-ID", KindID, np, np).one(),
		attribute("cst", "cseType", 0, np, np).enum(enumCSEType),
		attribute("csz", "contentSerialization", KindString, np, np).list(),
		attribute("ctm", "currentTime", KindTimestamp, np, np),
		attribute("esi", "e2eSecInfo", KindAny, np, np),
		attribute("ici", "IN-CSE-ID", KindID, np, np),
		attribute("nl", "nodeLink", KindID, np, np),
		attribute("poa", "pointOfAccess", KindAnyURI, np, np).list().one(),
		attribute("spi", "SP-ID", KindID, np, np).one(),
		attribute("srt", "supportedResourceType", 0, np, np).list().one().enum(enumResourceType),
		attribute("srv", "supportedReleaseVersions", KindString, np, np).list().one(),
	}),
	// TS-0001 clause 9.6.13, TS-0004 clause 7.4.13.
	define(&TypeDef{
		Type: TypeGroup, Tag: "m2m:grp", Name: "group", IDPrefix: "grp",
		Children:  []ResourceType{TypeSubscription},
		Creatable: true, Updatable: true, Deletable: true,
	}, expires, protected, announceable, created, []AttributeDef{
		attribute("cnm", "currentNrOfMembers", KindNonNegInteger, np, np).one(),
		attribute("csy", "consistencyStrategy", 0, o, np).enum(enumConsistencyStrategy),
		attribute("gn", "groupName", KindString, o, o),
		attribute("macp", "membersAccessControlPolicyIDs", KindID, o, o).list(),
		attribute("mid", "memberIDs", KindID, m, o).one().list(),
		attribute("mnm", "maxNrOfMembers", KindPositiveInteger, m, o).one(),
		attribute("mt", "memberType", 0, o, np).one().enum(enumMemberType),
		attribute("mtv", "memberTypeValidated", KindBoolean, np, np),
		attribute("nar", "notifyAggregation", 0, o, o).of(complexBatchNotify),
		attribute("spty", "specializationType", KindNonNegInteger, o, np),
		attribute("ssi", "semanticSupportIndicator", KindBoolean, np, np),
	}),
	// TS-0001 clause 9.6.15, TS-0004 clause 7.4.15. What every specialization has; none has this tag.
	define(&TypeDef{
		Type: TypeMgmtObj, Tag: "m2m:mgo", Name: "mgmtObj", IDPrefix: "mgo",
		Children:  []ResourceType{TypeSubscription},
		Creatable: true, Updatable: true, Deletable: true,
	}, management),
	// TS-0001 clause 9.6.18, TS-0004 clause 7.4.18.
	define(&TypeDef{
		Type: TypeNode, Tag: "m2m:nod", Name: "node", IDPrefix: "nod",
		Children:  []ResourceType{TypeMgmtObj, TypeSubscription},
		Creatable: true, Updatable: true, Deletable: true,
	}, expires, protected, announceable, []AttributeDef{
		attribute("hael", "hostedAELinks", KindID, o, o).nonEmpty(),
		attribute("hcl", "hostedCSELink", KindID, o, o),
		attribute("hsl", "hostedServiceLinks", KindID, o, o).list(),
		attribute("mgca", "mgmtClientAddress", KindString, o, o).list(),
		attribute("ni", "nodeID", KindString, m, o).one(),
		attribute("nid", "networkID", KindString, np, np),
		attribute("nty", "nodeType", KindNonNegInteger, o, o),
		attribute("rms", "roamingStatus", KindBoolean, np, np),
	}),
	// TS-0001 clause 9.6.21, TS-0004 clause 7.4.21.
	define(&TypeDef{
		Type: TypePollingChannel, Tag: "m2m:pch", Name: "pollingChannel", IDPrefix: "pch",
		Creatable: true, Updatable: true, Deletable: true,
	}, expires, []AttributeDef{
		attribute("rqag", "requestAggregation", KindBoolean, o, o),
	}),
	// TS-0001 clause 9.6.4, TS-0004 clause 7.4.4.
	define(&TypeDef{
		Type: TypeRemoteCSE, Tag: "m2m:csr", Name: "remoteCSE", IDPrefix: "csr",
		Children:  []ResourceType{TypeACP, TypeContainer, TypeDAC, TypeFlexContainer, TypeGroup, TypePollingChannel, TypeSubscription, TypeTimeSeries},
		Creatable: true, Updatable: true, Deletable: true,
	}, expires, protected, announceable, created, located, []AttributeDef{
		attribute("ape", "activityPatternElements", 0, o, o).list().of(complexActivityPattern),
		attribute("cb", "CSEBase", KindAnyURI, m, np).one(),
		attribute("csi", "CSE-ID", KindID, o, np).one(),
		attribute("cst", "cseType", 0, o, np).enum(enumCSEType),
		attribute("csz", "contentSerialization", KindString, o, o).list(),
		attribute("dcse", "descendantCSEs", KindID, o, o).list(),
		attribute("egid", "externalGroupID", KindString, o, o),
		attribute("esi", "e2eSecInfo", KindAny, o, o),
		attribute("ici", "IN-CSE-ID", KindID, o, o),
		attribute("mei", "M2M-Ext-ID", KindString, o, o),
		attribute("mtcc", "multicastCapability", KindString, o, o),
		attribute("nl", "nodeLink", KindID, o, o),
		attribute("poa", "pointOfAccess", KindAnyURI, o, o).list(),
		attribute("rr", "requestReachability", KindBoolean, m, o).one(),
		attribute("spi", "SP-ID", KindID, o, np),
		attribute("srv", "supportedReleaseVersions", KindString, m, o).one().list(),
		attribute("tren", "triggerEnable", KindBoolean, o, o),
		attribute("tri", "trigger-Recipient-ID", KindNonNegInteger, o, o),
		attribute("trn", "triggerReferenceNumber", KindNonNegInteger, o, o),
	}),
	// TS-0001 clause 9.6.12, TS-0004 clause 7.4.12. The CSE makes it and changes it; no request does.
	define(&TypeDef{
		Type: TypeRequest, Tag: "m2m:req", Name: "request", IDPrefix: "req",
		Children:  []ResourceType{TypeSubscription},
		Deletable: true,
	}, expires, protected, []AttributeDef{
		attribute("mi", "metaInformation", KindAny, np, np).one(),
		attribute("op", "operation", 0, np, np).one().enum(enumOperation),
		attribute("org", "originator", KindID, np, np).one(),
		attribute("ors", "operationResult", KindAny, np, np),
		attribute("pc", "primitiveContent", KindAny, np, np),
		attribute("rid", "requestID", KindString, np, np).one(),
		attribute("rs", "requestStatus", 0, np, np).one().enum(enumRequestStatus),
		attribute("tg", "target", KindAnyURI, np, np).one(),
	}),
	// TS-0001 clause 9.6.8, TS-0004 clause 7.4.8.
	define(&TypeDef{
		Type: TypeSubscription, Tag: "m2m:sub", Name: "subscription", IDPrefix: "sub",
		Creatable: true, Updatable: true, Deletable: true,
	}, expires, protected, created, []AttributeDef{
		attribute("acrs", "associatedCrossResourceSub", KindID, o, o).list(),
		attribute("bn", "batchNotify", 0, o, o).of(complexBatchNotify),
		attribute("eeno", "enableEventNotificationOriginator", KindBoolean, o, o),
		attribute("enc", "eventNotificationCriteria", 0, o, o).of(complexEventNotificationCriteria),
		attribute("exc", "expirationCounter", KindPositiveInteger, o, o),
		attribute("gpi", "groupID", KindString, o, o),
		attribute("ln", "latestNotify", KindBoolean, o, o),
		attribute("ma", "maxAge", KindDuration, o, o),
		attribute("nct", "notificationContentType", 0, o, o).one().enum(enumNotificationContentType),
		attribute("nec", "notificationEventCat", 0, o, o).enum(enumEventCat),
		attribute("nfu", "notificationForwardingURI", KindAnyURI, o, o),
		attribute("nse", "notificationStatsEnable", KindBoolean, o, o),
		attribute("nsi", "notificationStatsInfo", 0, np, np).list().of(complexNotificationStatsInfo),
		attribute("nsp", "notificationStoragePriority", KindPositiveInteger, o, o),
		attribute("nu", "notificationURI", KindAnyURI, m, o).one().nonEmpty(),
		attribute("pn", "pendingNotification", 0, o, o).enum(enumPendingNotification),
		attribute("psn", "preSubscriptionNotify", KindPositiveInteger, o, np),
		attribute("rl", "rateLimit", 0, o, o).of(complexRateLimit),
		attribute("su", "subscriberURI", KindAnyURI, o, np),
	}),
	// TS-0001 clause 9.6.35, TS-0004 clause 7.4.37. What every specialization has; none has this tag.
	define(&TypeDef{
		Type: TypeFlexContainer, Tag: "m2m:fcnt", Name: "flexContainer", IDPrefix: "fcnt",
		Children:  []ResourceType{TypeContainer, TypeFlexContainer, TypeFlexContInst, TypeSubscription, TypeTimeSeries},
		Creatable: true, Updatable: true, Deletable: true,
	}, flexContainer),
	// TS-0001 clause 9.6.36, TS-0004 clause 7.4.38.
	define(&TypeDef{
		Type: TypeTimeSeries, Tag: "m2m:ts", Name: "timeSeries", IDPrefix: "ts",
		Children:  []ResourceType{TypeSubscription, TypeTimeSeriesInst},
		Creatable: true, Updatable: true, Deletable: true,
	}, expires, protected, announceable, created, located, []AttributeDef{
		attribute("cbs", "currentByteSize", KindNonNegInteger, np, np).one(),
		attribute("cnf", "contentInfo", KindString, o, np),
		attribute("cni", "currentNrOfInstances", KindNonNegInteger, np, np).one(),
		attribute("mbs", "maxByteSize", KindNonNegInteger, o, o),
		attribute("mdc", "missingDataCurrentNr", KindNonNegInteger, np, np).one(),
		attribute("mdd", "missingDataDetect", KindBoolean, o, o).one(),
		attribute("mdlt", "missingDataList", KindTimestamp, np, np).list(),
		attribute("mdn", "missingDataMaxNr", KindPositiveInteger, o, o),
		attribute("mdt", "missingDataDetectTimer", KindPositiveInteger, o, o),
		attribute("mia", "maxInstanceAge", KindNonNegInteger, o, o),
		attribute("mni", "maxNrOfInstances", KindNonNegInteger, o, o),
		attribute("or", "ontologyRef", KindAnyURI, o, o),
		attribute("pei", "periodicInterval", KindPositiveInteger, o, o),
		attribute("peid", "periodicIntervalDelta", KindNonNegInteger, o, o),
	}),
	// TS-0001 clause 9.6.37, TS-0004 clause 7.4.39.
	define(&TypeDef{
		Type: TypeTimeSeriesInst, Tag: "m2m:tsi", Name: "timeSeriesInstance", IDPrefix: "tsi",
		Creatable: true, Deletable: true,
	}, expires, announceable, created, located, []AttributeDef{
		attribute("con", "content", KindAny, m, np).one(),
		attribute("cs", "contentSize", KindNonNegInteger, np, np).one(),
		attribute("dgt", "dataGenerationTime", KindAbsRelTimestamp, m, np).one(),
		attribute("snr", "sequenceNr", KindNonNegInteger, o, np),
	}),
	// TS-0001 clause 9.6.38, TS-0004 clause 7.4.40.
	define(&TypeDef{
		Type: TypeRole, Tag: "m2m:rol", Name: "role", IDPrefix: "rol",
		Children:  []ResourceType{TypeSubscription},
		Creatable: true, Updatable: true, Deletable: true,
	}, expires, protected, []AttributeDef{
		attribute("rlid", "roleID", KindIssuedID, m, np).one(),
		attribute("rlnm", "roleName", KindString, o, np),
		attribute("rltl", "tokenLink", KindAnyURI, o, o),
		attribute("tkhd", "holder", KindID, m, np).one(),
		attribute("tkis", "issuer", KindID, m, np).one(),
		attribute("tkna", "notAfter", KindTimestamp, m, np).one(),
		attribute("tknb", "notBefore", KindTimestamp, m, np).one(),
	}),
	// TS-0001 clause 9.6.39, TS-0004 clause 7.4.41.
	define(&TypeDef{
		Type: TypeToken, Tag: "m2m:tk", Name: "token", IDPrefix: "tk",
		Children:  []ResourceType{TypeSubscription},
		Creatable: true, Updatable: true, Deletable: true,
	}, expires, protected, []AttributeDef{
		attribute("tkau", "audience", KindID, o, np).list(),
		attribute("tkex", "extension", KindString, o, np),
		attribute("tkhd", "holder", KindID, o, np),
		attribute("tkid", "tokenID", KindIssuedID, m, np).one(),
		attribute("tkis", "issuer", KindID, o, np),
		attribute("tkna", "notAfter", KindTimestamp, o, np),
		attribute("tknb", "notBefore", KindTimestamp, o, np),
		attribute("tknm", "tokenName", KindString, o, np),
		attribute("tkob", "tokenObject", KindJWT, m, np).one(),
		attribute("tkps", "permissions", 0, o, np).of(complexTokenPermissions),
		attribute("vr", "version", KindString, o, np),
	}),
	// TS-0001 clause 9.6.40.
	define(&TypeDef{
		Type: TypeDAC, Tag: "m2m:dac", Name: "dynamicAuthorizationConsultation", IDPrefix: "dac",
		Children:  []ResourceType{TypeSubscription},
		Creatable: true, Updatable: true, Deletable: true,
	}, expires, protected, []AttributeDef{
		attribute("dae", "dynamicAuthorizationEnabled", KindBoolean, m, o).one(),
		attribute("dal", "dynamicAuthorizationLifetime", KindTimestamp, o, o),
		attribute("dap", "dynamicAuthorizationPoA", KindAnyURI, m, o).one().nonEmpty(),
	}),
	// The CSE makes them; of the custom attributes they have those of their flexContainer.
	define(&TypeDef{
		Type: TypeFlexContInst, Tag: "m2m:fci", Name: "flexContainerInstance", IDPrefix: "fci", Deletable: true,
	}, expires, stateTag, located, []AttributeDef{
		attribute("cs", "contentSize", KindNonNegInteger, np, np).one(),
		attribute("org", "originator", KindID, np, np).one(),
	}),
}

// define completes a type with its attributes: the universal ones and the groups given.
func define(d *TypeDef, groups ...[]AttributeDef) *TypeDef {
	d.Attributes = append(d.Attributes, universal...)
	for _, g := range groups {
		d.Attributes = append(d.Attributes, g...)
	}
	slices.SortFunc(d.Attributes, func(a, b AttributeDef) int { return strings.Compare(a.Short, b.Short) })
	for i := range d.Attributes {
		if d.Attributes[i].Create == Mandatory {
			d.mandatory |= 1 << i
		}
	}
	return d
}

// Types gives the descriptions of all known resource types in ascending order of their number.
// The result is shared and must not be changed.
func Types() []*TypeDef { return typeDefs }

// Lookup gives the description of a resource type, nil when it is not a known one.
func Lookup(t ResourceType) *TypeDef {
	for _, d := range typeDefs {
		if d.Type == t {
			return d
		}
	}
	return nil
}

// IsAttribute says whether any known resource type or specialization has an attribute of that short name.
func IsAttribute(short string) bool {
	return slices.ContainsFunc(typeDefs, func(d *TypeDef) bool { return d.Attribute(short) != nil }) || customNames()[short]
}

// LookupTag gives the description of the resource type whose representation has the root member tag ("m2m:cnt"),
// nil when it is not a known one.
func LookupTag(tag string) *TypeDef {
	for _, d := range typeDefs {
		if d.Tag == tag {
			return d
		}
	}
	return nil
}
