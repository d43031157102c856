package bench

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// signedRound is how many signed readings one round has.
const signedRound = 20_480

// signedSizes are readings a block.
var signedSizes = []int{256, 1024}

// signers are the keys of the sensors, enrolled beside their tokens.
type signers struct {
	*readings
	a        *applier
	private  [sensors]ed25519.PrivateKey
	prepared [sensors]*proof.DeviceKey
	sent     uint64
}

// newSigners enrols a key for each sensor.
func newSigners(a *applier) (*signers, error) {
	r, err := loadReadings()
	if err != nil {
		return nil, err
	}
	s := &signers{readings: r, a: a}
	var enrol []ledger.Item
	for i := range sensors {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil, err
		}
		s.private[i] = private
		if s.prepared[i], err = proof.NewDeviceKey(public); err != nil {
			return nil, err
		}
		content, err := json.Marshal(ledger.OwnRequest{Originator: deviceID(i), PublicKey: hex.EncodeToString(public)})
		if err != nil {
			return nil, err
		}
		enrol = append(enrol, ledger.Item{
			Operation: proof.OpEnrol, From: operatorID, Content: content, Key: a.operator, ResultContent: onem2m.ResultContentDefault, Release: "4",
		})
	}
	return s, a.commit(enrol)
}

// signedReading is a reading as a device signed it.
type signedReading struct {
	key       *proof.DeviceKey
	message   []byte
	signature [ed25519.SignatureSize]byte
}

// batch makes a batch of the next n readings, signed by the sensors in turn, as another node would send it: nothing in
// it has been verified.
func (s *signers) batch(n int) (tx []byte, signed []signedReading, err error) {
	items := make([]ledger.Item, n)
	signed = make([]signedReading, n)
	until := time.Now().Add(time.Hour).Unix()
	for i := range items {
		sensor := int(s.sent % sensors)
		it := s.a.item(sensor, container(sensor), s.readings.append(nil, sensor, s.sent/sensors))
		s.sent++
		req := onem2m.Request{Operation: onem2m.Create, From: it.From, To: it.To, Type: it.Type, Content: it.Content, ReleaseVersion: it.Release}
		if err := req.Sign(origin, s.private[sensor], s.sent, until); err != nil {
			return nil, nil, err
		}
		sig, err := onem2m.ParseSignature(req.VendorInformation)
		if err != nil {
			return nil, nil, err
		}
		text, err := sig.AppendSigned(nil, origin, &req)
		if err != nil {
			return nil, nil, err
		}
		it.Signature, it.Key = sig, sig.Key
		items[i], signed[i] = it, signedReading{s.prepared[sensor], bytes.Join([][]byte{text, it.Content}, nil), sig.Bytes}
	}
	return s.a.sign(items), signed, nil
}

// aloneBatches keep their memory, as the ledger's do.
var aloneBatches = sync.Pool{New: func() any { return new(proof.DeviceBatch) }}

// verifyAlone verifies the signatures in one batch a core and does nothing else.
func verifyAlone(signed []signedReading) bool {
	return onAllCores(signed, func(part []signedReading) bool {
		batch := aloneBatches.Get().(*proof.DeviceBatch)
		defer aloneBatches.Put(batch)
		for i := range part {
			batch.Add(part[i].key, part[i].message, part[i].signature[:])
		}
		return batch.AllValid()
	})
}

// verifySingly verifies them one by one.
func verifySingly(signed []signedReading) bool {
	return onAllCores(signed, func(part []signedReading) bool {
		for i := range part {
			if !part[i].key.Verify(part[i].message, part[i].signature[:]) {
				return false
			}
		}
		return true
	})
}

func onAllCores(signed []signedReading, verify func([]signedReading) bool) bool {
	cores := runtime.GOMAXPROCS(0)
	share := (len(signed) + cores - 1) / cores
	ok := make([]bool, cores)
	var workers sync.WaitGroup
	for c := range cores {
		part := signed[min(c*share, len(signed)):min((c+1)*share, len(signed))]
		workers.Go(func() {
			ok[c] = len(part) == 0 || verify(part)
		})
	}
	workers.Wait()
	for _, valid := range ok {
		if !valid {
			return false
		}
	}
	return true
}

// signed measures what it costs that devices sign their readings.
func (b *Bench) signed(ctx context.Context) (*Section, error) {
	s := &Section{
		Name: "signed", Title: "Readings that devices signed: verified by a validator and applied, next to batch verification of the same signatures alone",
		Subject: "verified and applied", Against: "verified",
	}
	a, err := newApplier(filepath.Join(b.dir, "signed"))
	if err != nil {
		return nil, err
	}
	defer func() { a.close() }()
	devices, err := newSigners(a)
	if err != nil {
		return nil, err
	}
	for _, size := range signedSizes {
		var applied, alone, single, appliedCPU, aloneCPU []float64
		for round := range b.Rounds + 1 { // the first one warms up
			r, err := devices.round(ctx, b.scaled(signedRound)/size, size)
			if err != nil {
				return nil, err
			}
			if round > 0 {
				applied, alone, single = append(applied, r.applied), append(alone, r.alone), append(single, r.single)
				appliedCPU, aloneCPU = append(appliedCPU, r.appliedCPU), append(aloneCPU, r.aloneCPU)
			}
		}
		name := fmt.Sprintf("%d readings a block", size)
		var goal *Goal
		if size == signedSizes[len(signedSizes)-1] {
			goal = ratioAtLeast(0.6)
		}
		s.add(name, "readings/s", median(applied), median(alone), goal)
		s.add(name+", CPU", "us/reading", median(appliedCPU), median(aloneCPU), nil)
		s.add(name+", signatures one by one", "signatures/s", median(single), median(alone), nil)
	}
	if err := b.signedOverHTTP(ctx, s); err != nil {
		return nil, err
	}
	s.note("left: FinalizeBlock and Commit of a batch that this node has not seen before: every device's signature, counters, resources,\n" +
		"log with the signatures, tree. Right: the same signatures, of the same messages by the same prepared keys, in one batch a core.")
	s.note("readings/s: of the median block of each round, so that one during which other work had the machine counts little;\n" +
		"CPU is of all blocks, with garbage collection and compaction, and hardly changes with other work.")
	s.note("over HTTP: one signed reading a request, next to the same readings with a token alone, on the same node in turn; the load\n" +
		"generator signs on the same cores.")
	s.note("all on %d cores; one by one on all of them too.", runtime.GOMAXPROCS(0))
	return s, nil
}

