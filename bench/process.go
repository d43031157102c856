package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Roles of processes that the benchmarks start from the same program.
const (
	RoleLoad = "load" // sends requests
	RoleBare = "bare" // the bare server
	RoleGrow = "grow" // the apply path alone, growing one ledger
	// RoleInstant is a server with the node's bindings and no ledger, RoleBareWS the bare WebSocket server.
	RoleInstant = "instant"
	RoleBareWS  = "bare-ws"
	// RoleInstantMQTT is the node's broker without a ledger, RoleCrowd many MQTT clients that do no good.
	RoleInstantMQTT = "instant-mqtt"
	RoleCrowd       = "crowd"
	// RoleInstantCoAP is the node's CoAP binding without a ledger.
	RoleInstantCoAP = "instant-coap"
)

// RunRole is what a process that the benchmarks started does, with its job on in and its result on out.
func RunRole(ctx context.Context, role string, in io.Reader, out io.Writer) error {
	switch role {
	case RoleLoad:
		return runLoad(ctx, in, out)
	case RoleGrow:
		return runGrow(ctx, in, out)
	case RoleInstant:
		return runInstant(ctx, in, out)
	case RoleBareWS:
		return runBareWS(ctx, in, out)
	case RoleInstantMQTT:
		return runInstantMQTT(ctx, in, out)
	case RoleInstantCoAP:
		return runInstantCoAP(ctx, in, out)
	}
	if job, ok := strings.CutPrefix(role, RoleCrowd+":"); ok {
		return runCrowd(ctx, job, in, out)
	}
	size, err := strconv.Atoi(strings.TrimPrefix(role, RoleBare+":"))
	if err != nil || !strings.HasPrefix(role, RoleBare) || size < 0 || size > maxResponse {
		return fmt.Errorf("the benchmarks have no role %q", role)
	}
	return runBare(ctx, in, out, size)
}

// Program says how to start this program again in the parts that the benchmarks measure.
type Program struct {
	Path string // of the executable
	// Arguments for: a process of the benchmarks' own; making a network in a folder; running its node; enrolling a
	// device at it, which prints its token.
	Role  func(role string) []string
	Init  func(dir string) []string
	Start func(dir string) []string
	Enrol func(dir, url, id string) []string
	// OperatorToken and Operator are the file of the operator's token in a data folder, and whom it speaks for.
	OperatorToken func(dir string) string
	Operator      string
	// Config is a data folder's configuration file.
	Config func(dir string) string
	// CA is a data folder's file with the certificates that its servers can be verified by.
	CA func(dir string) string
	// Lab are the arguments that run a lab network in a folder, with addresses for MQTT and CoAP.
	Lab func(dir, mqtt, coap string) []string
}

// stopTimeout is how long a process may take to end in order.
const stopTimeout = 30 * time.Second

// command prepares a process that is asked to end when ctx does. It has a process group of its own, so that an
// interrupt at the terminal reaches it through this process only, in order.
func (p *Program) command(ctx context.Context, args []string) (*exec.Cmd, *tail) {
	cmd := exec.CommandContext(ctx, p.Path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	stderr := new(tail)
	cmd.Stderr = stderr
	return cmd, stderr
}

// tail keeps the last of what a process writes.
type tail struct{ b []byte }

const tailBytes = 2048

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if n := len(t.b) - tailBytes; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

func commandError(what string, err error, stderr *tail) error {
	text := strings.TrimSpace(string(stderr.b))
	if text == "" {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w: %s", what, err, text)
}

// run runs a command to its end and returns what it printed.
func (p *Program) run(ctx context.Context, what string, args []string) ([]byte, error) {
	cmd, stderr := p.command(ctx, args)
	out, err := cmd.Output()
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, commandError(what, err, stderr)
	}
	return out, nil
}

// job runs a role: the job goes in as JSON, every line that comes out is decoded by each.
func (p *Program) job(ctx context.Context, role string, job any, each func(line []byte) error) error {
	in, err := json.Marshal(job)
	if err != nil {
		return err
	}
	cmd, stderr := p.command(ctx, p.Role(role))
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", role, err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && err == nil {
		err = each(lines.Bytes())
	}
	io.Copy(io.Discard, out)
	if e := cmd.Wait(); e != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return commandError(role, e, stderr)
	}
	return errors.Join(err, lines.Err())
}

func (p *Program) load(ctx context.Context, job loadJob) (res loadResult, err error) {
	err = p.job(ctx, RoleLoad, job, func(line []byte) error { return json.Unmarshal(line, &res) })
	return res, err
}

// server is a process that serves HTTP.
type server struct {
	cmd    *exec.Cmd
	addr   string
	stdin  io.Closer
	out    io.Reader
	stderr *tail
}

// serve starts a server and waits for the line that names its address.
func (p *Program) serve(ctx context.Context, args []string, address func(line string) (string, bool)) (*server, error) {
	cmd, stderr := p.command(ctx, args)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(args, " "), err)
	}
	s := &server{cmd: cmd, stdin: in, out: out, stderr: stderr}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := address(lines.Text()); ok {
			s.addr = addr
			go io.Copy(io.Discard, out)
			return s, nil
		}
	}
	err = s.stop()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil {
		err = errors.New("it ended without serving")
	}
	return nil, commandError("start "+strings.Join(args, " "), err, stderr)
}

// stop ends the server in order, or by force when it takes too long, and waits for it.
func (s *server) stop() error {
	s.stdin.Close()
	s.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended, which Wait tells
	force := time.AfterFunc(stopTimeout, func() { s.cmd.Process.Kill() })
	defer force.Stop()
	err := s.cmd.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return commandError("stop a server", err, s.stderr)
	}
	return nil
}

func (s *server) pid() int { return s.cmd.Process.Pid }

func (p *Program) bare(ctx context.Context, size int) (*server, error) {
	return p.serve(ctx, p.Role(fmt.Sprintf("%s:%d", RoleBare, size)), func(line string) (string, bool) { return line, true })
}

// reference starts a server that needs to be told nothing.
func (p *Program) reference(ctx context.Context, role string) (*server, error) {
	return p.serve(ctx, p.Role(role), func(line string) (string, bool) { return line, true })
}
