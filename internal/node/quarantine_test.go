package node

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

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
