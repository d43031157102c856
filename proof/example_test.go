package proof_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/tallystick/tallystick/proof"
)

// An auditor has two files: the policy of the network, from somebody he trusts, and a bundle, from anybody.
func Example() {
	policyFile, err := os.ReadFile("testdata/policy.txt")
	if err != nil {
		log.Fatal(err)
	}
	bundleFile, err := os.ReadFile("testdata/bundle.txt")
	if err != nil {
		log.Fatal(err)
	}

	policy, err := proof.ParsePolicy(policyFile)
	if err != nil {
		log.Fatal(err)
	}
	v, err := policy.Verify(bundleFile)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("entry %d of %s, block %d\n", v.Index, v.Checkpoint.Origin, v.Entry.Height)
	fmt.Printf("recorded %s by %s\n", time.UnixMicro(v.Entry.Time).UTC().Format(time.RFC3339), v.Entry.Originator)
	fmt.Printf("%s\n", v.Payload)
	fmt.Printf("published %s, signed by %d members\n", v.Published.Format(time.RFC3339), len(v.SignedBy))

	// Output:
	// entry 41 of tallystick.example/cold-chain, block 120345
	// recorded 2026-09-21T14:13:20Z by Ctruck-0017
	// {"m2m:cin":{"cnf":"application/json:0","con":"{\"temperature\":4.25,\"humidity\":61}"}}
	// published 2026-09-21T14:13:22Z, signed by 4 members
}

// The error says which check failed.
func ExampleStepError() {
	policyFile, _ := os.ReadFile("testdata/policy.txt")
	policy, err := proof.ParsePolicy(policyFile)
	if err != nil {
		log.Fatal(err)
	}
	bundleFile, err := os.ReadFile("testdata/vectors/payload-changed.bundle")
	if err != nil {
		log.Fatal(err)
	}
	_, err = policy.Verify(bundleFile)
	var step *proof.StepError
	if errors.As(err, &step) {
		fmt.Println(step.Step)
	}
	fmt.Println(err)
	// Output:
	// payload commitment
	// verify: step "payload commitment" failed: the payload of 87 bytes is not the one that the entry commits to
}

// Whoever keeps the last checkpoint that he saw notices if the log was rewritten.
func ExampleVerifyConsistency() {
	first, second := proof.LeafHash([]byte("first entry")), proof.LeafHash([]byte("second entry"))
	root := sha256.Sum256(append(append([]byte{1}, first[:]...), second[:]...)) // RFC 6962 section 2.1

	seen := proof.Checkpoint{Origin: "tallystick.example/cold-chain", Size: 1, Root: first}
	now := proof.Checkpoint{Origin: "tallystick.example/cold-chain", Size: 2, Root: root}
	fmt.Println(proof.VerifyConsistency(seen, now, [][32]byte{second}) == nil)

	rewritten := proof.Checkpoint{Origin: "tallystick.example/cold-chain", Size: 1, Root: proof.LeafHash([]byte("another entry"))}
	fmt.Println(proof.VerifyConsistency(rewritten, now, [][32]byte{second}) == nil)
	// Output:
	// true
	// false
}