// signedOverHTTP measures what devices see that sign what they send.
func (b *Bench) signedOverHTTP(ctx context.Context, s *Section) (err error) {
	n, err := b.Program.startNode(ctx, filepath.Join(b.dir, "signing"), 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	plain := b.job(goalConns, false)
	plain.Protocol = overHTTP
	signing := plain
	operator, err := n.operator(&b.Program)
	if err != nil {
		return err
	}
	defer operator.Close()
	for i := range sensors {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			return err
		}
		signing.Keys[i] = hex.EncodeToString(private.Seed())
		if _, err := operator.API(ctx, "POST", "/-/credentials", map[string]string{"originator": deviceID(i), "publicKey": hex.EncodeToString(public)}); err != nil {
			return fmt.Errorf("enrol the key of %s: %w", deviceID(i), err)
		}
	}
	checkpoint, err := operator.API(ctx, "GET", "/-/checkpoint", nil)
	if err != nil {
		return err
	}
	signing.Origin, _, _ = strings.Cut(string(checkpoint), "\n")
	var with, without side
	for round := range b.Rounds {
		for i, job := range []loadJob{plain, signing} {
			to := []*side{&without, &with}
			if round%2 == 1 { // the other one first
				i, job = 1-i, []loadJob{signing, plain}[i]
			}
			cpu0, err := processCPU(n.pid())
			if err != nil {
				return err
			}
			r, err := n.load(ctx, &b.Program, job)
			if err != nil {
				return fmt.Errorf("load the node: %w", err)
			}
			cpu1, err := processCPU(n.pid())
			if err != nil {
				return err
			}
			to[i].add(r, cpu1-cpu0)
		}
	}
	s.addSides("over HTTP, "+connections(goalConns), &with, &without, nil, nil)
	return nil
}

// newSigner is the signer of a sensor in a load generator.
func newSigner(origin, seed string) (*client.Signer, error) {
	b, err := hex.DecodeString(seed)
	if err != nil || len(b) != ed25519.SeedSize {
		return nil, errors.New("a sensor's key is no seed in hex")
	}
	// Every job has a process of its own; a job sends less than a request in a microsecond.
	return client.NewSigner(origin, ed25519.NewKeyFromSeed(b), 0, uint64(time.Now().UnixMicro())), nil
}

// signReading signs the request that carries a reading, and gives its vendor information.
func signReading(s *client.Signer, sensor int, body []byte) string {
	req := onem2m.Request{
		Operation: onem2m.Create, From: deviceID(sensor), To: container(sensor), Type: onem2m.TypeContentInstance, Content: body, ReleaseVersion: "4",
	}
	if err := s.Sign(&req); err != nil { // the sensors' addresses can be signed
		panic(err)
	}
	return req.VendorInformation
}

// signedRates are readings a second, and CPU time of the whole process in microseconds a reading.
type signedRates struct{ applied, alone, single, appliedCPU, aloneCPU float64 }

// round verifies and applies blocks of readings, and verifies the same signatures alone, in turn.
func (s *signers) round(ctx context.Context, blocks, size int) (signedRates, error) {
	var applied, alone, single []float64 // seconds of each block
	var appliedCPU, aloneCPU time.Duration
	for range max(blocks, 1) {
		if err := ctx.Err(); err != nil {
			return signedRates{}, err
		}
		tx, signed, err := s.batch(size)
		if err != nil {
			return signedRates{}, err
		}
		block, err := s.a.propose(tx)
		if err != nil {
			return signedRates{}, err
		}
		runtime.GC() // what made the batch is nobody's here
		cpu0, err := ownCPU()
		if err != nil {
			return signedRates{}, err
		}
		begin := time.Now()
		if _, err := s.a.apply(block); err != nil {
			return signedRates{}, err
		}
		applied = append(applied, time.Since(begin).Seconds())
		cpu1, err := ownCPU()
		if err != nil {
			return signedRates{}, err
		}
		if err := s.a.check(size); err != nil {
			return signedRates{}, err
		}
		begin = time.Now()
		if !verifyAlone(signed) {
			return signedRates{}, errors.New("a signature is not valid")
		}
		alone = append(alone, time.Since(begin).Seconds())
		cpu2, err := ownCPU()
		if err != nil {
			return signedRates{}, err
		}
		appliedCPU, aloneCPU = appliedCPU+cpu1-cpu0, aloneCPU+cpu2-cpu1
		begin = time.Now()
		if !verifySingly(signed[:size/4]) {
			return signedRates{}, errors.New("a signature is not valid")
		}
		single = append(single, time.Since(begin).Seconds())
	}
	n, all := float64(size), float64(max(blocks, 1)*size)
	return signedRates{n / median(applied), n / median(alone), n / 4 / median(single), micros(appliedCPU) / all, micros(aloneCPU) / all}, nil
}
