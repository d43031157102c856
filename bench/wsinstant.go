package bench

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	httpbinding "github.com/tallystick/tallystick/internal/binding/http"
	wsbinding "github.com/tallystick/tallystick/internal/binding/ws"
)

// runInstant is the process of the reference for bindings: the node's own WebSocket binding without a ledger behind it.
// It prints its address and ends when in does.
func runInstant(ctx context.Context, in io.Reader, out io.Writer) error {
	b := wsbinding.New(wsbinding.Options{Handler: instant{}})
	defer b.Close(ctx)
	return serveHTTP(ctx, httpbinding.NewServer(b.Wrap(http.NotFoundHandler()), slog.New(slog.DiscardHandler), nil), in, out)
}
