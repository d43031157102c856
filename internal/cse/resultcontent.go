package cse

import (
	"github.com/tallystick/tallystick/onem2m"
)

// discovers says whether a request is a discovery (filterUsage 1, TS-0004 clause 7.3.3.14).
func discovers(req *onem2m.Request) bool {
	return req.Operation == onem2m.Retrieve && req.Filter != nil && req.Filter.Usage == onem2m.FilterUsageDiscovery
}

// resultContent gives the result content of a request or the default of its operation (TS-0001 clause 8.1.2,
// table 8.1.2-1), and refuses one that the operation does not know.
func resultContent(req *onem2m.Request) (onem2m.ResultContent, error) {
	rcn := req.ResultContent
	if rcn == onem2m.ResultContentDefault {
		switch {
		case discovers(req):
			return onem2m.ResultContentDiscoveryRefs, nil
		case req.Operation == onem2m.Delete || req.Operation == onem2m.Notify:
			return onem2m.ResultContentNothing, nil
		}
		return onem2m.ResultContentAttributes, nil
	}
	if rcn < onem2m.ResultContentNothing || rcn > onem2m.ResultContentPermissions {
		return rcn, refuse(onem2m.StatusBadRequest, "result content (rcn) %d is not one of 0 to 12", rcn)
	}
	if !resultContentAllowed(req, rcn) {
		return rcn, refuse(onem2m.StatusBadRequest, "result content (rcn) %d does not go with operation %d", rcn, req.Operation)
	}
	switch rcn {
	case onem2m.ResultContentSemanticContent, onem2m.ResultContentPermissions:
		return rcn, refuse(onem2m.StatusNotImplemented, "result content (rcn) %d is not supported", rcn)
	}
	return rcn, nil
}

func resultContentAllowed(req *onem2m.Request, rcn onem2m.ResultContent) bool {
	switch req.Operation {
	case onem2m.Create:
		switch rcn {
		case onem2m.ResultContentNothing, onem2m.ResultContentAttributes, onem2m.ResultContentHierarchicalAddress,
			onem2m.ResultContentHierarchicalAddressAndAttr, onem2m.ResultContentModifiedAttributes:
			return true
		}
	case onem2m.Retrieve:
		if discovers(req) {
			return rcn == onem2m.ResultContentChildRefs || rcn == onem2m.ResultContentDiscoveryRefs
		}
		switch rcn {
		case onem2m.ResultContentAttributes, onem2m.ResultContentAttributesAndChildren,
			onem2m.ResultContentAttributesAndChildRefs, onem2m.ResultContentChildRefs,
			onem2m.ResultContentOriginalResource, onem2m.ResultContentChildResources,
			onem2m.ResultContentSemanticContent, onem2m.ResultContentPermissions:
			return true
		}
	case onem2m.Update:
		switch rcn {
		case onem2m.ResultContentNothing, onem2m.ResultContentAttributes, onem2m.ResultContentModifiedAttributes:
			return true
		}
	case onem2m.Delete:
		switch rcn {
		case onem2m.ResultContentNothing, onem2m.ResultContentAttributes, onem2m.ResultContentAttributesAndChildren,
			onem2m.ResultContentAttributesAndChildRefs, onem2m.ResultContentChildRefs, onem2m.ResultContentChildResources:
			return true
		}
	case onem2m.Notify:
		return rcn == onem2m.ResultContentNothing
	}
	return false
}
