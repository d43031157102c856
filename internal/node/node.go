// Package node wires one node together: log, tree, ledger, consensus, ingress, bindings and notifications. It is the
// only place that knows all of them.
package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/types"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tallystick/tallystick/internal/binding"
	httpbinding "github.com/tallystick/tallystick/internal/binding/http"
	mqttbinding "github.com/tallystick/tallystick/internal/binding/mqtt"
	wsbinding "github.com/tallystick/tallystick/internal/binding/ws"
	"github.com/tallystick/tallystick/internal/guard"
	"github.com/tallystick/tallystick/internal/ingest"
	"github.com/tallystick/tallystick/internal/ingress"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/internal/notify"
	"github.com/tallystick/tallystick/internal/pki"
	"github.com/tallystick/tallystick/internal/polling"
)

// Node is a running node.
type Node struct {
	dir       string
	cfg       Config
	log       *slog.Logger
	unlock    func() error
	app       *ledger.App
	consensus *ledger.Consensus
	validator *ledger.Validator
	ingress   *ingress.Ingress
	plain     *ingest.Ingest
	mqtt      *mqttbinding.Client
	broker    *mqttbinding.Broker // nil when the configuration has no address for it
	mqttPlain net.Listener
	mqttTLS   net.Listener
	deliverer *notify.Deliverer
	guard     *guard.Guard
	web       *httpbinding.Client
	sockets   *wsbinding.Binding
	senders   map[string]binding.Client // by scheme of the address
	peers     map[string]string         // tokens to show to other CSEs, by CSE-ID
	polling   *polling.Broker
	listener  net.Listener
	secure    net.Listener // for HTTPS, nil when the configuration names no address
	coap      coap
	lab       bool
	tls       *certificate   // nil when the configuration names none
	authority *pki.Authority // nil in a lab network that encrypts nothing
	// certificate gives the one of everything that is served over TLS and DTLS; nil when nothing is.
	certificate func() *tls.Certificate
	server      *http.Server
	disk        *disk
	tester      *upperTester       // of a lab network, else nil
	checking    sync.Mutex         // held by the check under way
	stop        context.CancelFunc // ends everything that runs beside requests
	running     sync.WaitGroup

	failure chan error // receives the first error after which the node cannot go on
	once    sync.Once
}

// Start starts the node in a data folder. When it returns without an error the node takes requests. It refuses a lab
// network.
func Start(ctx context.Context, dir string, logger *slog.Logger) (*Node, error) {
	return start(ctx, dir, logger, false)
}

// StartLab starts the node of a lab network, which must listen on this machine only.
func StartLab(ctx context.Context, dir string, logger *slog.Logger) (*Node, error) {
	return start(ctx, dir, logger, true)
}

func start(ctx context.Context, dir string, logger *slog.Logger, lab bool) (*Node, error) {
	cfg, err := LoadConfig(dir)
	if err != nil {
		return nil, err
	}
	origin, err := checkLab(dir, &cfg, lab)
	if err != nil {
		return nil, err
	}
	n := &Node{dir: dir, cfg: cfg, log: logger, lab: lab, failure: make(chan error, 1)}
	if err := n.start(ctx, origin); err != nil {
		n.shutdown(context.WithoutCancel(ctx)) // the first error says more than what closing half a node gives
		return nil, err
	}
	return n, nil
}

func (n *Node) start(ctx context.Context, origin string) (err error) {
	if n.unlock, err = lock(filepath.Join(n.dir, lockFile)); err != nil {
		return err
	}
	if err := n.prepareTLS(origin); err != nil {
		return err
	}
	if err := n.openGuard(); err != nil {
		return err
	}
	if n.cfg.HTTP != "" {
		if n.listener, err = n.listen("http", n.cfg.HTTP); err != nil {
			return err
		}
	}
	if n.cfg.HTTPS != "" {
		if n.secure, err = n.listen("https", n.cfg.HTTPS); err != nil {
			return err
		}
	}
	if err := n.listenMQTT(); err != nil {
		return err
	}
	if err := n.listenCoAP(); err != nil {
		return err
	}
	if n.disk, err = watchDisk(n.dir, n.cfg.MinFreeBytes); err != nil {
		return err
	}
	running, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.running.Go(func() { n.disk.watch(running) })
	if err := n.openLedger(ctx); err != nil {
		return err
	}
	n.running.Go(func() { n.deliverer.Run(running) })
	n.running.Go(func() { n.warnOfExpiry(running) })
	if n.cfg.Registrar.CSEID != "" {
		n.running.Go(func() { n.keepRegistered(running) })
	}
	n.serve()
	n.serveMQTT()
	n.serveCoAP()
	return nil
}

