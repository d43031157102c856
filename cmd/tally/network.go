package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tallystick/tallystick/internal/node"
)

type networkCmd struct {
	Init networkInitCmd `cmd:"" help:"Make a network of one validator in a data folder."`
}

type networkInitCmd struct {
	Data   string `help:"Data folder." default:"./tally-data" type:"path"`
	Name   string `help:"Name of the member that runs the node." default:"node1"`
	Origin string `help:"Name of the log in checkpoints, like a URL without its scheme; drawn at random when not given."`
	HTTPS  string `help:"Address to serve HTTP on over TLS: 127.0.0.1:7380, or none with --http." placeholder:"ADDRESS"`
	MQTTS  string `help:"Address to serve MQTT on over TLS, such as 127.0.0.1:7384; none when not given." placeholder:"ADDRESS"`
	CoAPS  string `help:"Address to serve CoAP on over DTLS, such as 127.0.0.1:5684; none when not given." name:"coaps" placeholder:"ADDRESS"`
	HTTP   string `help:"Address to serve HTTP on in plain text." placeholder:"ADDRESS"`
	MQTT   string `help:"Address to serve MQTT on in plain text." placeholder:"ADDRESS"`
	CoAP   string `help:"Address to serve CoAP on over UDP in plain text." name:"coap" placeholder:"ADDRESS"`
	cseFlags
	Lab         bool     `help:"Make a lab network, in which originators need no credential: for trying clients and for tests, on this machine only."`
	Approvals   int      `help:"How many operators an administrative act takes: 1 or 2. It cannot be changed later." default:"1" placeholder:"N"`
	MayRegister []string `help:"CSEs that may register in a lab network." placeholder:"/CSE-ID,..."`
}

// cseFlags say how the CSE of a new network is known.
type cseFlags struct {
	CSEID     string        `help:"CSE-ID." name:"cse-id" default:"/tally"`
	CSEName   string        `help:"Resource name of the CSEBase." name:"cse-name" default:"tally"`
	BaseRI    string        `help:"Resource ID of the CSEBase." name:"base-ri" default:"cb"`
	SPID      string        `help:"SP-ID; the log's name up to its first slash when not given." name:"sp-id" placeholder:"FQDN"`
	Admin     string        `help:"AE-ID of the administrator." default:"Coperator"`
	Registrar registrarFlag `help:"CSE at which this one registers, and by which it reaches others." placeholder:"/CSE-ID=URL"`
	Mobius    bool          `name:"compat.mobius" help:"Admit clients written for Mobius, such as nCube."`
}

// registrarFlag is a registrar in the form /CSE-ID=URL.
type registrarFlag node.Registrar

// UnmarshalText parses the flag.
func (r *registrarFlag) UnmarshalText(text []byte) error {
	id, url, ok := strings.Cut(string(text), "=")
	if !ok || len(id) < 2 || id[0] != '/' || !strings.Contains(url, "://") {
		return fmt.Errorf("want /CSE-ID=URL, such as /in=http://127.0.0.1:7380")
	}
	r.CSEID, r.URL = id, url
	return nil
}

func (c *cseFlags) identity() node.Identity {
	return node.Identity{SPID: c.SPID, CSEID: c.CSEID, Name: c.CSEName, BaseRI: c.BaseRI, Admin: c.Admin}
}

func (c *networkInitCmd) Run(s *streams) error {
	approvals := 0
	switch {
	case c.Approvals == 2 && c.Lab:
		return errors.New("a lab network, in which anybody is anybody, cannot ask for two operators")
	case c.Approvals == 2:
		approvals = 2
	case c.Approvals != 1:
		return fmt.Errorf("--approvals is 1 or 2, not %d", c.Approvals)
	}
	err := node.Init(node.InitOptions{
		Dir: c.Data, Approvals: approvals, Name: c.Name, Origin: c.Origin, HTTPS: c.HTTPS, HTTP: c.HTTP, MQTTS: c.MQTTS, MQTT: c.MQTT, CoAPS: c.CoAPS, CoAP: c.CoAP,
		CSE: c.identity(), Mobius: c.Mobius, Registrar: node.Registrar(c.Registrar), Lab: c.Lab, MayRegister: c.MayRegister,
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "Made a network of one validator in %s.\n", c.Data)
	fmt.Fprintf(s.out, "What the operator proves itself with is in %s. Whoever holds it may enrol and erase.\n", node.Operator(c.Data).Secret())
	if approvals == 2 {
		fmt.Fprintf(s.out, "Administrative acts take two operators. What the second, %s, proves itself with is in %s: give it to somebody else, and keep no copy here.\n",
			node.SecondOperator(c.Admin), node.SecondOperatorFiles(c.Data).Secret())
	}
	if c.HTTPS != "" || c.HTTP == "" && !c.Lab || c.MQTTS != "" || c.CoAPS != "" {
		fmt.Fprintf(s.out, "Clients trust %s to know the node by; no secret is in it.\n", node.CAPath(c.Data))
	}
	fmt.Fprintf(s.out, "Auditors need %s and nothing else.\n", node.PolicyPath(c.Data))
	lab := ""
	if c.Lab {
		lab = " --lab"
		fmt.Fprintln(s.out, "It is a lab network: anybody who reaches it is who he says he is. Never put anything into it that matters.")
	}
	fmt.Fprintf(s.out, "Start it: tally node start%s --data %s\n", lab, c.Data)
	return nil
}
