package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// runBareWS is the bare WebSocket server's process: it does the least a server can do with the usual means. It reads a
// message, parses it as JSON, drops it and answers. It prints its address and ends when in does.
func runBareWS(ctx context.Context, in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start the bare WebSocket server: %w", err)
	}
	s := &http.Server{Handler: http.HandlerFunc(bareWS)}
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

func bareWS(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"oneM2M.json"}})
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx := context.Background()
	for {
		_, text, err := c.Read(ctx)
		if err != nil {
			return
		}
		var req struct {
			ID      string          `json:"rqi"`
			Content json.RawMessage `json:"pc"`
		}
		if err := json.Unmarshal(text, &req); err != nil {
			return
		}
		if err := c.Write(ctx, websocket.MessageText, []byte(`{"rsc":2001,"rqi":"`+req.ID+`","rvi":"4"}`)); err != nil {
			return
		}
	}
}
