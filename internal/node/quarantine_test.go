package node

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
)

// TestQuarantineOfDevice: an operator shuts a device out and lets it in again; the device is told why.
func TestQuarantineOfDevice(t *testing.T) {
	n := startNode(t, initNode(t))
	defer stopNode(t, n)
	op := client.New("http://"+n.Addr(), OperatorID, token(t, n.Dir()), 4)
	defer op.Close()
	dev, _ := enrol(t, n, "Cdev")
	_, err := dev.Create(t.Context(), "tally", onem2m.TypeAE, map[string]any{"m2m:ae": map[string]any{"rn": "dev", "api": "Ndev", "rr": true, "srv": []string{"4"}}})
	must(t, err)
	const path = Prefix + "/quarantine"
	if _, err := dev.API(t.Context(), http.MethodPost, path, ledger.QuarantineRequest{Originator: "Cother", Reason: "spite"}); err == nil {
		t.Error("a device quarantined another")
	}
	_, err = op.API(t.Context(), http.MethodPost, path, ledger.QuarantineRequest{Originator: "Cdev", Reason: "stolen last night"})
	must(t, err)
	_, err = dev.Retrieve(t.Context(), "tally/dev")
	var refused *client.StatusError
	if !errors.As(err, &refused) || refused.Status != onem2m.StatusOriginatorHasNoPrivilege || !strings.Contains(err.Error(), "stolen last night") {
		t.Errorf("a read in quarantine: %v", err)
	}
	if _, err := dev.API(t.Context(), http.MethodGet, Prefix+"/status", nil); err == nil || !strings.Contains(err.Error(), "stolen last night") {
		t.Errorf("the node's pages in quarantine: %v", err)
	}
	all, err := op.API(t.Context(), http.MethodGet, path, nil)
	must(t, err)
	status, err := op.API(t.Context(), http.MethodGet, Prefix+"/status", nil)
	must(t, err)
	if !strings.Contains(string(all), "stolen last night") || !strings.Contains(string(status), `"Cdev"`) {
		t.Errorf("the list %s, the status %s", all, status)
	}
	_, err = op.API(t.Context(), http.MethodDelete, path+"?originator="+url.QueryEscape("Cdev"), nil)
	must(t, err)
	_, err = dev.Retrieve(t.Context(), "tally/dev")
	must(t, err)
}

// TestQuarantineEndsConnections: a live connection of an originator ends within a second of its quarantine, and a new one is
// refused as banned (MQTT 5.0 clause 3.2.2.2) until the release.
func TestQuarantineEndsConnections(t *testing.T) {
	n := mqttNode(t)
	_, dev := enrol(t, n, "Cdev")
	c := dialMQTT(t, n, "dev", dev.Token)
	op := client.New("http://"+n.Addr(), OperatorID, token(t, n.Dir()), 4)
	defer op.Close()
	_, err := op.API(t.Context(), http.MethodPost, Prefix+"/quarantine", ledger.QuarantineRequest{Originator: "Cdev", Reason: "stolen"})
	must(t, err)
	select {
	case <-c.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the connection goes on")
	}
	connect := func() byte {
		conn, err := net.Dial("tcp", n.mqttAddr())
		must(t, err)
		defer conn.Close()
		p := paho.NewClient(paho.ClientConfig{Conn: conn})
		ack, err := p.Connect(t.Context(), &paho.Connect{
			ClientID: "dev", CleanStart: true, KeepAlive: 30, Username: "Cdev", UsernameFlag: true, Password: []byte(dev.Token), PasswordFlag: true,
		})
		if ack == nil {
			t.Fatal(err)
		}
		return ack.ReasonCode
	}
	if code := connect(); code != 0x8A {
		t.Errorf("CONNECT in quarantine: %#x", code)
	}
	_, err = op.API(t.Context(), http.MethodDelete, Prefix+"/quarantine?originator=Cdev", nil)
	must(t, err)
	if code := connect(); code != 0 {
		t.Errorf("CONNECT after the release: %#x", code)
	}
}
