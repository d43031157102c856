package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"

	"github.com/tallystick/tallystick/internal/node"
)

type deviceCmd struct {
	Enrol  deviceEnrolCmd  `cmd:"" help:"Bind a credential to an AE-ID: a new token, which is printed once, a key, or whatever a one-time code is traded for."`
	Join   deviceJoinCmd   `cmd:"" help:"Trade a one-time code for a credential: on the device."`
	List   deviceListCmd   `cmd:"" help:"List the originators that were ever enrolled, with their credentials."`
	Show   deviceShowCmd   `cmd:"" help:"Tell all about one of them."`
	Revoke deviceRevokeCmd `cmd:"" help:"End a credential, a code or all credentials of an AE-ID for good."`

	PSK devicePSKCmd `cmd:"" name:"psk" help:"Derive the pre-shared key of DTLS, and its identity, from a token."`

	Quarantine deviceQuarantineCmd `cmd:"" help:"Shut an originator out, with all that its credentials speak for, until it is released."`
	Release    deviceReleaseCmd    `cmd:"" help:"End a quarantine."`

	Quarantined deviceQuarantinedCmd `cmd:"" help:"List who is in quarantine, by whom and why."`
}

type deviceRevokeCmd struct {
	remote
	What string `arg:"" name:"key-or-name" help:"ID of a credential or of a code that was not used yet, 16 hex digits; or an AE-ID, all of whose credentials end."`
}

func (c *deviceRevokeCmd) Run(ctx context.Context, s *streams) error {
	cl, err := c.connect()
	if err != nil {
		return err
	}
	keys := []string{c.What}
	if id, err := hex.DecodeString(c.What); err != nil || len(id) != 8 {
		d, err := registered(ctx, cl, c.What)
		if err != nil {
			return fmt.Errorf("revoke %s: %w", c.What, err)
		}
		keys = nil
		for _, cred := range d.Credentials {
			if cred.State != "revoked" {
				keys = append(keys, cred.Key)
			}
		}
		if len(keys) == 0 {
			return fmt.Errorf("revoke %s: all of its credentials are revoked already", c.What)
		}
	}
	for _, key := range keys {
		if _, err := cl.API(ctx, http.MethodDelete, node.Prefix+"/credentials/"+key, nil); err != nil {
			return fmt.Errorf("revoke %s: %w", key, err)
		}
		fmt.Fprintf(s.out, "Revoked %s. Every node refuses it from now on.\n", key)
	}
	return nil
}
