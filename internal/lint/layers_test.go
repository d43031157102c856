package lint

import (
	"slices"
	"strings"
	"testing"
)

// layer says what one package may import. Names of this module's packages are relative to it. A module stands for all
// of its packages.
type layer struct {
	own     []string // packages of this module
	modules []string // modules outside the standard library
	std     []string // packages of the standard library that restricted would refuse
	tests   []string // what its tests may import besides: packages of this module and modules
}

const (
	merkle = "github.com/transparency-dev/merkle"
	pebble = "github.com/cockroachdb/pebble/v2"
	comet  = "github.com/cometbft/cometbft"
)

// layers is the architecture as ARCHITECTURE.md tells it. Data flows from the bottom of this list to the top; imports
// point the same way, so that everything above a line can be built, tested and read without what is below it.
var layers = map[string]layer{
	// Public vocabulary; imports nothing of the server, so that devices and auditors can use it alone.
	"onem2m": {tests: []string{"github.com/fxamacker/cbor/v2", "github.com/go-json-experiment/json"}},
	"proof":  {modules: []string{merkle, "github.com/oasisprotocol/curve25519-voi"}, tests: []string{"github.com/fxamacker/cbor/v2", "github.com/transparency-dev/formats", "golang.org/x/mod"}},
	"client": {own: []string{"onem2m"}, std: []string{"net", "net/http", "net/url"}},

	// The core: a function of state, request and block time.
	"internal/cse":         {own: []string{"onem2m"}, modules: []string{"github.com/fxamacker/cbor/v2"}, tests: []string{"internal/cse/csetest"}},
	"internal/cse/csetest": {own: []string{"internal/cse", "onem2m"}, std: []string{"testing"}},
	"internal/identity": {
		own: []string{"internal/cse"}, modules: []string{"github.com/oasisprotocol/curve25519-voi"}, std: []string{"crypto/rand"}, tests: []string{"internal/cse/csetest", "onem2m"},
	},

	// Storage: what the core is kept in.
	"internal/tree": {
		own: []string{"internal/cse", "onem2m"}, modules: []string{pebble},
		tests: []string{"internal/cse/csetest"},
	},
	"internal/translog": {
		own:     []string{"onem2m", "proof"},
		modules: []string{"github.com/cockroachdb/errors", pebble, "github.com/klauspost/compress", merkle},
	},

	// Readers of what is committed.
	"internal/notify": {own: []string{"internal/binding", "onem2m"}, std: []string{"crypto/rand", "math/rand/v2", "net/url"}},

	// Consensus drives core and storage.
	"internal/ledger": {
		own: []string{"internal/cse", "internal/identity", "internal/notify", "internal/translog", "internal/tree", "onem2m", "proof"},
		modules: []string{
			pebble, comet, "github.com/cometbft/cometbft-db", "github.com/cosmos/gogoproto", "golang.org/x/sys",
		},
		tests: []string{"internal/cse/csetest", "internal/nab"},
	},

	// The door to the ledger, and the protocols before it.
	"internal/mobius": {own: []string{"onem2m"}, std: []string{"net/url"}},
	"internal/guard":  {std: []string{"net"}, tests: []string{"internal/nab"}},
	"internal/ingress": {
		own:   []string{"internal/binding", "internal/cse", "internal/guard", "internal/identity", "internal/ledger", "internal/mobius", "onem2m", "proof"},
		std:   []string{"crypto/rand"},
		tests: []string{"internal/nab", pebble, comet},
	},
	"internal/binding": {own: []string{"onem2m"}, std: []string{"net/url"}},
	"internal/pki":     {std: []string{"crypto/rand", "net"}},
	"internal/ingest": {
		own: []string{"internal/binding", "onem2m"}, modules: []string{"github.com/fxamacker/cbor/v2"}, std: []string{"net/url"},
	},
	"internal/polling": {own: []string{"internal/binding", "onem2m"}},
	"internal/binding/coap": {
		own:     []string{"internal/binding", "onem2m"},
		modules: []string{"github.com/pion/dtls/v3", "github.com/pion/logging", "github.com/plgd-dev/go-coap/v3"}, std: []string{"crypto/rand", "math/rand/v2", "net", "net/url"},
	},
	"internal/binding/http": {own: []string{"internal/binding", "onem2m"}, modules: []string{"golang.org/x/sync"}, std: []string{"net", "net/http", "net/url"}},

	"internal/binding/mqtt": {
		own:     []string{"internal/binding", "onem2m"},
		modules: []string{"github.com/mochi-mqtt/server/v2", "github.com/eclipse/paho.golang", "golang.org/x/sync", "golang.org/x/sys"},
		std:     []string{"crypto/rand", "net", "net/url"},
	},
	"internal/live": {own: []string{"internal/binding", "internal/cse", "internal/ledger", "internal/translog", "onem2m", "proof"}},
	"internal/binding/ws": {
		own: []string{"internal/binding", "onem2m"}, modules: []string{"github.com/coder/websocket", "golang.org/x/sync"},
		std: []string{"net", "net/http", "net/url"},
	},

	// The only place that wires parts together.
	"internal/node": {
		own: []string{
			"internal/binding", "internal/binding/coap", "internal/binding/http", "internal/binding/mqtt", "internal/binding/ws", "internal/cse", "internal/guard", "internal/identity", "internal/ingest", "internal/ingress", "internal/ledger",
			"internal/live", "internal/mobius", "internal/notify", "internal/pki", "internal/polling", "internal/translog", "internal/tree", "onem2m", "proof",
		},
		modules: []string{pebble, comet, "golang.org/x/sys"},
		std:     []string{"crypto/rand", "net", "net/http", "net/url"},
		tests:   []string{"client", "internal/nab", "github.com/coder/websocket", "github.com/eclipse/paho.golang", "golang.org/x/mod"},
	},
	"cmd/tally": {
		own:     []string{"bench", "client", "internal/guard", "internal/ledger", "internal/nab", "internal/node", "internal/qr", "onem2m", "proof"},
		modules: []string{"github.com/alecthomas/kong"},
	},

	// Data and tools beside the server.
	"internal/nab":  {},
	"internal/qr":   {},
	"internal/lint": {},
}

