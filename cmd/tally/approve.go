package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/internal/node"
	"github.com/tallystick/tallystick/onem2m"
)

type proposeCmd struct {
	Enrol   proposeEnrolCmd   `cmd:"" help:"Propose a credential, and print its token, once: it counts when another operator has approved it."`
	Revoke  proposeRevokeCmd  `cmd:"" help:"Propose to end a credential."`
	Erase   proposeEraseCmd   `cmd:"" help:"Propose to erase the payload of a reading."`
	Release proposeReleaseCmd `cmd:"" help:"Propose to end a quarantine."`
	Request proposeRequestCmd `cmd:"" help:"Propose a oneM2M request, such as a change of the CSEBase's policy."`
}

// propose sends a proposal and tells its number.
func (r *remote) propose(ctx context.Context, s *streams, req node.ProposalRequest, content any) error {
	cl, err := r.connect()
	if err != nil {
		return err
	}
	if req.Content, err = json.Marshal(content); err != nil {
		return err
	}
	b, err := cl.API(ctx, http.MethodPost, node.Prefix+"/proposals", req)
	if err != nil {
		return fmt.Errorf("propose to %s: %w", req.Operation, err)
	}
	var p node.Proposed
	if err := json.Unmarshal(b, &p); err != nil {
		return fmt.Errorf("propose to %s: %w", req.Operation, err)
	}
	fmt.Fprintf(s.err, "Proposal %d stands for %d days. Another operator approves it with: tally approve %d\n", p.Proposal, int(ledger.MaxProposal/(24*time.Hour)), p.Proposal)
	if p.Enrolled != nil && p.Enrolled.Token != "" {
		fmt.Fprintf(s.err, "The token of %s, its key on the ledger is to be %s, is shown this once:\n", p.Enrolled.Originator, p.Enrolled.Key)
		fmt.Fprintln(s.out, p.Enrolled.Token)
		return nil
	}
	fmt.Fprintln(s.out, p.Proposal)
	return nil
}

type proposeEnrolCmd struct {
	remote
	ID           string `arg:"" name:"ae-id" help:"AE-ID or CSE-ID that the credential is for."`
	Role         string `help:"What it may do: operator, gateway or device." default:"operator" enum:"operator,gateway,device"`
	Organisation string `help:"Organisation that it belongs to, if not the operator's own." placeholder:"NAME"`
}

func (c *proposeEnrolCmd) Run(ctx context.Context, s *streams) error {
	return c.propose(ctx, s, node.ProposalRequest{Operation: "enrol"}, node.EnrolRequest{Originator: c.ID, Role: c.Role, Organisation: c.Organisation})
}

type proposeRevokeCmd struct {
	remote
	Key string `arg:"" help:"The key's ID as enrolment printed it: 16 hex digits."`
}

func (c *proposeRevokeCmd) Run(ctx context.Context, s *streams) error {
	return c.propose(ctx, s, node.ProposalRequest{Operation: "revoke"}, ledger.OwnRequest{Key: c.Key})
}

type proposeEraseCmd struct {
	remote
	Index uint64 `arg:"" help:"Index of the reading's log entry, as tally verify prints it."`
}

func (c *proposeEraseCmd) Run(ctx context.Context, s *streams) error {
	return c.propose(ctx, s, node.ProposalRequest{Operation: "erase"}, ledger.OwnRequest{Index: c.Index})
}

type proposeReleaseCmd struct {
	remote
	Originator string `arg:"" help:"Who is in quarantine."`
	Reason     string `help:"Why, for the audit trail." placeholder:"TEXT"`
}

func (c *proposeReleaseCmd) Run(ctx context.Context, s *streams) error {
	return c.propose(ctx, s, node.ProposalRequest{Operation: "release"}, ledger.QuarantineRequest{Originator: c.Originator, Reason: c.Reason})
}

type proposeRequestCmd struct {
	remote
	Operation string `arg:"" help:"create, update or delete." enum:"create,update,delete"`
	To        string `arg:"" help:"Address of the resource, of the parent for create."`
	Content   string `arg:"" optional:"" help:"File with the content as JSON; - for standard input."`
	Type      int    `help:"Resource type to create." placeholder:"N"`
}

func (c *proposeRequestCmd) Run(ctx context.Context, s *streams) error {
	var content json.RawMessage
	if c.Content != "" {
		name := c.Content
		if name == "-" {
			name = os.Stdin.Name()
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read the content: %w", err)
		}
		content = b
	}
	req := node.ProposalRequest{Operation: c.Operation, To: c.To, Type: onem2m.ResourceType(c.Type)}
	if content == nil {
		return c.propose(ctx, s, req, nil)
	}
	return c.propose(ctx, s, req, content)
}

type proposalsCmd struct {
	remote
}

func (c *proposalsCmd) Run(ctx context.Context, s *streams) error {
	cl, err := c.connect()
	if err != nil {
		return err
	}
	b, err := cl.API(ctx, http.MethodGet, node.Prefix+"/proposals", nil)
	if err != nil {
		return fmt.Errorf("list the proposals: %w", err)
	}
	var all []ledger.Proposal
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("list the proposals: %w", err)
	}
	if len(all) == 0 {
		fmt.Fprintln(s.out, "No proposal stands.")
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PROPOSAL\tBY\tUNTIL\tWHAT")
	for i := range all {
		p := &all[i]
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", p.ID, shown(p.By), time.UnixMicro(p.Until).UTC().Format(time.RFC3339), shown(actText(&p.Act)))
	}
	return w.Flush()
}

// actText is an act in one line.
func actText(act *ledger.Act) string {
	text := act.Operation.String()
	if act.To != "" {
		text += " " + act.To
	}
	if act.Type != 0 {
		text += " (type " + strconv.Itoa(int(act.Type)) + ")"
	}
	var content bytes.Buffer
	if json.Compact(&content, act.Content) == nil && content.Len() > 0 && content.String() != "null" {
		text += " " + content.String()
	}
	return text
}

type approveCmd struct {
	remote
	Proposal uint64 `arg:"" help:"Number of the proposal, as tally proposals prints it."`
}

func (c *approveCmd) Run(ctx context.Context, s *streams) error {
	cl, err := c.connect()
	if err != nil {
		return err
	}
	if _, err := cl.API(ctx, http.MethodPost, fmt.Sprintf("%s/proposals/%d/approve", node.Prefix, c.Proposal), nil); err != nil {
		return fmt.Errorf("approve proposal %d: %w", c.Proposal, err)
	}
	fmt.Fprintf(s.out, "Proposal %d is approved and done.\n", c.Proposal)
	return nil
}
