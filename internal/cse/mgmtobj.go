package cse

import (
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// Values that the CSE gives attributes of a mgmtObj.
var (
	trueText          = []byte("true")
	falseText         = []byte("false")
	uninitializedText = []byte(`{"sus":0}`) // m2m:actionStatus of an action that nobody asked for yet
)

// management is what a specialization of mgmtObj does besides keeping its attributes.
type management struct {
	definition int64
	// exclusive are pairs of actions that one request must not ask for together.
	exclusive [][2]string
	// initial are attributes that a new one gets when the request had none; fixed ones have their value always, whatever
	// a request says.
	initial, fixed []Attr
}

// managements are the specializations that do something (TS-0004 clauses D.2, D.3, D.9, D.10 and D.11; of a client for
// Wi-Fi the update is that of firmware).
var managements = []management{
	{definition: onem2m.MgmtFirmware, initial: []Attr{{"uds", uninitializedText}}},
	{
		definition: onem2m.MgmtSoftware,
		exclusive:  [][2]string{{"in", "un"}, {"act", "dea"}},
		initial: []Attr{
			{"act", falseText}, {"acts", uninitializedText}, {"dea", falseText},
			{"in", falseText}, {"ins", uninitializedText}, {"un", falseText},
		},
	},
	{
		definition: onem2m.MgmtDeviceCapability,
		exclusive:  [][2]string{{"ena", "dis"}},
		fixed:      []Attr{{"dis", trueText}, {"ena", trueText}},
	},
	{
		definition: onem2m.MgmtReboot,
		exclusive:  [][2]string{{"rbo", "far"}},
		fixed:      []Attr{{"far", falseText}, {"rbo", falseText}},
	},
	{
		definition: onem2m.MgmtEventLog,
		exclusive:  [][2]string{{"lga", "lgo"}},
		initial:    []Attr{{"lga", falseText}, {"lgo", falseText}},
	},
	{definition: onem2m.MgmtWiFiClient, initial: []Attr{{"trdst", falseText}, {"ud", falseText}, {"uds", uninitializedText}}},
}

// completeMgmtObj checks that mgmtDefinition is that of the specialization and that the request asks for no two actions
// that exclude one another, and sets what the CSE gives (TS-0004 clause 7.4.15 and Annex D). No action is done here: the
// node that is managed learns of it by a subscription.
func completeMgmtObj(req *onem2m.Request, before, after *Resource) error {
	def := definitionOf(after)
	if got, _ := onem2m.Int(after.Get("mgd")); got != def.MgmtDefinition {
		return refuse(onem2m.StatusBadRequest, "mgmtDefinition (mgd) of a %s is %d, not %d", def.Tag, def.MgmtDefinition, got)
	}
	i := slices.IndexFunc(managements, func(m management) bool { return m.definition == def.MgmtDefinition })
	if i < 0 {
		return nil
	}
	m := &managements[i]
	for _, pair := range m.exclusive {
		if asks(req, pair[0]) && asks(req, pair[1]) {
			return refuse(onem2m.StatusBadRequest, "%s and %s of a %s exclude one another and cannot both be true", pair[0], pair[1], def.Tag)
		}
	}
	for _, a := range m.initial {
		if before == nil && after.Get(a.Name) == nil {
			after.set(a.Name, a.Value)
		}
	}
	for _, a := range m.fixed {
		after.set(a.Name, a.Value)
	}
	return nil
}

// asks says whether a request sets an attribute to true.
func asks(req *onem2m.Request, name string) bool {
	// The request passed its checks, so its content is well formed.
	_, members, _ := onem2m.ParseContent(req.Content)
	return slices.ContainsFunc(members, func(m onem2m.Member) bool { return m.Name == name && trueValue(m.Value) })
}
