package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// fanMembers is how many containers get each reading while a node is filled through a group.
const fanMembers = 500

// proof measures bundles fetched from a node that holds a million entries.
func (b *Bench) proof(ctx context.Context) (*Section, error) {
	entries := uint64(b.scaled(million))
	s := &Section{
		Name: "proof", Title: "Proof bundles of random entries, from a node with " + count(entries) + " entries",
		Subject: "node",
	}
	dir := filepath.Join(b.dir, "proof")
	n, err := b.Program.startNode(ctx, dir, 0)
	if err != nil {
		return nil, err
	}
	size, err := b.fill(ctx, n, entries)
	if err == nil {
		err = b.fetch(ctx, s, n, size)
	}
	if err = errors.Join(err, n.close()); err != nil {
		return nil, err
	}
	s.note("the log was filled through consensus by a group of %d containers, each member an entry of its own; then one connection fetched\n"+
		"%d bundles by log index, one after the other.", fanMembers, bundleSamples)
	return s, os.RemoveAll(dir)
}

// fill makes a group of containers and has readings fanned out to them until the log has so many entries.
func (b *Bench) fill(ctx context.Context, n *node, entries uint64) (size uint64, err error) {
	c := n.clients[0]
	ae := "tally/" + aeName(0)
	members := make([]string, fanMembers)
	for i := range members {
		name := "m" + strconv.Itoa(i)
		_, err := c.Create(ctx, ae, onem2m.TypeContainer, json.RawMessage(`{"m2m:cnt":{"rn":"`+name+`","acpi":["`+ae+`/policy"]}}`))
		if err != nil {
			return 0, fmt.Errorf("create container %s: %w", name, err)
		}
		members[i] = `"` + ae + "/" + name + `"`
	}
	group := `{"m2m:grp":{"rn":"all","acpi":["` + ae + `/policy"],"mnm":` + strconv.Itoa(fanMembers) + `,"mid":[` + strings.Join(members, ",") + `]}}`
	if _, err := c.Create(ctx, ae, onem2m.TypeGroup, json.RawMessage(group)); err != nil {
		return 0, fmt.Errorf("create the group: %w", err)
	}
	r, err := loadReadings()
	if err != nil {
		return 0, err
	}
	for i := uint64(0); i*fanMembers < entries; i++ {
		content := json.RawMessage(r.append(nil, 0, i))
		if _, err := c.Create(ctx, ae+"/all/fopt?rcn=0", onem2m.TypeContentInstance, content); err != nil {
			return 0, fmt.Errorf("fan a reading out: %w", err)
		}
	}
	return n.committed(ctx)
}

// committed asks the node how many entries its log has.
func (n *node) committed(ctx context.Context) (uint64, error) {
	b, err := n.clients[0].API(ctx, "GET", "/-/status", nil)
	if err != nil {
		return 0, fmt.Errorf("ask the node how it is: %w", err)
	}
	var s struct {
		Committed uint64 `json:"committedEntries"`
	}
	return s.Committed, json.Unmarshal(b, &s)
}

func (b *Bench) fetch(ctx context.Context, s *Section, n *node, size uint64) error {
	operator, err := n.operator(&b.Program)
	if err != nil {
		return err
	}
	defer operator.Close()
	file, err := n.policy(ctx)
	if err != nil {
		return fmt.Errorf("fetch the policy: %w", err)
	}
	policy, err := proof.ParsePolicy(file)
	if err != nil {
		return err
	}
	var fetched, verified []float64
	largest := 0
	rng := rand.New(rand.NewPCG(1, size))
	for range bundleSamples {
		index := rng.Uint64N(size)
		begin := time.Now()
		bundle, err := operator.Proof(ctx, "", index)
		if err != nil {
			return fmt.Errorf("fetch the bundle of entry %d: %w", index, err)
		}
		fetched = append(fetched, millis(time.Since(begin)))
		begin = time.Now()
		v, err := policy.Verify(bundle)
		if err != nil {
			return fmt.Errorf("verify the bundle of entry %d: %w", index, err)
		}
		verified = append(verified, millis(time.Since(begin)))
		if v.Index != index {
			return fmt.Errorf("the bundle of entry %d is of entry %d", index, v.Index)
		}
		largest = max(largest, len(bundle))
	}
	s.add("fetched over HTTP, p50", "ms", quantile(fetched, 0.5), 0, atMost(5))
	s.add("fetched over HTTP, p99", "ms", quantile(fetched, 0.99), 0, nil)
	s.add("verified, p50", "ms", quantile(verified, 0.5), 0, atMost(1))
	s.add("verified, p99", "ms", quantile(verified, 0.99), 0, nil)
	s.add("largest bundle", "bytes", float64(largest), 0, atMost(4095))
	return nil
}
