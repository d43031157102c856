package bench

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/coder/websocket"
)

// runBareWS is the bare WebSocket server's process: it does the least a server can do with the usual means. It reads a
// message, parses it as JSON, drops it and answers. It prints its address and ends when in does.
func runBareWS(ctx context.Context, in io.Reader, out io.Writer) error {
	return serveHTTP(ctx, &http.Server{Handler: http.HandlerFunc(bareWS)}, in, out)
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
