package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/node"
	"github.com/tallystick/tallystick/proof"
)

type demoCmd struct {
	Data     string        `help:"Data folder; a second run continues it." default:"./tally-data" type:"path"`
	HTTPS    string        `help:"Address to serve HTTP on over TLS: 127.0.0.1:7380, or the folder's own." placeholder:"HOST:PORT"`
	Live     time.Duration `help:"Pause between live readings at the end." default:"2s"`
	Readings int           `help:"Replay only so many readings of each sensor; 0 replays all." default:"0" placeholder:"N"`
	Exit     bool          `help:"Stop after the steps instead of going on with live data."`
	Verbose  bool          `help:"Log what the node does."`
}

// demo is one run of the command.
type demo struct {
	*demoCmd
	s       *streams
	node    *node.Node
	url     string
	devices []*device
	steps   int
}

func (c *demoCmd) Run(ctx context.Context, s *streams) error {
	d := &demo{demoCmd: c, s: s}
	err := d.run(ctx)
	if d.node != nil {
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			err = nil
		}
		fmt.Fprintln(s.out, "\nStopping: answering what is under way and making everything durable.")
		if e := d.node.Stop(context.WithoutCancel(ctx)); err == nil {
			err = e
		}
		if err == nil {
			fmt.Fprintf(s.out, "Stopped. Everything acknowledged is in %s; run tally demo again to continue.\n", d.show(c.Data))
		}
	}
	return err
}

func (d *demo) run(ctx context.Context) error {
	if err := d.start(ctx); err != nil {
		return err
	}
	// A node that fails ends the demo with its reason instead of that of the request which met it.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-d.node.Failed():
			cancel(fmt.Errorf("the node had to stop: %w; nothing that was acknowledged is lost", err))
		case <-ctx.Done():
		}
	}()
	err := d.tour(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

func (d *demo) tour(ctx context.Context) error {
	if err := d.enrol(ctx); err != nil {
		return err
	}
	if err := d.replay(ctx); err != nil {
		return err
	}
	if err := d.prove(ctx); err != nil {
		return err
	}
	d.next()
	if d.Exit {
		return nil
	}
	return d.live(ctx)
}

func (d *demo) step(format string, args ...any) {
	d.steps++
	fmt.Fprintf(d.s.out, "\n%d. %s\n", d.steps, fmt.Sprintf(format, args...))
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.s.out, "   "+format+"\n", args...)
}

// start makes or opens the network.
func (d *demo) start(ctx context.Context) error {
	fmt.Fprintln(d.s.out, "Tallystick demo: a oneM2M server whose every change is agreed, logged and provable.")
	if node.Exists(d.Data) {
		d.step("Continue the network in %s.", d.show(d.Data))
		if err := d.sameAddress(); err != nil {
			return err
		}
	} else {
		d.step("Make a network of one validator in %s.", d.show(d.Data))
		if err := node.Init(node.InitOptions{Dir: d.Data, HTTPS: d.HTTPS}); err != nil {
			return err
		}
	}
	level := slog.LevelError
	if d.Verbose {
		level = slog.LevelDebug
	}
	var err error
	d.node, err = node.Start(ctx, d.Data, slog.New(slog.NewTextHandler(d.s.err, &slog.HandlerOptions{Level: level})))
	if err != nil {
		d.node = nil
		return err
	}
	d.url = d.node.URL()
	h := d.node.App().Head()
	d.say("It serves oneM2M on %s and holds %d log entries at height %d.", d.url, h.LogSize, h.Height)
	d.say("The operator's key is in %s; there is no default password.", d.show(node.Operator(d.Data).Secret()))
	return nil
}

// sameAddress refuses an address for a folder that is set up for another one: what was printed before and what other
// commands read from the folder would no longer hold.
func (d *demo) sameAddress() error {
	cfg, err := node.LoadConfig(d.Data)
	if err != nil || d.HTTPS == "" || d.HTTPS == cfg.HTTPS {
		return err
	}
	return fmt.Errorf("%s is set up to serve on %s: to serve on %s, change https in its config.json", d.show(d.Data), cfg.URL(), d.HTTPS)
}

