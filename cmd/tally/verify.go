package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

type verifyCmd struct {
	Bundle string `arg:"" help:"Bundle file." type:"existingfile"`
	Policy string `required:"" help:"The network's policy file, from somebody you trust." type:"existingfile"`
}

func (c *verifyCmd) Run(s *streams) error {
	b, err := os.ReadFile(c.Policy)
	if err != nil {
		return fmt.Errorf("read the policy: %w", err)
	}
	policy, err := proof.ParsePolicy(b)
	if err != nil {
		return fmt.Errorf("read the policy %s: %w", c.Policy, err)
	}
	bundle, err := os.ReadFile(c.Bundle)
	if err != nil {
		return fmt.Errorf("read the bundle: %w", err)
	}
	v, err := policy.Verify(bundle)
	var step *proof.StepError
	if errors.As(err, &step) {
		fmt.Fprintf(s.out, "NOT VALID. The step %q failed: %v\n", step.Step, step.Err)
		return errFound
	}
	if err != nil {
		return err
	}
	printVerified(s, v)
	return nil
}

func printVerified(s *streams, v *proof.Verified) {
	e := &v.Entry
	fmt.Fprintln(s.out, "VALID.")
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "what\t%s %s\n", operationName(e.Operation), e.Resource)
	if e.Target != "" && e.Target != e.Resource {
		fmt.Fprintf(w, "where\t%s\n", e.Target)
	}
	fmt.Fprintf(w, "by\t%s%s\n", e.Originator, authName(e.Auth))
	fmt.Fprintf(w, "when\t%s, height %d\n", time.UnixMicro(e.Time).UTC().Format("2006-01-02T15:04:05.000000Z"), e.Height)
	switch {
	case v.Erased:
		fmt.Fprintf(w, "payload\tnot shown: erased, or withheld from whoever fetched this; what was recorded, by whom and when holds\n")
	case json.Valid(v.Payload):
		fmt.Fprintf(w, "payload\t%s\n", v.Payload)
	default:
		fmt.Fprintf(w, "payload\t%q\n", v.Payload)
	}
	fmt.Fprintf(w, "log\t%s, entry %d of %d\n", v.Checkpoint.Origin, v.Index, v.Checkpoint.Size)
	fmt.Fprintf(w, "published\t%s, cosigned by %s\n", v.Published.Format(time.RFC3339), strings.Join(v.SignedBy, ", "))
}

func operationName(op proof.Operation) string {
	switch op {
	case proof.OpGenesis:
		return "GENESIS"
	case proof.OpEnrol:
		return "ENROL"
	case proof.OpInvite:
		return "INVITE"
	case proof.OpRevoke:
		return "REVOKE"
	case proof.OpErase:
		return "ERASE"
	case proof.OpReset:
		return "RESET"
	case proof.OpDeliver:
		return "DELIVER"
	case proof.OpAudit:
		return "AUDIT"
	case proof.OpQuarantine:
		return "QUARANTINE"
	case proof.OpRelease:
		return "RELEASE"
	}
	switch onem2m.Operation(op) {
	case onem2m.Create:
		return "CREATE"
	case onem2m.Update:
		return "UPDATE"
	case onem2m.Delete:
		return "DELETE"
	}
	return fmt.Sprintf("operation %d", op)
}

func authName(a proof.Auth) string {
	switch a.Method {
	case proof.AuthCode:
		return fmt.Sprintf(" (one-time code of invitation %x, checked by every node)", a.Key)
	case proof.AuthKey:
		return fmt.Sprintf(" (key %x, proven to the accepting node, which vouches for it)", a.Key)
	case proof.AuthToken:
		return fmt.Sprintf(" (token %x, vouched for by the accepting node)", a.Key)
	default:
		return ""
	}
}
