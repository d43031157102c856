package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tallystick/tallystick/internal/node"
)

type labCmd struct {
	Data string `help:"Data folder; a second run continues it. Without one the network is gone when the command ends." placeholder:"DIR" type:"path"`
	HTTP string `help:"Address to serve HTTP on." default:"127.0.0.1:7380"`
	CoAP string `help:"Address to serve CoAP on over UDP, such as 127.0.0.1:5683; none when not given." name:"coap" placeholder:"ADDRESS"`
	MQTT string `help:"Address to serve MQTT on, such as 127.0.0.1:7383; none when not given." placeholder:"ADDRESS"`
	cseFlags
	MayRegister []string `help:"CSEs that may register without a credential." placeholder:"/CSE-ID,..."`
	Verbose     bool     `help:"Log what consensus does."`
}

func (c *labCmd) Run(ctx context.Context, s *streams) (err error) {
	dir := c.Data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "tally-lab-"); err != nil {
			return fmt.Errorf("make a data folder: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if !node.Exists(dir) {
		err := node.Init(node.InitOptions{Dir: dir, HTTP: c.HTTP, MQTT: c.MQTT, CoAP: c.CoAP, CSE: c.identity(), Mobius: c.Mobius, Registrar: node.Registrar(c.Registrar), Lab: true, MayRegister: c.MayRegister})
		if err != nil {
			return err
		}
	}
	fmt.Fprintf(s.out, "The operator's token is in %s.\n", node.Operator(dir).Token)
	return (&nodeStartCmd{Data: dir, Verbose: c.Verbose, Lab: true}).Run(ctx, s)
}

// warnLab says loudly what a lab network is.
func warnLab(s *streams) {
	fmt.Fprint(s.err, `
********************************************************************************
*  LAB NETWORK. NOBODY IS AUTHENTICATED: every client on this machine is whom   *
*  it says it is, the administrator included. It listens on this machine only.  *
*  Use it to try clients and to run conformance tests, and for nothing else.    *
********************************************************************************

`)
}
