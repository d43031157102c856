package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/onem2m"
)

// node is a real node in a process and a folder of its own.
type node struct {
	*server
	dir     string
	tokens  [sensors]string
	clients [sensors]*client.Client
	next    [sensors]uint64 // readings sent so far
}

var ready = regexp.MustCompile(`on http://([^ ,]+)`)

// startNode makes a network of one node, starts it, and gives every sensor a token, an AE, a policy and a container.
// retainBlocks is the node's setting of that name, 0 for its default.
func (p *Program) startNode(ctx context.Context, dir string, retainBlocks int) (n *node, err error) {
	if _, err := p.run(ctx, "make a network", p.Init(dir)); err != nil {
		return nil, err
	}
	if retainBlocks > 0 {
		if err := configure(p.Config(dir), "retainBlocks", retainBlocks); err != nil {
			return nil, err
		}
	}
	n = &node{dir: dir}
	if err := n.start(ctx, p); err != nil {
		return nil, err
	}
	for i := range sensors {
		if err := n.enrol(ctx, p, i); err != nil {
			return nil, errors.Join(fmt.Errorf("enrol %s: %w", deviceID(i), err), n.stop())
		}
	}
	return n, nil
}

// start starts the node's process, the first time or again. Its address is another each time.
func (n *node) start(ctx context.Context, p *Program) (err error) {
	n.server, err = p.serveNode(ctx, p.Start(n.dir))
	return err
}

func (p *Program) serveNode(ctx context.Context, args []string) (*server, error) {
	return p.serve(ctx, args, func(line string) (string, bool) {
		if m := ready.FindStringSubmatch(line); m != nil {
			return m[1], true
		}
		return "", false
	})
}

// configure sets one value of a node's configuration file.
func configure(path, name string, value any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("configure the node: %w", err)
	}
	var c map[string]any
	if err := json.Unmarshal(b, &c); err != nil {
		return fmt.Errorf("configure the node: %s: %w", path, err)
	}
	c[name] = value
	if b, err = json.Marshal(c); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// startServing starts a node, in the folder name, that also serves the protocol of a field of its configuration.
func (b *Bench) startServing(ctx context.Context, name, field string, free func() (string, error)) (n *node, addr string, err error) {
	if addr, err = free(); err != nil {
		return nil, "", err
	}
	dir := filepath.Join(b.dir, name)
	if n, err = b.Program.startNode(ctx, dir, 0); err != nil {
		return nil, "", err
	}
	err = errors.Join(configure(b.Program.Config(dir), field, addr), n.stop())
	if err == nil {
		err = n.start(ctx, &b.Program)
	}
	if err != nil {
		return nil, "", err
	}
	return n, addr, nil
}

// freeTCP gives an address that nobody listens on: what a node serves besides HTTP, its next start has to know.
func freeTCP() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func freeUDP() (string, error) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return c.LocalAddr().String(), c.Close()
}

func (n *node) url() string { return "http://" + n.addr }

func (n *node) enrol(ctx context.Context, p *Program, sensor int) error {
	out, err := p.run(ctx, "enrol", p.Enrol(n.dir, n.url(), deviceID(sensor)))
	if err != nil {
		return err
	}
	n.tokens[sensor] = strings.TrimSpace(string(out))
	c := client.New(n.url(), deviceID(sensor), n.tokens[sensor], 4)
	n.clients[sensor] = c
	return register(sensor, func(parent string, ty onem2m.ResourceType, content string) error {
		_, err := c.Create(ctx, parent, ty, json.RawMessage(content))
		return err
	})
}

// register makes a sensor's AE, access control policy and container.
func register(sensor int, create func(parent string, ty onem2m.ResourceType, content string) error) error {
	ae := "tally/" + aeName(sensor)
	for _, r := range []struct {
		parent  string
		ty      onem2m.ResourceType
		content string
	}{
		{"tally", onem2m.TypeAE, `{"m2m:ae":{"rn":"` + aeName(sensor) + `","api":"Nbench.tallystick","rr":false,"srv":["3","4"]}}`},
		{ae, onem2m.TypeACP, `{"m2m:acp":{"rn":"policy","pv":{"acr":[{"acor":["` + deviceID(sensor) + `"],"acop":63}]},` +
			`"pvs":{"acr":[{"acor":["` + deviceID(sensor) + `"],"acop":63}]}}}`},
		{ae, onem2m.TypeContainer, `{"m2m:cnt":{"rn":"readings","acpi":["` + ae + `/policy"]}}`},
	} {
		if err := create(r.parent, r.ty, r.content); err != nil {
			return fmt.Errorf("create a resource of type %d below %s: %w", r.ty, r.parent, err)
		}
	}
	return nil
}

// close ends the node's clients and the node.
func (n *node) close() error {
	for _, c := range n.clients {
		if c != nil {
			c.Close()
		}
	}
	return n.stop()
}

// operator connects as the operator.
func (n *node) operator(p *Program) (*client.Client, error) {
	token, err := os.ReadFile(p.OperatorToken(n.dir))
	if err != nil {
		return nil, fmt.Errorf("read the operator's token: %w", err)
	}
	return client.New(n.url(), p.Operator, strings.TrimSpace(string(token)), 1), nil
}

func (n *node) policy(ctx context.Context) ([]byte, error) {
	return n.clients[0].API(ctx, http.MethodGet, "/-/policy", nil)
}

// load sends a job's requests to the node, readings where the job before left off.
func (n *node) load(ctx context.Context, p *Program, job loadJob) (loadResult, error) {
	job.Addr, job.Tokens, job.Next = n.addr, n.tokens, n.next
	res, err := p.load(ctx, job)
	if err == nil {
		n.next = res.Next
	}
	return res, err
}
