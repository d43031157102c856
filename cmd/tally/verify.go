package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/proof"
)

type verifyCmd struct {
	Bundle string `arg:"" help:"Bundle file." type:"existingfile"`
	Policy string `required:"" help:"The network's policy file, from somebody you trust." type:"existingfile"`

	Enrolment string `help:"Bundle of the entry that bound the device's key to its originator, for a request that the device signed." type:"existingfile" placeholder:"BUNDLE"`
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
	v, err := verifyFile(s, policy, c.Bundle)
	if err != nil {
		return err
	}
	var enrolment *proof.Verified
	if c.Enrolment != "" {
		if v.Device == nil {
			return fmt.Errorf("--enrolment: the bundle shows no signature by a device")
		}
		if enrolment, err = verifyFile(s, policy, c.Enrolment); err != nil {
			return err
		}
		if err := v.Device.CheckEnrolment(enrolment); err != nil {
			fmt.Fprintf(s.out, "NOT VALID. The device's key: %v\n", err)
			return errFound
		}
	}
	printVerified(s, v, enrolment)
	return nil
}

// verifyFile verifies a bundle file, and says so when it is not valid.
func verifyFile(s *streams, policy *proof.Policy, file string) (*proof.Verified, error) {
	bundle, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the bundle: %w", err)
	}
	v, err := policy.Verify(bundle)
	var step *proof.StepError
	if errors.As(err, &step) {
		fmt.Fprintf(s.out, "NOT VALID. The step %q failed: %v\n", step.Step, step.Err)
		return nil, errFound
	}
	return v, err
}

func printVerified(s *streams, v, enrolment *proof.Verified) {
	e := &v.Entry
	fmt.Fprintln(s.out, "VALID.")
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "what\t%s %s\n", e.Operation, e.Resource)
	if e.Target != "" && e.Target != e.Resource {
		fmt.Fprintf(w, "where\t%s\n", e.Target)
	}
	fmt.Fprintf(w, "by\t%s%s\n", e.Originator, authName(e.Auth))
	if v.Device != nil {
		printDevice(w, v.Device, enrolment)
	}
	fmt.Fprintf(w, "when\t%s, height %d\n", time.UnixMicro(e.Time).UTC().Format("2006-01-02T15:04:05.000000Z"), e.Height)
	switch {
	case v.Erased:
		fmt.Fprintf(w, "payload\tnot shown: erased, or withheld from whoever fetched this; what was recorded, by whom and when holds\n")
	case e.Operation == proof.OpAudit && printDenials(w, v.Payload):
	case json.Valid(v.Payload):
		fmt.Fprintf(w, "payload\t%s\n", v.Payload)
	default:
		fmt.Fprintf(w, "payload\t%q\n", v.Payload)
	}
	fmt.Fprintf(w, "log\t%s, entry %d of %d\n", v.Checkpoint.Origin, v.Index, v.Checkpoint.Size)
	fmt.Fprintf(w, "published\t%s, cosigned by %s\n", v.Published.Format(time.RFC3339), strings.Join(v.SignedBy, ", "))
}

// printDenials prints what a node said that it refused; false when it cannot be read.
func printDenials(w io.Writer, payload []byte) bool {
	a, err := ledger.DecodeAudit(payload)
	if err != nil {
		return false
	}
	at := func(micro int64) string { return time.UnixMicro(micro).UTC().Format(time.RFC3339) }
	fmt.Fprintf(w, "refused\tby node %s, %s to %s by its clock\n", shown(a.Node), at(a.Since), at(a.Until))
	for _, row := range auditRows(a) {
		fmt.Fprintf(w, "%d times\t%s: %s\n", row.count, shown(row.who), shown(row.what))
	}
	return true
}

func authName(a proof.Auth) string {
	switch a.Method {
	case proof.AuthCode:
		return fmt.Sprintf(" (one-time code of invitation %x, checked by every node)", a.Key)
	case proof.AuthKey:
		return fmt.Sprintf(" (key %x, proven to the accepting node, which vouches for it)", a.Key)
	case proof.AuthSignature:
		return fmt.Sprintf(" (signature with key %x, counter %d; verified by every validator)", a.Key, a.Counter)
	case proof.AuthToken:
		return fmt.Sprintf(" (token %x, vouched for by the accepting node)", a.Key)
	default:
		return ""
	}
}
