package main

import (
	"fmt"

	"github.com/tallystick/tallystick/internal/node"
)

type networkCmd struct {
	Init networkInitCmd `cmd:"" help:"Make a network of one validator in a data folder."`
}

type networkInitCmd struct {
	Data   string `help:"Data folder." default:"./tally-data" type:"path"`
	Name   string `help:"Name of the member that runs the node." default:"node1"`
	Origin string `help:"Name of the log in checkpoints, like a URL without its scheme; drawn at random when not given."`
	HTTP   string `help:"Address to serve HTTP on." default:"127.0.0.1:7380"`
}

func (c *networkInitCmd) Run(s *streams) error {
	if err := node.Init(node.InitOptions{Dir: c.Data, Name: c.Name, Origin: c.Origin, HTTP: c.HTTP}); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "Made a network of one validator in %s.\n", c.Data)
	fmt.Fprintf(s.out, "The operator's token is in %s. Whoever holds it may enrol and erase.\n", node.OperatorTokenPath(c.Data))
	fmt.Fprintf(s.out, "Auditors need %s and nothing else.\n", node.PolicyPath(c.Data))
	fmt.Fprintf(s.out, "Start it: tally node start --data %s\n", c.Data)
	return nil
}
