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
	"github.com/tallystick/tallystick/onem2m"
)

// instant is a handler that says that everything is created, at once.
type instant struct{}

func (instant) Known(string) bool { return true }

func (instant) Do(_ context.Context, req *onem2m.Request, _ string) *onem2m.Response {
	return &onem2m.Response{Status: onem2m.StatusCreated, RequestID: req.RequestID, ReleaseVersion: req.ReleaseVersion, To: req.From}
}

func (h instant) Start(ctx context.Context, req *onem2m.Request, token string, done func(*onem2m.Response)) {
	done(h.Do(ctx, req, token))
}

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
