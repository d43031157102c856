package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/internal/node"
)

type deviceCmd struct {
	Enrol  deviceEnrolCmd  `cmd:"" help:"Bind a new token to an AE-ID and print it, once."`
	Revoke deviceRevokeCmd `cmd:"" help:"End a token for good."`

	Quarantine deviceQuarantineCmd `cmd:"" help:"Shut an originator out, with all that its credentials speak for, until it is released."`
	Release    deviceReleaseCmd    `cmd:"" help:"End a quarantine."`
}

type deviceEnrolCmd struct {
	remote
	ID   string `arg:"" name:"ae-id" help:"AE-ID of the device or application, beginning with C or S, or CSE-ID of another CSE, beginning with a slash."`
	Role string `help:"What the token may do: device (what policies grant) or operator." default:"device" enum:"device,operator"`
}

func (c *deviceEnrolCmd) Run(ctx context.Context, s *streams) error {
	cl, err := c.connect()
	if err != nil {
		return err
	}
	b, err := cl.API(ctx, http.MethodPost, node.Prefix+"/credentials", ledger.OwnRequest{Originator: c.ID, Role: c.Role})
	if err != nil {
		return fmt.Errorf("enrol %s: %w", c.ID, err)
	}
	var e node.Enrolled
	if err := json.Unmarshal(b, &e); err != nil {
		return fmt.Errorf("enrol %s: %w", c.ID, err)
	}
	fmt.Fprintf(s.err, "Enrolled %s as %s; its key on the ledger is %s. The token is shown this once:\n", e.Originator, e.Role, e.Key)
	fmt.Fprintln(s.out, e.Token)
	return nil
}

type deviceRevokeCmd struct {
	remote
	Key string `arg:"" help:"The key's ID as enrolment printed it: 16 hex digits."`
}

func (c *deviceRevokeCmd) Run(ctx context.Context, s *streams) error {
	cl, err := c.connect()
	if err != nil {
		return err
	}
	if _, err := cl.API(ctx, http.MethodDelete, node.Prefix+"/credentials/"+c.Key, nil); err != nil {
		return fmt.Errorf("revoke %s: %w", c.Key, err)
	}
	fmt.Fprintf(s.out, "Revoked %s. The node refuses it from now on.\n", c.Key)
	return nil
}
