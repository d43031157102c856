package cse

import (
	"net/netip"

	"github.com/tallystick/tallystick/onem2m"
)

// rule is one access control rule (m2m:accessControlRule, TS-0001 clause 9.6.2.1).
type rule struct {
	originators []string
	operations  access
	contexts    []ruleContext // any of them must hold; none at all always holds
	objects     []objectDetails
	hasObjects  bool
	attributes  []string // short names; nil for all
	// unsupported is set when the rule has a condition that this CSE cannot evaluate. Such a rule allows nothing.
	unsupported bool
}

// ruleContext is one accessControlContexts: all that it has must hold.
type ruleContext struct {
	windows      []schedule
	hasWindows   bool
	addresses    []netip.Prefix
	hasAddresses bool
}

// objectDetails is one accessControlObjectDetails.
type objectDetails struct {
	typ      onem2m.ResourceType // 0 for any
	children []onem2m.ResourceType
}

// parseRules reads a m2m:setOfAcrs as stored. What it cannot read allows nothing.
func parseRules(set []byte) []rule {
	var rules []rule
	for raw := range onem2m.Elements(onem2m.Field(set, "acr")) {
		rules = append(rules, parseRule(raw))
	}
	return rules
}

func parseRule(raw []byte) rule {
	var u rule
	for name, value := range onem2m.Fields(raw) {
		switch name {
		case "acor":
			u.originators = stringsOf(value)
		case "acop":
			n, ok := onem2m.Int(value)
			if ok && n > 0 && n <= int64(accessAll) {
				u.operations = access(n)
			}
		case "acco":
			for x := range onem2m.Elements(value) {
				ctx, ok := parseContext(x)
				u.unsupported = u.unsupported || !ok
				u.contexts = append(u.contexts, ctx)
			}
		case "acod":
			u.hasObjects = true
			for x := range onem2m.Elements(value) {
				details, ok := parseObjectDetails(x)
				u.unsupported = u.unsupported || !ok
				u.objects = append(u.objects, details)
			}
		case "aca":
			u.attributes = append([]string{}, stringsOf(value)...)
		case "acaf":
			// Every originator that gets here was authenticated by the node that accepted the request.
		default:
			u.unsupported = true
		}
	}
	return u
}

func parseContext(raw []byte) (ctx ruleContext, ok bool) {
	for name, value := range onem2m.Fields(raw) {
		switch name {
		case "actw":
			ctx.hasWindows = true
			for x := range onem2m.Elements(value) {
				window, ok := parseSchedule(text(x))
				if !ok {
					return ctx, false
				}
				ctx.windows = append(ctx.windows, window)
			}
		case "acip":
			ctx.hasAddresses = true
			for family, list := range onem2m.Fields(value) {
				if family != "ipv4" && family != "ipv6" {
					return ctx, false
				}
				for x := range onem2m.Elements(list) {
					prefix, ok := parsePrefix(text(x))
					if !ok {
						return ctx, false
					}
					ctx.addresses = append(ctx.addresses, prefix)
				}
			}
		default:
			return ctx, false
		}
	}
	return ctx, true
}

func parseObjectDetails(raw []byte) (o objectDetails, ok bool) {
	for name, value := range onem2m.Fields(raw) {
		switch name {
		case "ty":
			n, ok := onem2m.Int(value)
			if !ok {
				return o, false
			}
			o.typ = onem2m.ResourceType(n)
		case "chty":
			for x := range onem2m.Elements(value) {
				n, ok := onem2m.Int(x)
				if !ok {
					return o, false
				}
				o.children = append(o.children, onem2m.ResourceType(n))
			}
		default:
			return o, false
		}
	}
	return o, true
}

// parsePrefix reads an IP address or a CIDR prefix.
func parsePrefix(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), true
}

// Bounds of one set of access control rules, which may have to be searched for every request.
const (
	maxRules       = 256
	maxOriginators = 1024 // and attributes, in all rules together
	maxPolicies    = 32   // links from one resource
)

// checkRules refuses rules that this CSE could store but not enforce, so that no policy says more than it does.
func checkRules(attribute string, set []byte) error {
	rules := parseRules(set)
	originators := 0
	for i := range rules {
		originators += len(rules[i].originators) + len(rules[i].attributes)
	}
	if len(rules) > maxRules || originators > maxOriginators {
		return refuse(onem2m.StatusNotAcceptable, "%s: %d access control rules with %d originators and attributes; the limits are %d and %d",
			attribute, len(rules), originators, maxRules, maxOriginators)
	}
	for raw := range onem2m.Elements(onem2m.Field(set, "acr")) {
		for name := range onem2m.Fields(raw) {
			switch name {
			case "acor", "acop", "acco", "acod", "aca", "acaf":
			default:
				return refuse(onem2m.StatusNotImplemented, "%s: access control rules with %s are not supported", attribute, name)
			}
		}
		for ctx := range onem2m.Elements(onem2m.Field(raw, "acco")) {
			for name := range onem2m.Fields(ctx) {
				if name != "actw" && name != "acip" {
					return refuse(onem2m.StatusNotImplemented, "%s: access control contexts with %s are not supported", attribute, name)
				}
			}
		}
		for details := range onem2m.Elements(onem2m.Field(raw, "acod")) {
			if onem2m.Field(details, "spty") != nil {
				return refuse(onem2m.StatusNotImplemented, "%s: access control object details with spty are not supported", attribute)
			}
		}
		if parseRule(raw).unsupported {
			return refuse(onem2m.StatusBadRequest, "%s: an access control rule has a time window, address or object details that cannot be read", attribute)
		}
	}
	return nil
}
