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
)

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
		Handler: instantDoor{}, Plain: ingest.New(ingest.Options{Door: instantDoor{}, Base: "tally"}), Live: emptyLog{}, CSEID: "/tally", CSEName: "tally", Dir: dir,
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
