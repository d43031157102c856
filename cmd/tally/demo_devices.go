package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/internal/nab"
	"github.com/tallystick/tallystick/internal/node"
	"github.com/tallystick/tallystick/onem2m"
)

// device is one sensor of the demo: an AE with a token of its own, a policy and a container.
type device struct {
	sensor    nab.Sensor
	id        string // AE-ID
	tokenFile string
	client    *client.Client
}

// inFlight is how many readings one device has under way at once.
const inFlight = 24

func (v *device) readings() string { return "tally/" + v.sensor.Name + "/readings" }

// reading is the content of an instance: the sensor's own time and value.
type reading struct {
	Time  string          `json:"time"`
	Value json.RawMessage `json:"value"`
}

func (v *device) send(ctx context.Context, r nab.Reading) error {
	con, err := json.Marshal(reading{r.Time.Format(time.RFC3339), json.RawMessage(r.Value)})
	if err != nil {
		return err
	}
	_, err = v.client.Create(ctx, v.readings(), onem2m.TypeContentInstance, object("m2m:cin", map[string]any{"con": json.RawMessage(con)}))
	if err != nil {
		return fmt.Errorf("send a reading of %s: %w", v.sensor.Name, err)
	}
	return nil
}

func object(tag string, attrs map[string]any) map[string]any { return map[string]any{tag: attrs} }

// enrol gives every sensor an identity and a place for its readings, or finds those of the run before.
func (d *demo) enrol(ctx context.Context) error {
	there := &remote{Data: d.Data, URL: d.url, Origin: node.OperatorID}
	operator, err := there.connect()
	if err != nil {
		return err
	}
	authorities, err := there.authorities()
	if err != nil {
		return err
	}
	connect := func(id, token string) *client.Client {
		return client.NewTrusting(authorities, d.url, id, token, inFlight)
	}
	d.step("Enrol %d devices, each with a token of its own.", len(nab.Sensors))
	for _, s := range nab.Sensors {
		v := &device{sensor: s, id: "C" + s.Name, tokenFile: filepath.Join(d.Data, "devices", s.Name+".token")}
		known, err := v.credential(ctx, operator, connect)
		if err != nil {
			return fmt.Errorf("enrol %s: %w", v.id, err)
		}
		if err := v.register(ctx); err != nil {
			return fmt.Errorf("register %s: %w", v.id, err)
		}
		d.devices = append(d.devices, v)
		what := "enrolled, registered"
		if known {
			what = "known from the run before"
		}
		d.say("%-22s %s", v.id, what)
	}
	d.say("Only the device itself may write its readings; the operator may read them; nobody else anything.")
	return nil
}

// credential reads the device's token, or has the operator enrol it and keeps the token.
func (v *device) credential(ctx context.Context, operator *client.Client, connect func(id, token string) *client.Client) (known bool, err error) {
	b, err := os.ReadFile(v.tokenFile)
	if err == nil {
		v.client = connect(v.id, strings.TrimSpace(string(b)))
		return true, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	b, err = operator.API(ctx, http.MethodPost, node.Prefix+"/credentials", ledger.OwnRequest{Originator: v.id})
	if err != nil {
		return false, err
	}
	var e node.Enrolled
	if err := json.Unmarshal(b, &e); err != nil {
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(v.tokenFile), 0o700); err != nil {
		return false, err
	}
	if err := os.WriteFile(v.tokenFile, []byte(e.Token+"\n"), 0o600); err != nil {
		return false, err
	}
	v.client = connect(v.id, e.Token)
	return false, nil
}

// register makes the device's AE, its access control policy and its container, as far as they do not exist.
func (v *device) register(ctx context.Context) error {
	ae := "tally/" + v.sensor.Name
	acp := ae + "/policy"
	for _, r := range []struct {
		parent string
		ty     onem2m.ResourceType
		tag    string
		attrs  map[string]any
	}{
		{"tally", onem2m.TypeAE, "m2m:ae", map[string]any{
			"rn": v.sensor.Name, "api": "Ndemo.tallystick", "rr": false, "srv": []string{"3", "4"},
			"lbl": []string{"quantity:" + strings.ReplaceAll(v.sensor.Quantity, " ", "-")},
		}},
		{ae, onem2m.TypeACP, "m2m:acp", map[string]any{
			"rn": "policy",
			"pv": map[string]any{"acr": []any{
				map[string]any{"acor": []string{v.id}, "acop": 63},
				map[string]any{"acor": []string{node.OperatorID}, "acop": 34}, // RETRIEVE, DISCOVERY
			}},
			"pvs": map[string]any{"acr": []any{map[string]any{"acor": []string{v.id}, "acop": 63}}},
		}},
		{ae, onem2m.TypeContainer, "m2m:cnt", map[string]any{
			"rn": "readings", "acpi": []string{acp}, "lbl": []string{"unit:" + v.sensor.Unit},
		}},
	} {
		_, err := v.client.Create(ctx, r.parent, r.ty, object(r.tag, r.attrs))
		if err != nil && !client.IsStatus(err, onem2m.StatusConflict) && !client.IsStatus(err, onem2m.StatusOriginatorHasAlreadyRegistered) {
			return err
		}
	}
	return nil
}

// count returns how many readings the device's container holds.
func (v *device) count(ctx context.Context) (int, error) {
	b, err := v.client.Retrieve(ctx, v.readings())
	if err != nil {
		return 0, err
	}
	var c struct {
		Container struct {
			Count int `json:"cni"`
		} `json:"m2m:cnt"`
	}
	return c.Container.Count, json.Unmarshal(b, &c)
}
