// Package scenario runs the tally binary as a process of its own for the end-to-end scenarios: what a user has, real
// files and real signals included.
package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/proof"
)

var (
	buildOnce sync.Once
	binary    string
	errBuild  error
)

// Tally returns the path of the tally binary, built once a test process.
func Tally(tb testing.TB) string {
	tb.Helper()
	buildOnce.Do(func() {
		dir, err := os.MkdirTemp("", "tally-scenario-")
		if err != nil {
			errBuild = err
			return
		}
		binary = filepath.Join(dir, "tally")
		cmd := exec.Command("go", "build", "-o", binary, "github.com/tallystick/tallystick/cmd/tally")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			errBuild = fmt.Errorf("build tally: %w\n%s", err, out)
		}
	})
	if errBuild != nil {
		tb.Fatal(errBuild)
	}
	return binary
}

// Cleanup removes what Tally built; for TestMain.
func Cleanup() {
	if binary != "" {
		os.RemoveAll(filepath.Dir(binary))
	}
}

// Result is how a command ended.
type Result struct {
	Code   int
	Stdout string
	Stderr string
}

func (r Result) String() string {
	return fmt.Sprintf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
}

// Run runs a tally command to its end, for a minute at most.
func Run(tb testing.TB, args ...string) Result {
	tb.Helper()
	binary := Tally(tb) // building it may take longer
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		tb.Fatalf("tally %s: %v", strings.Join(args, " "), err)
	}
	if ctx.Err() != nil {
		tb.Fatalf("tally %s did not end within a minute:\n%s%s", strings.Join(args, " "), &out, &errs)
	}
	return Result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// FreePort returns an address of the loopback interface with a port that nobody listens on, neither over TCP nor over
// UDP. It is below those that the system gives to outgoing connections, so that none of them takes it before its
// listener does, and other test processes start elsewhere.
func FreePort(tb testing.TB) string {
	tb.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10000+(os.Getpid()%200*100+int(lastPort.Add(1)))%20000)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		l.Close()
		u, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		u.Close()
		return addr
	}
	tb.Fatal("no free port among a thousand")
	return ""
}

var lastPort atomic.Int32

// Network is a data folder of one node.
type Network struct {
	Dir  string
	Addr string // of HTTP
	MQTT string // of the MQTT broker
	CoAP string // of CoAP over UDP
}

// Init makes a network in dir.
func Init(tb testing.TB, dir string) *Network {
	tb.Helper()
	n := &Network{Dir: dir, Addr: FreePort(tb), MQTT: FreePort(tb), CoAP: FreePort(tb)}
	if r := Run(tb, "network", "init", "--data", dir, "--http", n.Addr, "--mqtt", n.MQTT, "--coap", n.CoAP); r.Code != 0 {
		tb.Fatalf("network init: %s", r)
	}
	return n
}

// URL is where the node serves HTTP.
func (n *Network) URL() string { return "http://" + n.Addr }

// Configure changes a value of config.json.
func (n *Network) Configure(tb testing.TB, key string, value any) {
	tb.Helper()
	path := filepath.Join(n.Dir, "config.json")
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	c := make(map[string]any)
	if err := json.Unmarshal(b, &c); err != nil {
		tb.Fatal(err)
	}
	c[key] = value
	if b, err = json.Marshal(c); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		tb.Fatal(err)
	}
}

// Token returns the operator's token.
func (n *Network) Token(tb testing.TB) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(n.Dir, "keys", "operator.token"))
	if err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// Operator returns a client with the operator's token.
func (n *Network) Operator(tb testing.TB) *client.Client {
	return client.New(n.URL(), "Coperator", n.Token(tb), 4)
}

// Policy returns the network's policy.
func (n *Network) Policy(tb testing.TB) *proof.Policy {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(n.Dir, "policy.txt"))
	if err != nil {
		tb.Fatal(err)
	}
	p, err := proof.ParsePolicy(b)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// Enrol gives an originator a token of its own.
func (n *Network) Enrol(tb testing.TB, originator string) *client.Client {
	tb.Helper()
	return client.New(n.URL(), originator, n.EnrolToken(tb, originator), 4)
}

// EnrolToken makes a token for an originator.
func (n *Network) EnrolToken(tb testing.TB, originator string) string {
	tb.Helper()
	op := n.Operator(tb)
	defer op.Close()
	b, err := op.API(tb.Context(), http.MethodPost, "/-/credentials", map[string]string{"originator": originator})
	if err != nil {
		tb.Fatalf("enrol %s: %v", originator, err)
	}
	var e struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(b, &e); err != nil {
		tb.Fatal(err)
	}
	return e.Token
}

// Process is a running node.
type Process struct {
	cmd    *exec.Cmd
	out    *output
	exited chan struct{}
}

// output collects what a process prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// Launch runs tally node start and does not wait until it is ready. The process is killed when the test ends.
func (n *Network) Launch(tb testing.TB) *Process {
	tb.Helper()
	p := &Process{cmd: exec.Command(Tally(tb), "node", "start", "--data", n.Dir), out: new(output), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.exited)
	}()
	tb.Cleanup(func() {
		p.Kill()
		if found := handedOut.FindString(p.Output()); found != "" {
			tb.Errorf("the node logged a secret: %.12s...", found)
		}
	})
	return p
}

// handedOut is the form of what nodes hand out and must never print: tokens, one-time codes, keys.
var handedOut = regexp.MustCompile(`tally_[A-Za-z0-9_-]{43}|\b[0-9A-HJKMNP-TV-Z]{5}(-[0-9A-HJKMNP-TV-Z]{5}){3}\b|PRIVATE KEY`)

// Start runs tally node start and waits until the node takes requests.
func (n *Network) Start(tb testing.TB) *Process {
	tb.Helper()
	p := n.Launch(tb)
	if !p.Ready() {
		tb.Fatalf("the node did not start:\n%s", p.Output())
	}
	return p
}

// Ready waits until the node takes requests, and says false when it ends instead or is not ready within a minute.
func (p *Process) Ready() bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for {
		if strings.Contains(p.Output(), "Node ready") {
			return true
		}
		select {
		case <-p.exited:
			return false
		case <-limit:
			return false
		case <-tick.C:
		}
	}
}

// Output returns what the process printed so far.
func (p *Process) Output() string { return p.out.String() }

// Kill ends the process as a power cut would: at once, with SIGKILL.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// Wait waits until the process ends by itself and returns its exit code, -1 after the timeout.
func (p *Process) Wait(timeout time.Duration) int {
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(timeout):
		return -1
	}
}

// Stop asks the process to end in order and returns its exit code, -1 when it does not end.
func (p *Process) Stop() int {
	p.cmd.Process.Signal(syscall.SIGTERM)
	return p.Wait(30 * time.Second)
}

// Fsck requires that everything on disk is well.
func (n *Network) Fsck(tb testing.TB) {
	tb.Helper()
	if r := Run(tb, "fsck", "--data", n.Dir); r.Code != 0 {
		tb.Fatalf("fsck: %s", r)
	}
}