func (n *Node) openLedger(ctx context.Context) error {
	nodeKey, err := loadKey(n.dir, nodeKeyFile)
	if err != nil {
		return err
	}
	validatorKey, err := loadKey(n.dir, validatorFile)
	if err != nil {
		return err
	}
	peerKey, err := loadKey(n.dir, peerKeyFile)
	if err != nil {
		return err
	}
	genesis, err := types.GenesisDocFromFile(filepath.Join(n.dir, genesisFile))
	if err != nil {
		return fmt.Errorf("read the genesis document: %w", err)
	}
	n.app, err = ledger.Open(n.dir, vfs.Default, ledger.Options{
		Name: n.cfg.Name, Key: nodeKey, ChainID: genesis.ChainID, Genesis: genesis.AppState, Logger: n.log,
		RetainBlocks: n.cfg.RetainBlocks,
		Fill:         func(max int, own []uint64) []byte { return n.ingress.Fill(max, own) },
		Committed:    func(h uint64, r []ledger.Result) { n.ingress.Committed(h, r) },
		Fatal:        n.fail,
	})
	if err != nil {
		return err
	}
	n.plain = ingest.New(ingest.Options{Door: door{n}, Base: n.app.Genesis().CSE.Name})
	if n.peers, err = n.cfg.readPeerTokens(n.dir); err != nil {
		return err
	}
	if n.senders, err = n.clients(); err != nil {
		return err
	}
	n.deliverer = notify.New(notify.Options{
		Outbox: n.app.Outbox(), Resolve: n.resolve, Subscribed: n.subscribed, Clients: n.senders,
		Count: n.app.CountSent, Log: n.log,
	})
	n.ingress = ingress.New(ingress.Options{
		Polling: n.polling,
		App:     n.app,
		Submit:  func(tx []byte) error { return n.consensus.Submit(tx) },
		Outside: n.deliverer,
		Refuse:  n.disk.refuse,
		Guard:   n.guard,
		Settle:  n.settle(),
	})
	chain := filepath.Join(n.dir, ledger.ChainDir)
	if err := os.MkdirAll(chain, 0o700); err != nil {
		return err
	}
	signState := filepath.Join(chain, signStateFile)
	if !exists(signState) && !exists(filepath.Join(chain, "data")) { // consensus never ran here
		if err := ledger.CreateValidator(vfs.Default, signState); err != nil {
			return err
		}
	}
	if n.validator, err = ledger.OpenValidator(vfs.Default, signState, cmted25519.PrivKey(validatorKey)); err != nil {
		return err
	}
	n.consensus, err = ledger.StartConsensus(n.app, ledger.ConsensusOptions{
		Dir: chain, Genesis: genesis, Validator: n.validator,
		NodeKey: &p2p.NodeKey{PrivKey: cmted25519.PrivKey(peerKey)}, Logger: n.log, Fatal: n.fail,
	})
	if err != nil {
		return err
	}
	return n.awaitPublished(ctx)
}

// awaitPublished waits until everything committed is published: on a new network its first entries, after a crash the
// blocks executed again. Else the node could serve an older checkpoint than it did before the crash, and a monitor
// would take that for a log that forgot something.
func (n *Node) awaitPublished(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for p := n.app.Published(); p == nil || p.Size < n.app.Head().LogSize; p = n.app.Published() {
		select {
		case <-tick.C:
		case err := <-n.failure:
			return err
		case <-ctx.Done():
			return fmt.Errorf("wait until the log is published: %w", ctx.Err())
		}
	}
	return nil
}

// listen opens the listener of a field of the configuration before anything else, so that a busy port costs nothing.
func (n *Node) listen(field, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; stop what uses it, or choose another address (%s in config.json)", addr, err, field)
	}
	return n.guard.Listen(l), nil
}

// isPage says whether a request is for one of the node's own pages.
func isPage(own *http.ServeMux, r *http.Request) bool {
	_, pattern := own.Handler(r)
	return pattern != ""
}

