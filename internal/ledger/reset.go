package ledger

import (
	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// reset takes the resources of a lab network back to what they were at genesis. The credentials stay.
func (a *App) reset(b *building, o *own) error {
	if !a.genesis.CSE.Lab {
		return &refusal{onem2m.StatusOriginatorHasNoPrivilege, "only a lab network can be reset"}
	}
	b.record(proof.Entry{
		Operation: proof.OpReset, Originator: o.From, Target: a.genesis.CSE.BaseRI, Resource: a.genesis.CSE.BaseRI,
		Type: uint32(onem2m.TypeCSEBase), Status: uint32(onem2m.StatusDeleted), Auth: o.auth,
	}, o.Content)
	res, err := a.core.Reset(b.state, cse.Env{Time: b.time, NextIndex: b.nextIndex()})
	if err == nil {
		b.effects(res.Effects, o.auth)
	}
	return err
}