// free are folders whose packages may import everything; nothing but a command may import them.
var free = []string{"bench", "test"}

// testModules are the test libraries that every package may use.
var testModules = []string{
	"github.com/google/go-cmp", "github.com/rogpeppe/go-internal", "go.uber.org/goleak", "pgregory.net/rapid",
}

// banned packages of the standard library: formats that cannot be versioned, weak randomness, code without types.
var banned = []string{"encoding/gob", "math/rand", "net/rpc", "plugin", "unsafe"}

// restricted packages of the standard library reach out of the process or differ from run to run. Commands may use
// them; of all others, those that need one say so above.
var restricted = []string{
	"crypto/rand", "math/rand/v2", "net", "net/http", "net/url", "os/exec", "os/signal", "runtime/pprof", "syscall", "testing",
}

// pure packages must not even touch files or the environment.
var pure = []string{"internal/cse", "internal/identity", "onem2m", "proof"}

var impure = []string{"io/fs", "log", "log/slog", "os", "path/filepath", "runtime", "os/user"}

func TestLayers(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range modulePackages(t) {
		seen[p.name] = true
		checkBanned(t, p, slices.Concat(p.Imports, p.TestImports, p.XTestImports))
		if inFree(p.name) {
			continue
		}
		l, ok := layers[p.name]
		if !ok {
			t.Errorf("package %s is not in the table of layers: add it with what it may import", p.name)
			continue
		}
		checkImports(t, p, l)
		checkTestImports(t, p, l)
	}
	for name := range layers {
		if !seen[name] {
			t.Errorf("the table of layers lists %s, which does not exist", name)
		}
	}
}

func checkImports(t *testing.T, p pkg, l layer) {
	for _, imp := range p.Imports {
		switch rel, own := strings.CutPrefix(imp, module+"/"); {
		case own && !slices.Contains(l.own, rel):
			t.Errorf("%s imports %s: data does not flow that way", p.name, rel)
		case own:
		case !isStd(imp) && !inModules(l.modules, imp):
			t.Errorf("%s imports %s: the table of layers does not list that module", p.name, imp)
		case slices.Contains(restricted, imp) && !slices.Contains(l.std, imp) && !strings.HasPrefix(p.name, "cmd/"):
			t.Errorf("%s imports %s: the table of layers does not list it", p.name, imp)
		case slices.Contains(impure, imp) && slices.Contains(pure, p.name):
			t.Errorf("%s imports %s: it must not reach out of the process", p.name, imp)
		}
	}
}

func checkTestImports(t *testing.T, p pkg, l layer) {
	for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
		rel, own := strings.CutPrefix(imp, module+"/")
		switch {
		case own && (rel == p.name || slices.Contains(l.own, rel) || slices.Contains(l.tests, rel)):
		case own:
			t.Errorf("a test of %s imports %s: data does not flow that way", p.name, rel)
		case !isStd(imp) && !inModules(slices.Concat(l.modules, l.tests, testModules), imp):
			t.Errorf("a test of %s imports %s: the table of layers does not list that module", p.name, imp)
		}
	}
}

func checkBanned(t *testing.T, p pkg, imports []string) {
	for _, imp := range imports {
		if slices.Contains(banned, imp) {
			t.Errorf("%s imports %s, which is banned", p.name, imp)
		}
		rel, own := strings.CutPrefix(imp, module+"/")
		if own && inFree(rel) && !inFree(p.name) && !strings.HasPrefix(p.name, "cmd/") {
			t.Errorf("%s imports %s: only commands may", p.name, rel)
		}
		if own && rel == "internal/node" && p.name != rel && !inFree(p.name) && !strings.HasPrefix(p.name, "cmd/") {
			t.Errorf("%s imports %s: only commands and tests may", p.name, rel)
		}
	}
}

func isStd(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".")
}

func inModules(modules []string, imp string) bool {
	return slices.ContainsFunc(modules, func(m string) bool { return imp == m || strings.HasPrefix(imp, m+"/") })
}

func inFree(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return slices.Contains(free, first)
}

// TestNoCgo checks that the server builds without a C compiler, for any machine that Go knows.
func TestNoCgo(t *testing.T) {
	for _, p := range goList(t, []string{"CGO_ENABLED=0"}, "-e", "-deps", "./cmd/tally") {
		if len(p.CgoFiles) > 0 {
			t.Errorf("the server depends on %s, which has cgo in %v", p.ImportPath, p.CgoFiles)
		}
		if p.Error != nil {
			t.Errorf("without cgo %s: %s", p.ImportPath, p.Error.Err)
		}
	}
}
