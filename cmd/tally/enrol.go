package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/node"
	"github.com/tallystick/tallystick/internal/qr"
)

type deviceEnrolCmd struct {
	remote
	Name         string        `arg:"" optional:"" name:"ae-id" help:"AE-ID of the device or application, beginning with C or S, or CSE-ID of another CSE, beginning with a slash."`
	Code         bool          `help:"Make a one-time code, shown as QR code and as URL, by which the device enrols itself (tally device join)." xor:"how"`
	PublicKey    string        `help:"File with the device's Ed25519 public key, 64 hex digits, to bind instead of a token." type:"path" placeholder:"FILE" xor:"how"`
	CSV          string        `help:"Enrol every line of a file: name, role, organisation, kind (token, key or code), valid until." name:"csv" type:"path" placeholder:"FILE" xor:"how"`
	Out          string        `help:"Folder for what --csv hands out." type:"path" placeholder:"FOLDER"`
	Role         string        `help:"What the credential may do besides what policies grant." default:"device" enum:"device,gateway,operator,organisation,node"`
	Organisation string        `help:"Organisation that the originator belongs to; if not that of the operator." placeholder:"NAME"`
	Until        string        `help:"Last day of the credential, or time in RFC 3339; without it the credential has no end." placeholder:"2027-12-31"`
	For          time.Duration `help:"How long a one-time code counts." default:"15m"`
	Reach        string        `help:"Address at which the device reaches the node, for the code." placeholder:"https://HOST:PORT"`
}

func (c *deviceEnrolCmd) Run(ctx context.Context, s *streams) error {
	until, err := parseUntil(c.Until)
	if err != nil {
		return err
	}
	if (c.Name == "") == (c.CSV == "") {
		return errors.New("name either one AE-ID or a file with --csv")
	}
	cl, err := c.connect()
	if err != nil {
		return err
	}
	switch {
	case c.CSV != "":
		return c.bulk(ctx, s, cl)
	case c.Code:
		return c.invite(ctx, s, cl, until)
	}
	req := node.EnrolRequest{Originator: c.Name, Role: c.Role, Organisation: c.Organisation, NotAfter: until}
	if c.PublicKey != "" {
		b, err := os.ReadFile(c.PublicKey)
		if err != nil {
			return fmt.Errorf("read the public key: %w", err)
		}
		req.PublicKey = strings.TrimSpace(string(b))
	}
	e, err := enrol(ctx, cl, req)
	if err != nil {
		return fmt.Errorf("enrol %s: %w", c.Name, err)
	}
	fmt.Fprintf(s.err, "Enrolled %s as %s; its key on the ledger is %s.", e.Originator, e.Role, e.Key)
	if e.Token != "" {
		fmt.Fprint(s.err, " The token is shown this once:")
		fmt.Fprintln(s.out, e.Token)
	}
	fmt.Fprintln(s.err)
	fmt.Fprint(s.out, e.Certificate)
	return nil
}

func enrol(ctx context.Context, cl *client.Client, req node.EnrolRequest) (e node.Enrolled, err error) {
	b, err := cl.API(ctx, http.MethodPost, node.Prefix+"/credentials", req)
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(b, &e)
}

// invite makes a code and shows it: the QR code and what is for people on standard error, the URL on standard output.
func (c *deviceEnrolCmd) invite(ctx context.Context, s *streams, cl *client.Client, until time.Time) error {
	v, out, err := c.invitation(ctx, cl, node.InviteRequest{
		Originator: c.Name, Role: c.Role, Organisation: c.Organisation, NotAfter: until, Seconds: int64(c.For / time.Second),
	})
	if err != nil {
		return fmt.Errorf("invite %s: %w", c.Name, err)
	}
	code, err := qr.Encode(v.String())
	if err != nil {
		return err
	}
	fmt.Fprint(s.err, code)
	fmt.Fprintf(s.err, "One-time code for %s as %s, until %s; its key on the ledger is %s.\n", out.Originator, out.Role, out.Until.Local().Format(time.DateTime), out.Key)
	fmt.Fprintf(s.err, "Code: %s\nOn the device: tally device join URL --out FOLDER, with this URL, which is shown this once:\n", out.Code)
	fmt.Fprintln(s.out, v)
	if u, err := url.Parse(v.URL); err == nil && (u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1") {
		fmt.Fprintln(s.err, "The address is this machine's own; for a device elsewhere say --reach https://HOST:PORT.")
	}
	return nil
}

func (c *deviceEnrolCmd) invitation(ctx context.Context, cl *client.Client, req node.InviteRequest) (*client.Invitation, *node.Invited, error) {
	b, err := cl.API(ctx, http.MethodPost, node.Prefix+"/invitations", req)
	if err != nil {
		return nil, nil, err
	}
	out := new(node.Invited)
	if err := json.Unmarshal(b, out); err != nil {
		return nil, nil, err
	}
	v := &client.Invitation{URL: out.URL, Code: out.Code}
	if c.Reach != "" {
		v.URL = c.Reach
	}
	if out.Pin != "" && strings.HasPrefix(v.URL, "https:") {
		if v.Pin, err = base64.RawURLEncoding.DecodeString(out.Pin); err != nil {
			return nil, nil, err
		}
	}
	return v, out, nil
}

// parseUntil reads a last day, in UTC, or a time.
func parseUntil(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return day.AddDate(0, 0, 1).Add(-time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("%q is neither a day such as 2027-12-31 nor a time such as 2027-12-31T12:00:00Z", s)
	}
	return t.UTC(), nil
}
