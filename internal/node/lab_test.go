package node

import (
	"context"
	"net/http"
	"reflect"
	"testing"
)

// TestLabHost: a lab network answers no page whose name was made to lead to this machine, by HTTP or by WebSocket.
func TestLabHost(t *testing.T) {
	n, err := StartLab(context.Background(), initCSE(t, "id-in", true), watchedLog)
	must(t, err)
	defer stopNode(t, n)
	for host, ok := range map[string]bool{
		n.Addr(): true, "localhost": true, "LOCALHOST:80": true, "[::1]:80": true, "[::1]": true, "127.0.0.1": true,
		"evil.example": false, "evil.example:7380": false, "localhost.evil.example": false, "192.0.2.1:80": false, "[::2]:80": false,
	} {
		for _, path := range []string{"/cse-id-in", "/" + upperTesterPath, "/-/checkpoint"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.Addr()+path, nil)
			must(t, err)
			req.Host = host
			if path == "/cse-id-in" { // a handshake
				req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Protocol": {"oneM2M.json"}}
			}
			resp, err := http.DefaultClient.Do(req)
			must(t, err)
			resp.Body.Close()
			if refused := resp.StatusCode == http.StatusMisdirectedRequest; refused == ok {
				t.Errorf("%s, host %s: %d", path, host, resp.StatusCode)
			}
		}
	}
}

// TestLoopback checks which addresses a lab network may listen on.
func TestLoopback(t *testing.T) {
	for addr, ok := range map[string]bool{
		"": true, "127.0.0.1:80": true, "127.9.9.9:1": true, "[::1]:80": true, "localhost:8080": true,
		"0.0.0.0:80": false, ":80": false, "[::]:80": false, "192.0.2.1:80": false, "host.example:80": false, "127.0.0.1": false,
		"localhost.example:80": false, "tcp://0.0.0.0:1": false, "tcp://127.0.0.1:1": false,
	} {
		if err := loopback(addr); (err == nil) != ok {
			t.Errorf("loopback(%q) = %v", addr, err)
		}
	}
}

// TestLabListeners checks that no text of the configuration can have a lab network listen to other machines: one that
// is no address to listen on has to be named here.
func TestLabListeners(t *testing.T) {
	noAddress := map[string]bool{"Name": true}
	typ := reflect.TypeFor[Config]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Type.Kind() != reflect.String || noAddress[f.Name] {
			continue
		}
		var c Config
		reflect.ValueOf(&c).Elem().Field(i).SetString("0.0.0.0:1")
		refused := false
		for _, l := range c.listeners() {
			refused = refused || loopback(l.address) != nil
		}
		if !refused {
			t.Errorf("a lab network would listen on any address that %s names: add it to Config.listeners", f.Name)
		}
	}
}
