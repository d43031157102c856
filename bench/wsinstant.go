package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"

	httpbinding "github.com/tallystick/tallystick/internal/binding/http"
	wsbinding "github.com/tallystick/tallystick/internal/binding/ws"
)

// runInstant is the process of the reference for bindings: the node's own WebSocket binding without a ledger behind it.
// It prints its address and ends when in does.
func runInstant(ctx context.Context, in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start the server without a ledger: %w", err)
	}
	b := wsbinding.New(wsbinding.Options{Handler: instant{}})
	defer b.Close(ctx)
	s := httpbinding.NewServer(b.Wrap(http.NotFoundHandler()), slog.New(slog.DiscardHandler))
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	go func() {
		io.Copy(io.Discard, in)
		s.Close()
	}()
	fmt.Fprintln(out, l.Addr())
	if err := s.Serve(l); err != http.ErrServerClosed {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
