package bench

import (
	"context"
	"errors"
	"fmt"
	"io"

	coapbinding "github.com/tallystick/tallystick/internal/binding/coap"
	"github.com/tallystick/tallystick/internal/ingest"
)

// runInstantCoAP is the process of the reference for CoAP: the node's own binding without a ledger behind it. It prints
// its address and ends when in does.
func runInstantCoAP(ctx context.Context, in io.Reader, out io.Writer) error {
	conn, err := coapbinding.ListenUDP("127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start the CoAP server without a ledger: %w", err)
	}
	s := coapbinding.New(instantDoor{}, coapbinding.Options{Plain: ingest.New(ingest.Options{Door: instantDoor{}, Base: "tally"})})
	served := make(chan error, 1)
	go func() { served <- s.Serve(conn) }()
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, in)
		close(ended)
	}()
	fmt.Fprintln(out, conn.LocalAddr())
	select {
	case <-ctx.Done():
	case <-ended:
	}
	return errors.Join(s.Shutdown(ctx), <-served)
}