func (n *Node) serve() {
	own := http.NewServeMux()
	oneM2M := n.sockets.Wrap(httpbinding.New(n.ingress, httpbinding.Options{MaxBody: n.cfg.MaxBody, Plain: n.plain}))
	n.routes(own)
	if n.app.Genesis().CSE.Lab {
		n.tester = newUpperTester(n)
	}
	// ServeMux would redirect addresses that it deems unclean; what is none of the node's own pages is the binding's.
	n.server = httpbinding.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case n.tester != nil && !namesThisMachine(r.Host):
			http.Error(w, "a lab network answers only requests to localhost, 127.0.0.1 or [::1] (Host): a page of another site could have its name lead here", http.StatusMisdirectedRequest)
		// "-" stands for the CSEBase too (TS-0001 table 7.2-1), so what is no page may be a resource for who speaks
		// oneM2M.
		case strings.HasPrefix(r.URL.Path, Prefix+"/") && (r.Header["X-M2m-Ri"] == nil || isPage(own, r)):
			own.ServeHTTP(w, r)
		case n.tester != nil && strings.Trim(r.URL.Path, "/") == upperTesterPath:
			n.tester.ServeHTTP(w, r)
		default:
			oneM2M.ServeHTTP(w, r)
		}
	}), n.log, n.ingress)
	if n.secure != nil {
		n.server.TLSConfig = n.tlsConfig("h2", "http/1.1")
	}
	if n.listener != nil {
		n.running.Go(func() {
			if err := n.server.Serve(n.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
				n.fail(fmt.Errorf("serve HTTP: %w", err))
			}
		})
	}
	if n.secure != nil {
		n.running.Go(func() {
			if err := n.server.ServeTLS(n.secure, "", ""); err != nil && !errors.Is(err, http.ErrServerClosed) {
				n.fail(fmt.Errorf("serve HTTPS: %w", err))
			}
		})
	}
}

// fail notes the first error after which the node cannot go on. Requests that wait are answered at once.
func (n *Node) fail(err error) {
	n.once.Do(func() {
		n.failure <- err
		if n.ingress != nil {
			go n.ingress.Close()
		}
	})
}

// Failed delivers the error that ended the node, if one does.
func (n *Node) Failed() <-chan error { return n.failure }

// Dir returns the node's data folder.
func (n *Node) Dir() string { return n.dir }

// App returns the node's ledger, for reading.
func (n *Node) App() *ledger.App { return n.app }

// Stop ends the node in order: no new requests, the ones under way answered, everything durable.
func (n *Node) Stop(ctx context.Context) error { return n.shutdown(ctx) }

func (n *Node) shutdown(ctx context.Context) error {
	var errs []error
	ending, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if n.polling != nil {
		n.polling.Close() // else long polls would hold up the server
	}
	// Side by side: who keeps one of them waiting takes no time from the clients of the others.
	var web, broker error
	var bindings sync.WaitGroup
	bindings.Go(func() { web = n.stopHTTP(ending) })
	bindings.Go(func() {
		if n.sockets != nil {
			n.sockets.Close(ending)
		}
	})
	bindings.Go(func() { broker = n.closeMQTT() })
	bindings.Go(func() { n.stopCoAP(ending) })
	bindings.Wait()
	errs = append(errs, web, broker)
	if n.guard != nil {
		n.guard.Close()
	}
	if n.ingress != nil {
		n.ingress.Report(ending)
		n.ingress.Close()
	}
	if n.stop != nil {
		n.stop()
		n.running.Wait()
	}
	if n.web != nil {
		n.web.Close()
	}
	if n.coap.client != nil {
		n.coap.client.Close()
	}
	if n.consensus != nil {
		errs = append(errs, n.consensus.Stop()) // closes the validator too
	} else if n.validator != nil {
		errs = append(errs, n.validator.Close())
	}
	if n.app != nil {
		errs = append(errs, n.app.Close())
	}
	if n.unlock != nil {
		errs = append(errs, n.unlock())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop the node: %w", err)
	}
	return nil
}

// stopHTTP takes no more requests and waits for those under way, until ctx ends at most.
func (n *Node) stopHTTP(ctx context.Context) error {
	if n.server == nil {
		for _, l := range []net.Listener{n.listener, n.secure} {
			if l != nil {
				l.Close()
			}
		}
		return nil
	}
	if n.server.Shutdown(ctx) != nil {
		return n.server.Close()
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
