package onem2m

import "slices"

// management are the attributes that all specializations of mgmtObj have (TS-0001 clause 9.6.15, TS-0004 clause 7.4.15).
var management = slices.Concat(expires, protected, announceable, []AttributeDef{
	attribute("cmlk", "mgmtLink", 0, o, o).list().of(complexMgmtLinkRef),
	attribute("dc", "description", KindString, o, o),
	attribute("mgd", "mgmtDefinition", 0, m, np).one().enum(enumMgmtDefinition),
	attribute("mgs", "mgmtSchema", KindAnyURI, o, np),
	attribute("obis", "objectIDs", KindAnyURI, o, np).list(),
	attribute("obps", "objectPaths", KindAnyURI, o, np).list(),
})

// The mgmtDefinitions of specializations that do more than keep their attributes (TS-0004 clause 6.3.4.2.9).
const (
	MgmtFirmware         = 1001
	MgmtSoftware         = 1002
	MgmtDeviceCapability = 1008
	MgmtReboot           = 1009
	MgmtEventLog         = 1010
	MgmtWiFiClient       = 1028
)

// managementDefs are the specializations of mgmtObj: those of TS-0004 Annex D, from a node's firmware to its log, and
// those of TS-0022 that say how a device is set up.
var managementDefs = []*TypeDef{
	// TS-0001 clause D.2, TS-0004 clause D.2.
	manage(MgmtFirmware, "m2m:fwr", "firmware",
		attribute("fwn", "firmwareName", KindString, m, o).one(),
		attribute("ud", "update", KindBoolean, m, o).one(),
		attribute("uds", "updateStatus", 0, np, o).one().of(complexActionStatus),
		attribute("url", "URL", KindAnyURI, m, o).one(),
		attribute("vr", "version", KindString, m, o).one(),
	),
	// TS-0001 clause D.3, TS-0004 clause D.3.
	manage(MgmtSoftware, "m2m:swr", "software",
		attribute("act", "activate", KindBoolean, np, o).one(),
		attribute("acts", "activeStatus", 0, np, np).one().of(complexActionStatus),
		attribute("dea", "deactivate", KindBoolean, np, o).one(),
		attribute("in", "install", KindBoolean, np, o).one(),
		attribute("ins", "installStatus", 0, np, np).one().of(complexActionStatus),
		attribute("swn", "softwareName", KindString, m, o).one(),
		attribute("un", "uninstall", KindBoolean, np, o).one(),
		attribute("url", "URL", KindAnyURI, m, o).one(),
		attribute("vr", "version", KindString, m, o).one(),
	),
	// TS-0001 clause D.4, TS-0004 clause D.4.
	manage(1003, "m2m:mem", "memory",
		attribute("mma", "memAvailable", KindNonNegInteger, m, o).one(),
		attribute("mmt", "memTotal", KindNonNegInteger, m, o).one(),
	),
	// TS-0001 clause D.5, TS-0004 clause D.5.
	manage(1004, "m2m:ani", "areaNwkInfo",
		attribute("ant", "areaNwkType", KindString, m, o).one(),
		attribute("ldv", "listOfDevices", KindAnyURI, o, o).list(),
	),
	// TS-0001 clause D.6, TS-0004 clause D.6.
	manage(1005, "m2m:andi", "areaNwkDeviceInfo",
		attribute("awi", "areaNwkId", KindAnyURI, m, o).one(),
		attribute("dvd", "devId", KindString, m, o).one(),
		attribute("dvt", "devType", KindString, m, o).one(),
		attribute("lnh", "listOfNeighbors", KindAnyURI, o, o).list(),
		attribute("sld", "sleepDuration", KindNonNegInteger, o, o),
		attribute("sli", "sleepInterval", KindNonNegInteger, o, o),
		attribute("ss", "devStatus", KindString, o, o),
	),
	// TS-0001 clause D.7, TS-0004 clause D.7.
	manage(1006, "m2m:bat", "battery",
		attribute("btl", "batteryLevel", KindNonNegInteger, m, o).one(),
		attribute("bts", "batteryStatus", 0, m, o).one().enum(enumBatteryStatus),
	),
	// TS-0001 clause D.8, TS-0004 clause D.8.
	manage(1007, "m2m:dvi", "deviceInfo",
		attribute("cnty", "country", KindString, o, np),
		attribute("dlb", "deviceLabel", KindString, m, o).one(),
		attribute("dty", "deviceType", KindString, m, o).one(),
		attribute("dvnm", "deviceName", KindString, o, o),
		attribute("fwv", "fwVersion", KindString, o, o),
		attribute("hwv", "hwVersion", KindString, o, np),
		attribute("loc", "location", KindString, o, o),
		attribute("man", "manufacturer", KindString, m, o).one(),
		attribute("mfd", "manufacturingDate", KindDateTime, o, o),
		attribute("mfdl", "manufacturerDetailsLink", KindString, o, o),
		attribute("mod", "model", KindString, m, o).one(),
		attribute("osv", "osVersion", KindString, o, o),
		attribute("ptl", "protocol", KindString, o, o).list(),
		attribute("purl", "presentationURL", KindAnyURI, o, o),
		attribute("smod", "subModel", KindString, o, o),
		attribute("spur", "supportURL", KindAnyURI, o, o),
		attribute("swv", "swVersion", KindString, o, o),
		attribute("syst", "systemTime", KindTimestamp, o, o),
	),
	// TS-0001 clause D.9, TS-0004 clause D.9.
	manage(MgmtDeviceCapability, "m2m:dvc", "deviceCapability",
		attribute("att", "attached", KindBoolean, m, o).one(),
		attribute("can", "capabilityName", KindString, m, o).one(),
		attribute("cas", "capabilityActionStatus", 0, m, o).one().of(complexActionStatus),
		attribute("cus", "currentState", KindBoolean, m, o).one(),
		attribute("dis", "disable", KindBoolean, o, o).one(),
		attribute("ena", "enable", KindBoolean, o, o).one(),
	),
	// TS-0001 clause D.10, TS-0004 clause D.10.
	manage(MgmtReboot, "m2m:rbo", "reboot",
		attribute("far", "factoryReset", KindBoolean, o, o).one(),
		attribute("rbo", "reboot", KindBoolean, o, o).one(),
	),
	// TS-0001 clause D.11, TS-0004 clause D.11.
	manage(MgmtEventLog, "m2m:evl", "eventLog",
		attribute("lga", "logStart", KindBoolean, o, o).one(),
		attribute("lgd", "logData", KindString, m, o).one(),
		attribute("lgo", "logStop", KindBoolean, o, o).one(),
		attribute("lgst", "logStatus", 0, m, o).one().enum(enumLogStatus),
		attribute("lgt", "logTypeId", 0, m, o).one().enum(enumLogTypeID),
	),
	// TS-0022 clause 7.1.3.
	manage(1021, "dcfg:datc", "dataCollection",
		attribute("cntp", "containerPath", KindString, m, o).one(),
		attribute("meil", "measurementInterval", KindPositiveInteger, o, o),
		attribute("mesc", "measurementSchedule", 0, o, o).list().of(complexScheduleEntries),
		attribute("rpsc", "reportingSchedule", 0, o, o).list().of(complexScheduleEntries),
	),
	// TS-0022 clause 7.1.5. Some clients write it with the prefix of the other types.
	manage(1023, "dcfg:nycfc", "myCertFileCred", certFile...),
	manage(1023, "m2m:nycfc", "myCertFileCred", certFile...),
	// TS-0022 clause 7.1: of release 4.
	manage(MgmtWiFiClient, "dcfg:wific", "wificlient",
		attribute("chanl", "channel", KindString, o, o),
		attribute("cons", "connectionStatus", 0, o, o).enum(enumWiFiConnectionStatus),
		attribute("maca", "macAddress", KindString, o, o),
		attribute("rdst", "radioStatus", KindBoolean, o, o),
		attribute("scan", "scan", KindBoolean, m, o).one(),
		attribute("scanr", "scanResult", KindString, o, o).list(),
		attribute("ssid", "ssid", KindString, m, o).one(),
		attribute("trdst", "toggleRadioStatus", KindBoolean, o, o).one(),
		attribute("ud", "update", KindBoolean, o, o).one(),
		attribute("uds", "updateStatus", 0, np, o).one().of(complexActionStatus),
		attribute("wcrds", "credentials", 0, o, o).of(complexWiFiCredentials),
	),
	manage(1029, "dcfg:crds", "credentials",
		attribute("crid", "credentialID", KindString, o, o),
		attribute("crse", "credentialSecret", KindString, o, o),
		attribute("crtk", "credentialToken", KindString, o, o),
		attribute("pur", "purpose", KindString, o, o),
	),
	manage(1030, "dcfg:sim", "SIM",
		attribute("icid", "iccid", KindString, m, o).one(),
		attribute("imsi", "imsi", KindString, o, o),
		attribute("sist", "simStatus", 0, o, o).enum(enumSIMStatus),
		attribute("sity", "simType", 0, o, o).enum(enumSIMType),
		attribute("spn", "serviceProviderName", KindString, o, o),
	),
	manage(1031, "dcfg:mnwk", "mobileNetwork",
		attribute("apna", "apn", KindString, o, o).list(),
		attribute("ceid", "cellID", KindInteger, o, o),
		attribute("cnb", "cellularNetworkBearer", 0, m, o).one().enum(enumCellularBearer),
		attribute("coel", "coverageEnhancementLevel", 0, o, o).enum(enumCoverageEnhancement),
		attribute("ipad", "ipAddresses", 0, o, o).list().of(complexIPAddress),
		attribute("lac", "lac", KindInteger, o, o),
		attribute("liqu", "linkQuality", KindInteger, o, o),
		attribute("ripa", "routerIPAddresses", 0, o, o).list().of(complexIPAddress),
		attribute("rss", "radioSignalStrength", KindInteger, o, o),
		attribute("smcc", "smcc", KindInteger, o, o),
		attribute("smnc", "smnc", KindInteger, o, o),
	),
}

