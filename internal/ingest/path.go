package ingest

import (
	"context"
	"strings"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of a path, tighter than those of an address (TS-0001 clause 9.3.1 leaves them open).
const (
	maxPath     = 1024 // bytes
	maxSegments = 32   // resource names, the AE's included
)

// splitPath checks a path "<ae>/<container>/..." and gives its names. They have the characters that resource names have
// (TS-0001 clause 7.2: the unreserved ones of RFC 3986) and are no names of virtual resources, which hold nothing.
func splitPath(path string) ([]string, error) {
	if len(path) > maxPath {
		return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the path has %d bytes; the limit is %d", len(path), maxPath)
	}
	if n := strings.Count(path, "/") + 1; n > maxSegments {
		return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the path has %d names; the limit is %d", n, maxSegments)
	}
	names := strings.Split(path, "/")
	for _, name := range names {
		switch {
		case !isName(name):
			return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the path %.80q has %.40q, which is no resource name: letters, digits, '-', '.', '_' and '~'; want <ae>/<container>", path, name)
		case name == "la" || name == "ol" || name == "fopt" || name == "pcu":
			return nil, onem2m.Errorf(onem2m.StatusOperationNotAllowed, "%s is a virtual resource and holds no readings", name)
		}
	}
	if len(names) < 2 {
		return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the path %.80q names no container; want <ae>/<container>", path)
	}
	return names, nil
}

func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-', b == '.', b == '_', b == '~':
		default:
			return false
		}
	}
	return s != "" && s != "-" && s != "~" && s != "_" && s != "." && s != ".."
}

func below(base string, names []string) string {
	if len(names) == 0 {
		return base
	}
	return base + "/" + strings.Join(names, "/")
}

// addresses are what the first name of a path can stand for: an AE's resource name, or an AE-ID.
func (g *Ingest) addresses(d *delivery) []string {
	byName := g.o.Base + "/" + d.path[0]
	if isAEID(d.path[0]) {
		return []string{byName, d.path[0]}
	}
	return []string{byName}
}

// byName is the address of the container when the path starts with the AE's resource name.
func (g *Ingest) byName(d *delivery) string { return g.o.Base + "/" + d.m.Path }

// isAEID says whether a name can be an AE-ID (TS-0001 table 7.2-1); IDs of other resources are no way in.
func isAEID(s string) bool { return len(s) > 1 && (s[0] == 'C' || s[0] == 'S') }

// makeMissing finds what the path lacks and gives the requests that create it, and the address of the AE.
func (g *Ingest) makeMissing(ctx context.Context, d *delivery) (made []*onem2m.Request, ae string, refused *onem2m.Response) {
	there := 0 // names of the path that exist
	for _, base := range g.addresses(d) {
		for n := len(d.path) - 1; n >= 1 && there == 0; n-- {
			if g.exists(ctx, d, below(base, d.path[1:n])) {
				ae, there = base, n
			}
		}
	}
	if there == 0 {
		own, id, refused := g.ownAE(ctx, d)
		if refused != nil {
			return nil, "", refused
		}
		made, ae, there = append(made, own), id, 1
	}
	for n := there; n < len(d.path); n++ {
		content := append(onem2m.AppendQuote([]byte(`{"m2m:cnt":{"rn":`), d.path[n]), "}}"...)
		made = append(made, d.request(below(ae, d.path[1:n]), onem2m.TypeContainer, content))
	}
	return made, ae, nil
}

// exists says whether there is a resource, also one that the originator may not read.
func (g *Ingest) exists(ctx context.Context, d *delivery, to string) bool {
	return !missing(g.look(binding.Hurried(binding.Asking(ctx)), d, to))
}

func (g *Ingest) look(ctx context.Context, d *delivery, to string) *onem2m.Response {
	return g.o.Door.Do(ctx, &onem2m.Request{
		Operation: onem2m.Retrieve, To: to, From: d.from, RequestID: "-", ReleaseVersion: "4",
		ResultContent: onem2m.ResultContentAttributes, Attributes: []string{"rn"}, SourceIP: d.m.SourceIP,
	}, d.evidence)
}

// ownAE is the request that registers the originator's own AE, when the path starts with its AE-ID, or with it without
// its C or S. Any other name is more likely a slip, which would take the one AE that the originator can have. The AE is
// named without the C or S where that name is free, so that paths may start either way.
func (g *Ingest) ownAE(ctx context.Context, d *delivery) (req *onem2m.Request, id string, refused *onem2m.Response) {
	id = d.from[strings.LastIndexByte(d.from, '/')+1:]
	own := isAEID(id) && (d.path[0] == id || d.path[0] == id[1:])
	switch registered := own && g.exists(ctx, d, id); {
	case registered && (d.path[0] == id || g.exists(ctx, d, g.o.Base+"/"+d.path[0])):
		return nil, "", refusal(onem2m.Errorf(onem2m.StatusConflict, "AE %s was registered meanwhile", id))
	case registered || !own:
		return nil, "", refusal(onem2m.Errorf(onem2m.StatusNotFound, "there is no AE %s; only an originator's own AE is made on the way, below its AE-ID", d.path[0]))
	}
	name := id[1:]
	if !isName(name) || g.exists(ctx, d, g.o.Base+"/"+name) {
		name = id
	}
	content := append(onem2m.AppendQuote([]byte(`{"m2m:ae":{"rn":`), name), `,"api":"N.tallystick.plain","rr":false,"srv":["4"]}}`...)
	return d.request(g.o.Base, onem2m.TypeAE, content), id, nil
}
