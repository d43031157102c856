// Command tally runs a Tallystick node and the tools around it.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/tallystick/tallystick/internal/node"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // the command could not do its work
	exitUsage   = 2 // the command line is wrong
	exitFound   = 3 // verify or fsck found something wrong
	exitRunning = 4 // another process uses the data folder
)

// errFound marks the errors of verify and fsck that are findings, not failures.
var errFound = errors.New("")

type cli struct {
	Demo    demoCmd    `cmd:"" help:"Make a network of one node, replay real sensor readings into it, prove one of them."`
	Network networkCmd `cmd:"" help:"Make a network."`
	Lab     labCmd     `cmd:"" help:"Make and run a lab network for trying clients and for conformance tests: nobody needs a credential."`
	Node    nodeCmd    `cmd:"" help:"Run a node."`
	Device  deviceCmd  `cmd:"" help:"Enrol, list, revoke and quarantine devices, applications and operators."`
	Rights  rightsCmd  `cmd:"" help:"Explain what an originator may do, and why."`
	Status  statusCmd  `cmd:"" help:"Tell how a running node is."`
	Events  eventsCmd  `cmd:"" help:"Tell what a running node noticed of unusual behaviour."`
	Proof   proofCmd   `cmd:"" help:"Fetch the proof bundle of a resource."`
	Verify  verifyCmd  `cmd:"" help:"Verify a proof bundle offline."`
	Audit   auditCmd   `cmd:"" help:"Show the audit trail: refusals, enrolments, changes of rights, administration; export it with proofs."`
	Erase   eraseCmd   `cmd:"" help:"Erase the payload of a reading; its proof stays valid."`
	Fsck    fsckCmd    `cmd:"" help:"Recompute everything from the bytes on disk."`
	Bench   benchCmd   `cmd:"" help:"Measure this machine: a node side by side with references in the same run."`

	Propose   proposeCmd   `cmd:"" help:"Propose an administrative act, in a network in which such acts take two operators."`
	Proposals proposalsCmd `cmd:"" help:"List the proposals that stand."`
	Approve   approveCmd   `cmd:"" help:"Approve what another operator has proposed, which does it."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends the process at once, which loses nothing committed
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// streams is what commands print to.
type streams struct {
	out io.Writer
	err io.Writer
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("tally"),
		kong.Description("Tallystick: an IoT platform whose readings, commands and rights no single server can forge."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&streams{stdout, stderr}),
		kong.UsageOnError(),
	)
	if err != nil {
		fmt.Fprintln(stderr, "tally:", err)
		return exitFailure
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if exit >= 0 {
		return exit
	}
	if err != nil {
		fmt.Fprintf(stderr, "tally: %v\nRun tally --help to see the commands.\n", err)
		return exitUsage
	}
	err = k.Run()
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFound):
		return exitFound
	case errors.Is(err, node.ErrRunning):
		fmt.Fprintln(stderr, "tally:", err)
		return exitRunning
	default:
		fmt.Fprintf(stderr, "tally: %v%s\n", err, advice(err))
		return exitFailure
	}
}

// advice says what to do about an error that tells only what the network had to say.
func advice(err error) string {
	switch {
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return "; name the network's ca.pem with --ca, or its data folder with --data"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "; is the node running? Start it with tally node start"
	}
	return ""
}
