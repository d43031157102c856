package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// TestVerifyDevice: what the device itself signed is said, with the key, and another entry is no enrolment of it.
func TestVerifyDevice(t *testing.T) {
	const vectors = "../../proof/testdata/vectors/"
	var out bytes.Buffer
	c := verifyCmd{Bundle: vectors + "good-signed.bundle", Policy: vectors + "policy-4.txt"}
	if err := c.Run(&streams{out: &out, err: &out}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"VALID.\n", "counter 17; verified by every validator", "signed     this, by the device's own key, as CREATE of tally/truck/temp, good until 2026-09-21T14:14:20Z", "--enrolment",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	out.Reset()
	c.Enrolment = vectors + "good.bundle"
	if err := c.Run(&streams{out: &out, err: &out}); !errors.Is(err, errFound) || !strings.Contains(out.String(), "NOT VALID. The device's key: the entry is not of an enrolment") {
		t.Errorf("%v: %s", err, &out)
	}
	c.Bundle = vectors + "good.bundle"
	if err := c.Run(&streams{out: &out, err: &out}); err == nil || !strings.Contains(err.Error(), "no signature by a device") {
		t.Errorf("a bundle without a signature: %v", err)
	}
}
