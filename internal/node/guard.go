package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/guard"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
)

// openGuard makes the guard, which the listeners need before there is anything to guard.
func (n *Node) openGuard() (err error) {
	n.guard, err = guard.New(guard.Options{
		Quotas: n.cfg.Quotas, Policy: n.cfg.Behaviour, Quarantine: n.quarantineByPolicy, Log: n.log,
	})
	return err
}

// maxEvidence is what the ledger takes as evidence, in bytes.
const maxEvidence = 2048

// quarantineByPolicy orders a quarantine on this node's own account.
func (n *Node) quarantineByPolicy(ctx context.Context, originator, reason, evidence string) error {
	if len(evidence) > maxEvidence {
		evidence = strings.ToValidUTF8(evidence[:maxEvidence], "")
	}
	resp := n.ingress.Quarantine(ctx, ledger.QuarantineRequest{Originator: originator, Reason: reason, Evidence: evidence})
	already := resp.Status == onem2m.StatusConflict && n.app.Quarantined(originator) != nil
	if !resp.Status.Success() && !already {
		return errors.New(debugText(resp))
	}
	return nil
}

// maxShownEvents bounds the answer of GET /-/events.
const maxShownEvents = 1000

// serveEvents tells what the detectors noticed, newest first, to operators: an array of guard.Event. Operators of an
// organisation see those about its originators.
func (n *Node) serveEvents(w http.ResponseWriter, r *http.Request) {
	c := n.asOperator(w, r)
	if c == nil {
		return
	}
	view := n.app.View()
	defer view.Close()
	shown := []guard.Event{}
	for _, e := range n.guard.Events(maxShownEvents) {
		organisation := ""
		if e.Originator != "" {
			var err error
			if organisation, err = identity.OrganisationOf(view, e.Originator); err != nil {
				refuse(w, http.StatusInternalServerError, err.Error())
				return
			}
		}
		if c.MayActFor(organisation) {
			shown = append(shown, e)
		}
	}
	writeJSON(w, shown)
}

// lockedOut answers a request without a valid credential from an address that has sent too many of those.
func (n *Node) lockedOut(w http.ResponseWriter, r *http.Request) bool {
	why, after := n.ingress.Refusal(evidence(r))
	if why == nil || why.Status != onem2m.StatusServiceSubscriptionLimitsExceeded {
		return false
	}
	w.Header().Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	refuse(w, http.StatusTooManyRequests, fmt.Sprint(why.Message))
	return true
}
