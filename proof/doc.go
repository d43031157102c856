// Package proof is what an auditor needs to check what a Tallystick network recorded: offline, with nothing but a
// bundle file and the network's policy file, and without trusting any server.
//
// An [Entry] says who did what to which resource and when. It is one leaf of an RFC 6962 log and commits to the
// payload through a salted hash, so that a payload can be erased later while everything else stays provable. A
// [Checkpoint] is the head of that log; the members of the network cosign it. A [Bundle] holds an entry, its
// payload, the path from the entry to a checkpoint, and the signatures. A [Policy] says whose signatures count and
// how many are needed.
//
// # For an auditor
//
// Get the policy once, from somebody you trust. Then, for each bundle:
//
//	policy, err := proof.ParsePolicy(policyFile)
//	...
//	verified, err := policy.Verify(bundleFile)
//
// If the error is nil, then by the time verified.Published a quorum of the members had stated that
// the log contains verified.Entry at verified.Index, and, unless it is erased, that verified.Payload is what was
// recorded. Otherwise the error is a [StepError], which names the check that failed.
//
// If the device itself signed the request, verified.Device says so: its signature is checked too, so that not even the
// members together can have made the reading up. Whose key it is says the entry of the enrolment ([Device.CheckEnrolment]).
//
// A bundle proves what the log says. It does not prove that the originator told the truth, nor that nothing came
// later: the resource may have been changed or deleted since. Whoever keeps the newest checkpoint that he has seen
// can demand a consistency proof for the next one ([VerifyConsistency]) and so notice if the log was ever rewritten.
//
// # For other languages
//
// docs/formats.md describes every format to the byte, and testdata/vectors holds good and bad examples of each.
//
// # Sources
//
// RFC 6962 section 2.1 (tree, inclusion and consistency proofs), RFC 8949 section 4.2.1 (deterministic CBOR),
// RFC 8032 (Ed25519), RFC 4648 section 4 (base64), and of C2SP: signed-note, tlog-checkpoint, tlog-cosignature,
// tlog-proof and tlog-policy.
package proof
