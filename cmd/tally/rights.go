package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/tallystick/tallystick/internal/node"
)

type rightsCmd struct {
	Explain rightsExplainCmd `cmd:"" help:"Say whether an originator may do something, and which rule decides."`
}

type rightsExplainCmd struct {
	remote
	Originator string   `arg:"" help:"AE-ID or CSE-ID of who would send the request."`
	Operation  string   `arg:"" help:"create, retrieve, update, delete, notify, discovery, or policies (to change acpi)."`
	Resource   string   `arg:"" help:"Address of the resource in any form, for example tally/meter/data."`
	Type       string   `help:"For create: type of the resource to create, by name or number." placeholder:"TYPE"`
	Role       []string `help:"Role-ID that the request would name (rids)." placeholder:"NAME@ISSUER"`
	TokenID    []string `help:"Token-ID that the request would present (tids)." placeholder:"NAME@ISSUER"`
	Source     string   `help:"IP address from which the request would come." placeholder:"ADDRESS"`
	JSON       bool     `help:"Print JSON."`
}

// rightsAnswer is the part of the answer that is printed.
type rightsAnswer struct {
	Originator, Organisation, Operation, To, Resource, Path, Type, Child string
	Allowed                                                              bool
	Because                                                              string
	Steps                                                                []rightsStep
	Notes                                                                []string
}

type rightsStep struct {
	About, Path, Set, Says, Why string
	Rule                        int
	Allows                      bool
}

func (c *rightsExplainCmd) Run(ctx context.Context, s *streams) error {
	cl, err := c.connect()
	if err != nil {
		return err
	}
	v := url.Values{"originator": {c.Originator}, "operation": {c.Operation}, "resource": {c.Resource}, "role": c.Role, "token": c.TokenID}
	if c.Type != "" {
		v.Set("type", c.Type)
	}
	if c.Source != "" {
		v.Set("source", c.Source)
	}
	b, err := cl.API(ctx, http.MethodGet, node.Prefix+"/rights?"+v.Encode(), nil)
	if err != nil {
		return fmt.Errorf("explain what %s may do: %w", c.Originator, err)
	}
	if c.JSON {
		_, err := s.out.Write(b)
		return err
	}
	var a rightsAnswer
	if err := json.Unmarshal(b, &a); err != nil {
		return fmt.Errorf("explain what %s may do: %w", c.Originator, err)
	}
	a.print(s.out)
	return nil
}

func (a *rightsAnswer) print(w io.Writer) {
	verdict := "NO"
	if a.Allowed {
		verdict = "YES"
	}
	what := a.Operation
	if a.Child != "" {
		what += " of " + a.Child
	}
	fmt.Fprintf(w, "%s. %s, %s on %s: %s.\n", verdict, a.Originator, what, a.To, a.Because)
	if a.Organisation != "" {
		fmt.Fprintf(w, "%s belongs to the organisation %s.\n", a.Originator, a.Organisation)
	}
	if a.Resource != "" {
		fmt.Fprintf(w, "The resource is %s %s, %s.\n", a.Type, a.Resource, a.Path)
	}
	for i := range a.Steps {
		a.Steps[i].print(w)
	}
	for _, n := range a.Notes {
		fmt.Fprintf(w, "Note: %s.\n", n)
	}
}

func (s *rightsStep) print(w io.Writer) {
	mark := " "
	if s.Allows {
		mark = "*"
	}
	switch {
	case s.Rule > 0:
		says := s.Says
		if says == "" {
			says = "(not for you to see)"
		}
		fmt.Fprintf(w, "%s     %2d  %s: %s\n", mark, s.Rule, says, s.Why)
	default:
		name := s.About
		if s.Path != "" {
			name += " (" + s.Path + ")"
		}
		if s.Set != "" {
			name = strings.TrimSpace(name + " " + s.Set)
		}
		fmt.Fprintf(w, "%s  %s\n", mark, strings.TrimPrefix(name+": "+s.Why, ": "))
	}
}