// prove shows a proof bundle verified, and refused after a flipped bit.
func (d *demo) prove(ctx context.Context) error {
	dev := d.devices[0]
	d.step("Prove one reading, offline.")
	bundle, err := dev.client.Proof(ctx, dev.readings()+"/la", 0)
	if err != nil {
		return fmt.Errorf("fetch a proof bundle: %w", err)
	}
	policyFile, err := os.ReadFile(node.PolicyPath(d.Data))
	if err != nil {
		return err
	}
	policy, err := proof.ParsePolicy(policyFile)
	if err != nil {
		return err
	}
	begin := time.Now()
	v, err := policy.Verify(bundle)
	if err != nil {
		return fmt.Errorf("the bundle does not verify: %w", err)
	}
	d.say("The bundle has %d bytes. Checked in %.2f ms with nothing but the policy file:", len(bundle), float64(time.Since(begin).Microseconds())/1000)
	d.say("  VALID: %s recorded", v.Entry.Originator)
	d.say("  %s", v.Payload)
	d.say("  at %s, entry %d of %d in the log %s,", time.UnixMicro(v.Entry.Time).UTC().Format(time.RFC3339), v.Index, v.Checkpoint.Size, v.Checkpoint.Origin)
	d.say("  cosigned by %s.", strings.Join(v.SignedBy, ", "))
	return d.forge(policy, bundle)
}

func (d *demo) forge(policy *proof.Policy, bundle []byte) error {
	b, err := proof.ParseBundle(bundle)
	if err != nil {
		return err
	}
	b.Payload[len(b.Payload)/2] ^= 1
	_, err = policy.Verify(b.Marshal())
	var step *proof.StepError
	if !errors.As(err, &step) {
		return fmt.Errorf("a forged bundle was not refused: %v", err)
	}
	d.say("Now one bit of the reading flipped:")
	d.say("  NOT VALID: the step %q failed:", step.Step)
	d.say("  %v", step.Err)
	return nil
}

// next prints commands that work when pasted.
func (d *demo) next() {
	dev := d.devices[0]
	tally := tallyCommand()
	data := ""
	if d.show(d.Data) != "./tally-data" {
		data = " --data " + d.show(d.Data)
	}
	d.step("Try it yourself, in another terminal in this folder:")
	for _, c := range [][2]string{
		{"the latest reading", fmt.Sprintf("curl -s --cacert %s -H \"Authorization: Bearer $(cat %s)\" -H 'X-M2M-Origin: %s' -H 'X-M2M-RI: 1' -H 'X-M2M-RVI: 4' %s/%s/la",
			d.show(node.CAPath(d.Data)), d.show(dev.tokenFile), dev.id, d.url, dev.readings())},
		{"a proof bundle of it", fmt.Sprintf("%s proof%s %s/la -o reading.proof", tally, data, dev.readings())},
		{"checked offline", fmt.Sprintf("%s verify reading.proof --policy %s", tally, d.show(node.PolicyPath(d.Data)))},
		{"everything on disk recomputed", tally + " fsck" + data},
		{"how the node is", tally + " status" + data},
	} {
		fmt.Fprintf(d.s.out, "\n   # %s\n   %s\n", c[0], c[1])
	}
}

// tallyCommand is how this program was started, as far as one can tell, to be pasted.
func tallyCommand() string {
	exe, err := os.Executable()
	if err != nil || strings.Contains(exe, "go-build") {
		return "go run ./cmd/tally"
	}
	if path, err := exec.LookPath("tally"); err == nil && path == exe {
		return "tally"
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, exe); err == nil && !strings.HasPrefix(rel, "..") {
			return "./" + rel
		}
	}
	return exe
}

// show shortens a path below the working folder.
func (d *demo) show(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
			return "./" + rel
		}
	}
	return path
}

// live goes on with readings as they would come, until the demo is interrupted.
func (d *demo) live(ctx context.Context) error {
	d.step("Live data goes on, one reading every %s; Ctrl-C ends it cleanly.", d.Live)
	for i := 0; ; i++ {
		dev := d.devices[i%len(d.devices)]
		rs, err := dev.sensor.Readings()
		if err != nil {
			return err
		}
		r := rs[i/len(d.devices)%len(rs)]
		r.Time = time.Now().UTC().Truncate(time.Second)
		begin := time.Now()
		if err := dev.send(ctx, r); err != nil {
			return err
		}
		took := time.Since(begin)
		h := d.node.App().Head()
		line := fmt.Sprintf("   %s  %-20s %8s %-5s committed in %4.1f ms at height %d", time.Now().Format(time.TimeOnly), dev.sensor.Name, r.Value, dev.sensor.Unit, float64(took.Microseconds())/1000, h.Height)
		if isTerminal(d.s.out) {
			fmt.Fprintf(d.s.out, "\r\033[K%s", line)
		} else {
			fmt.Fprintln(d.s.out, line)
		}
		select {
		case <-time.After(d.Live):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