var certFile = []AttributeDef{
	attribute("mcfc", "myCertFileContent", KindString, m, np).one(),
	attribute("mcff", "myCertFileFormat", KindAnyURI, m, np).one(),
	attribute("suids", "SUIDs", 0, m, o).one().list().enum(enumSUID),
}

// manage describes a specialization of mgmtObj.
func manage(definition int64, tag, name string, own ...AttributeDef) *TypeDef {
	return define(&TypeDef{
		Type: TypeMgmtObj, Tag: tag, Name: name, IDPrefix: "mgo", MgmtDefinition: definition,
		Children:  []ResourceType{TypeSubscription},
		Creatable: true, Updatable: true, Deletable: true,
	}, management, own)
}

// ManagementTag gives the root member of the specialization of mgmtObj that has a mgmtDefinition (mgd): "m2m:bat" for
// 1006; "" when none known here has.
func ManagementTag(definition int64) string {
	for _, d := range managementDefs {
		if d.MgmtDefinition == definition {
			return d.Tag
		}
	}
	return ""
}

// The complex data types of TS-0004 clause 6.3.5 and TS-0022 that they use.
var (
	complexActionStatus = &ComplexDef{"m2m:actionStatus", []AttributeDef{
		member("acn", "action", KindID, Optional),
		member("sus", "status", 0, Optional).enum(enumStatus),
	}}
	complexIPAddress = &ComplexDef{"m2m:ipAddress", []AttributeDef{
		member("ip4", "ipv4Address", KindIPv4, Optional),
		member("ip6", "ipv6Address", KindIPv6, Optional),
	}}
	complexMgmtLinkRef = &ComplexDef{"m2m:mgmtLinkRef", []AttributeDef{
		member("nm", "name", KindNCName, Mandatory),
		member("typ", "type", 0, Mandatory).enum(enumMgmtDefinition),
		member("val", "val", KindID, Optional),
	}}
	complexScheduleEntries = &ComplexDef{"m2m:scheduleEntries", []AttributeDef{
		member("sce", "scheduleEntry", KindSchedule, Mandatory).nonEmpty(),
	}}
	complexWiFiCredentials = &ComplexDef{"dcfg:wifiCredentials", []AttributeDef{
		member("enct", "encryptionType", 0, Mandatory).enum(enumWiFiEncryption),
		member("pwd", "password", KindString, Optional),
		member("unm", "username", KindString, Optional),
		member("wepk", "wepKey", KindString, Optional),
		member("wpap", "wpaPsk", KindString, Optional),
	}}
)

