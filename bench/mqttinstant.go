package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"github.com/tallystick/tallystick/internal/binding"
	mqttbinding "github.com/tallystick/tallystick/internal/binding/mqtt"
	"github.com/tallystick/tallystick/internal/ingest"
	"github.com/tallystick/tallystick/onem2m"
)

// instantMQTT stands for the ledger: everything is stored, at once, and nothing is ever to be read.
type instantMQTT struct{ instant }

func (instantMQTT) Claim(string, string) (string, bool)              { return "Cbench", true }
func (instantMQTT) Originator(string) (string, error)                { return "Cbench", nil }
func (instantMQTT) Labelled(string, string) (bool, *onem2m.Response) { return false, nil }

func (h instantMQTT) DoTogether(ctx context.Context, reqs []*onem2m.Request, token string) []onem2m.Response {
	out := make([]onem2m.Response, len(reqs))
	for i, req := range reqs {
		out[i] = *h.Do(ctx, req, token)
	}
	return out
}

// emptyLog is a log that stays empty.
type emptyLog struct{}

func (emptyLog) Head() uint64           { return 0 }
func (emptyLog) Grown() <-chan struct{} { return nil }

func (emptyLog) Read(from uint64, _ int, _ func(string) bool) ([]binding.Reading, uint64, bool, error) {
	return nil, from, false, nil
}

func (emptyLog) Reading(uint64) (r binding.Reading, ok bool, err error) { return r, false, nil }

// runInstantMQTT is the process of the reference for MQTT: the node's own broker without a ledger behind it. It prints
// its address and ends when in does.
func runInstantMQTT(ctx context.Context, in io.Reader, out io.Writer) error {
	dir, err := os.MkdirTemp("", "tally-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := mqttbinding.New(mqttbinding.Options{
		Handler: instantMQTT{}, Plain: ingest.New(ingest.Options{Door: instantMQTT{}, Base: "tally"}), Live: emptyLog{}, CSEID: "/tally", CSEName: "tally", Dir: dir,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start the broker without a ledger: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { b.Close() })
	defer stop()
	go func() {
		io.Copy(io.Discard, in)
		b.Close()
	}()
	fmt.Fprintln(out, l.Addr())
	return b.Serve(l)
}
