package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/node"
)

type deviceListCmd struct {
	remote
	Organisation *string `help:"Only those of an organisation; an empty one stands for the network itself." placeholder:"NAME"`
	JSON         bool    `help:"Print JSON, an originator a line." name:"json"`
}

func (c *deviceListCmd) Run(ctx context.Context, s *streams) error {
	cl, err := c.connect()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	if !c.JSON {
		fmt.Fprintln(w, "ORIGINATOR\tORGANISATION\tROLE\tKIND\tKEY\tSTATE\tENTRY")
	}
	for after := ""; ; {
		q := url.Values{"limit": {"1000"}}
		if after != "" {
			q.Set("after", after)
		}
		if c.Organisation != nil {
			q.Set("organisation", *c.Organisation)
		}
		page, err := devices(ctx, cl, q)
		if err != nil {
			return fmt.Errorf("list the originators: %w", err)
		}
		for i := range page.Devices {
			if c.JSON {
				if err := json.NewEncoder(s.out).Encode(&page.Devices[i]); err != nil {
					return err
				}
			} else {
				listDevice(w, &page.Devices[i])
			}
		}
		if after = page.Next; after == "" {
			return nil
		}
	}
}

func listDevice(w io.Writer, d *node.RegisteredDevice) {
	organisation := d.Organisation
	if organisation == "" {
		organisation = "-"
	}
	for i := range d.Credentials {
		cred := &d.Credentials[i]
		state := stateOf(cred)
		if d.Quarantined != "" {
			state += ", in quarantine"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\n", d.Originator, organisation, cred.Role, cred.Kind, cred.Key, state, cred.Entry)
	}
}

// soon is how long before its end a credential is pointed out.
const soon = 30 * 24 * time.Hour

func stateOf(c *node.RegisteredCredential) string {
	switch left := time.Until(c.NotAfter); {
	case c.State != "valid" || c.NotAfter.IsZero():
		return c.State
	case left < soon:
		return fmt.Sprintf("valid, ENDS IN %d DAYS", int(left/(24*time.Hour)))
	}
	return "valid until " + c.NotAfter.Format(time.DateOnly)
}

type deviceShowCmd struct {
	remote
	Name string `arg:"" name:"ae-id" help:"The originator."`
	JSON bool   `help:"Print JSON." name:"json"`
}

func (c *deviceShowCmd) Run(ctx context.Context, s *streams) error {
	cl, err := c.connect()
	if err != nil {
		return err
	}
	d, err := registered(ctx, cl, c.Name)
	if err != nil {
		return fmt.Errorf("show %s: %w", c.Name, err)
	}
	if c.JSON {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		return e.Encode(d)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "originator\t%s\n", d.Originator)
	if d.Organisation != "" {
		fmt.Fprintf(w, "organisation\t%s\n", d.Organisation)
	}
	if d.Quarantined != "" {
		fmt.Fprintf(w, "in quarantine\t%s\n", d.Quarantined)
	}
	for i := range d.Credentials {
		cred := &d.Credentials[i]
		fmt.Fprintf(w, "\t\n%s\t%s\n", cred.Kind, cred.Key)
		fmt.Fprintf(w, "role\t%s\n", cred.Role)
		fmt.Fprintf(w, "state\t%s\n", stateOf(cred))
		if !cred.NotBefore.IsZero() {
			fmt.Fprintf(w, "valid from\t%s\n", cred.NotBefore.Format(time.RFC3339))
		}
		if !cred.NotAfter.IsZero() {
			fmt.Fprintf(w, "valid to\t%s\n", cred.NotAfter.Format(time.RFC3339))
		}
		if cred.PublicKey != "" {
			fmt.Fprintf(w, "public key\t%s\n", cred.PublicKey)
		}
		fmt.Fprintf(w, "enrolled by\tentry %d (tally proof --index %[1]d)\n", cred.Entry)
		if cred.Revocation != 0 {
			fmt.Fprintf(w, "revoked by\tentry %d\n", cred.Revocation)
		}
	}
	return nil
}

// registered asks for one originator.
func registered(ctx context.Context, cl *client.Client, name string) (*node.RegisteredDevice, error) {
	page, err := devices(ctx, cl, url.Values{"originator": {name}})
	if err != nil {
		return nil, err
	}
	if len(page.Devices) != 1 {
		return nil, errors.New("the node's answer cannot be read")
	}
	return &page.Devices[0], nil
}

func devices(ctx context.Context, cl *client.Client, q url.Values) (*node.RegistryPage, error) {
	b, err := cl.API(ctx, http.MethodGet, node.Prefix+"/devices?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	page := new(node.RegistryPage)
	return page, json.Unmarshal(b, page)
}