// The enumerations of TS-0004 clause 6.3.4.2, TS-0003 and TS-0022 that they use.
var (
	enumBatteryStatus        = &Enum{"m2m:batteryStatus", [][2]int64{{1, 7}}}
	enumCellularBearer       = &Enum{"dcfg:cellularNetworkBearer", [][2]int64{{0, 7}}}
	enumCoverageEnhancement  = &Enum{"dcfg:coverageEnhancementLevel", [][2]int64{{0, 4}}}
	enumLogStatus            = &Enum{"m2m:logStatus", [][2]int64{{1, 5}}}
	enumLogTypeID            = &Enum{"m2m:logTypeId", [][2]int64{{1, 5}}}
	enumSIMStatus            = &Enum{"dcfg:simStatus", [][2]int64{{0, 1}}}
	enumSIMType              = &Enum{"dcfg:simType", [][2]int64{{0, 3}}}
	enumStatus               = &Enum{"m2m:status", [][2]int64{{0, 3}}}
	enumSUID                 = &Enum{"m2m:suid", [][2]int64{{10, 99}}} // two digits: how it was provisioned, and for what
	enumWiFiConnectionStatus = &Enum{"dcfg:wifiConnectionStatus", [][2]int64{{0, 6}}}
	enumWiFiEncryption       = &Enum{"dcfg:wifiEncryptionType", [][2]int64{{1, 8}}}
)
