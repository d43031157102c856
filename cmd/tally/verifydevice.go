package main

import (
	"fmt"
	"io"
	"time"

	"github.com/tallystick/tallystick/proof"
)

// printDevice says what the device itself signed, and by which key.
func printDevice(w io.Writer, d *proof.Device, enrolment *proof.Verified) {
	r := &d.Request
	what := "this"
	if !d.Direct {
		what = "the request that brought this along"
	}
	until := time.Unix(r.Until, 0).UTC().Format(time.RFC3339)
	fmt.Fprintf(w, "signed\t%s, by the device's own key, as %s of %s, good until %s\n", what, r.Operation, shown(r.To), until)
	if enrolment != nil {
		fmt.Fprintf(w, "key\t%x, bound to %s by entry %d\n", d.Public, shown(r.From), enrolment.Index)
	} else {
		fmt.Fprintf(w, "key\t%x; whose it is says the bundle of its enrolment (--enrolment)\n", d.Public)
	}
}
