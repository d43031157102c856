package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

const (
	// registrarCheck is the pause between two looks whether this CSE is still registered.
	registrarCheck = 10 * time.Second
	// registrarRetry is the pause after the first failure; it doubles with each, up to registrarCheck.
	registrarRetry = 250 * time.Millisecond
	// registrarTimeout bounds one request to the registrar.
	registrarTimeout = 10 * time.Second
)

// readPeerTokens reads the files with the tokens for other CSEs.
func (c *Config) readPeerTokens(dir string) (map[string]string, error) {
	tokens := make(map[string]string)
	for id, file := range c.PeerTokens {
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the token for %s (peerTokens in %s): %w", id, configFile, err)
		}
		tokens[id] = strings.TrimSpace(string(b))
	}
	return tokens, nil
}

// keepRegistered keeps this CSE registered at its registrar, and the registrar known here, until ctx ends (TS-0001 clause
// 10.1.1.2.1). It says in the log when that changes.
func (n *Node) keepRegistered(ctx context.Context) {
	pause, was := registrarRetry, ""
	for {
		now := "registered"
		err := n.register(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			now = err.Error()
		}
		if now != was {
			was = now
			if err != nil {
				n.log.Warn("not registered at the registrar", "registrar", n.cfg.Registrar.CSEID, "err", err)
			} else {
				n.log.Info("registered at the registrar", "registrar", n.cfg.Registrar.CSEID)
			}
		}
		if err == nil {
			pause = registrarCheck
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		if err == nil {
			pause = registrarRetry
		} else {
			pause = min(2*pause, registrarCheck)
		}
	}
}

// register makes what is missing of the registration: our <remoteCSE> there, and theirs here.
func (n *Node) register(ctx context.Context) error {
	cfg := &n.app.Genesis().CSE
	there := n.cfg.Registrar.CSEID + "/-"
	own := map[string]any{"poa": n.pointsOfAccess(), "rr": true, "srv": []string{"2a", "3", "4", "5"}, "csz": []string{"application/json", "application/cbor"}}
	name := cfg.CSEID[1:]
	rsp, err := n.askRegistrar(ctx, &onem2m.Request{Operation: onem2m.Retrieve, To: there + "/" + name})
	switch {
	case err != nil:
		return err
	case rsp.Status == onem2m.StatusNotFound:
		own["rn"], own["csi"], own["cb"], own["cst"] = name, cfg.CSEID, cfg.CSEID+"/"+cfg.Name, 2
		err = n.mustAskRegistrar(ctx, &onem2m.Request{Operation: onem2m.Create, To: there, Type: onem2m.TypeRemoteCSE}, own)
	case rsp.Status != onem2m.StatusOK:
		err = refusedBy(n.cfg.Registrar.CSEID, "look at our registration", rsp)
	case !slices.Equal(pointsIn(rsp.Content), n.pointsOfAccess()):
		err = n.mustAskRegistrar(ctx, &onem2m.Request{Operation: onem2m.Update, To: there + "/" + name}, own)
	}
	if err != nil {
		return err
	}
	return n.knowRegistrar(ctx)
}

// knowRegistrar makes the <remoteCSE> of the registrar here, from what its CSEBase says, or has it say the address that
// the configuration has.
func (n *Node) knowRegistrar(ctx context.Context) error {
	id, cfg := n.cfg.Registrar.CSEID, &n.app.Genesis().CSE
	poa := []string{n.cfg.Registrar.URL}
	path := cfg.Name + "/" + id[1:]
	rsp := n.ingress.AsCSE(ctx, &onem2m.Request{Operation: onem2m.Retrieve, To: path, RequestID: "registrar", ReleaseVersion: cfg.Release, ResultContent: onem2m.ResultContentDefault})
	switch {
	case rsp.Status == onem2m.StatusOK && slices.Equal(pointsIn(rsp.Content), poa):
		return nil
	case rsp.Status == onem2m.StatusOK:
		return n.asCSE(ctx, &onem2m.Request{Operation: onem2m.Update, To: path}, map[string]any{"poa": poa})
	case rsp.Status != onem2m.StatusNotFound:
		return refusedBy("this CSE", "look at the registrar's <remoteCSE>", rsp)
	}
	there, err := n.askRegistrar(ctx, &onem2m.Request{Operation: onem2m.Retrieve, To: id + "/-"})
	if err != nil {
		return err
	}
	var base struct {
		CB struct {
			RN  string   `json:"rn"`
			CST int      `json:"cst"`
			SRV []string `json:"srv"`
			CSZ []string `json:"csz"`
		} `json:"m2m:cb"`
	}
	if there.Status != onem2m.StatusOK {
		return refusedBy(id, "retrieve its CSEBase", there)
	}
	if err := json.Unmarshal(there.Content, &base); err != nil {
		return fmt.Errorf("retrieve the CSEBase of %s: %w", id, err)
	}
	attrs := map[string]any{
		"rn": id[1:], "csi": id, "cb": id + "/" + or(base.CB.RN, "-"), "poa": poa, "rr": true,
		"srv": base.CB.SRV,
	}
	if len(base.CB.SRV) == 0 {
		attrs["srv"] = []string{cfg.Release}
	}
	if base.CB.CST >= 1 && base.CB.CST <= 3 {
		attrs["cst"] = base.CB.CST
	}
	if len(base.CB.CSZ) > 0 {
		attrs["csz"] = base.CB.CSZ
	}
	return n.asCSE(ctx, &onem2m.Request{Operation: onem2m.Create, To: cfg.Name, Type: onem2m.TypeRemoteCSE}, attrs)
}

// asCSE has the CSE itself create or update the <remoteCSE> of its registrar.
func (n *Node) asCSE(ctx context.Context, req *onem2m.Request, attrs map[string]any) error {
	content, err := json.Marshal(map[string]any{"m2m:csr": attrs})
	if err != nil {
		return err
	}
	req.RequestID, req.ReleaseVersion, req.ResultContent, req.Content = "registrar", n.app.Genesis().CSE.Release, onem2m.ResultContentNothing, content
	if rsp := n.ingress.AsCSE(ctx, req); !rsp.Status.Success() {
		return refusedBy("this CSE", "keep the registrar's <remoteCSE>", rsp)
	}
	return nil
}

// mustAskRegistrar sends a request with a <remoteCSE> to the registrar, which must take it.
func (n *Node) mustAskRegistrar(ctx context.Context, req *onem2m.Request, attrs map[string]any) (err error) {
	if req.Content, err = json.Marshal(map[string]any{"m2m:csr": attrs}); err != nil {
		return err
	}
	rsp, err := n.askRegistrar(ctx, req)
	if err == nil && !rsp.Status.Success() {
		err = refusedBy(n.cfg.Registrar.CSEID, "register", rsp)
	}
	return err
}

func (n *Node) askRegistrar(ctx context.Context, req *onem2m.Request) (*onem2m.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, registrarTimeout)
	defer cancel()
	r, cfg := n.cfg.Registrar, &n.app.Genesis().CSE
	scheme, _, _ := strings.Cut(r.URL, ":")
	client := n.senders[scheme]
	if client == nil {
		return nil, fmt.Errorf("reach the registrar %s: this node has no client for %s", r.CSEID, scheme)
	}
	req.From, req.RequestID, req.ReleaseVersion, req.ResultContent = cfg.CSEID, fmt.Sprintf("reg-%d", time.Now().UnixNano()), cfg.Release, onem2m.ResultContentDefault
	rsp, err := client.Send(ctx, binding.Address{URL: r.URL, Token: n.peers[r.CSEID]}, req)
	if err != nil {
		return nil, fmt.Errorf("reach the registrar %s: %w", r.CSEID, err)
	}
	return rsp, nil
}

func refusedBy(who, what string, rsp *onem2m.Response) error {
	return fmt.Errorf("%s: %s answered %s", what, who, debugText(rsp))
}

// pointsIn gives the points of access of a <remoteCSE>.
func pointsIn(content []byte) []string {
	var c struct {
		CSR struct {
			POA []string `json:"poa"`
		} `json:"m2m:csr"`
	}
	if json.NewDecoder(bytes.NewReader(content)).Decode(&c) != nil {
		return nil
	}
	return c.CSR.POA
}

// pointsOfAccess are the URLs by which other CSEs reach this node.
func (n *Node) pointsOfAccess() []string {
	if len(n.cfg.PointsOfAccess) > 0 {
		return n.cfg.PointsOfAccess
	}
	u := url.URL{Scheme: "http", Host: n.Addr()}
	if n.listener == nil {
		u.Scheme = "https"
	}
	return []string{u.String()}
}
