package proof

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a policy.
const (
	MaxMembers = 64        // members, and likewise keys of the log: both sign, and a checkpoint holds MaxSignatures
	maxPolicy  = 256 << 10 // bytes of one policy file
)

// groupName is the name that a policy file gives to all members together.
const groupName = "members"

// Policy is all that an auditor has to trust: which network it is, the public keys of its members, and how many of
// them must have signed. Get it from somebody you trust, not from the node whose bundles you check.
//
// As text it is a C2SP trust policy (c2sp.org/tlog-policy), reduced to one log and one group:
//
//	log <vkey>               one line a key that signs as the log; the name of every key is the origin
//	witness <name> <vkey>    one line a member; the name is that of the key
//	group members <k> <name>...
//	quorum members
//
// The group holds every witness once, and k of them make the quorum. Fields are separated by spaces or tabs; empty
// lines and lines that begin with # are skipped; the order is free as long as names are defined before they are
// used. Whatever else c2sp.org/tlog-policy knows (URLs, more groups, "any", "all", "none") is refused.
type Policy struct {
	Origin  string              // origin of the network's checkpoints
	Logs    []ed25519.PublicKey // keys that sign as the log, at least one: each node has its own
	Members []Member            // 1 to MaxMembers members
	Quorum  int                 // number of distinct members whose cosignatures a checkpoint needs, at least 1
}

// Member is one party of the network.
type Member struct {
	Name string            // name of its key: 1 to MaxName bytes without spaces and plus signs
	Key  ed25519.PublicKey // verifies its cosignatures
}

// NewPolicy returns the usual policy of a network: every member's key also signs as the log, and more than two
// thirds of the members make the quorum.
func NewPolicy(origin string, members []Member) (*Policy, error) {
	p := &Policy{Origin: origin, Members: members, Quorum: DefaultQuorum(len(members))}
	for _, m := range members {
		p.Logs = append(p.Logs, m.Key)
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	return p, nil
}

// DefaultQuorum returns the least number that is more than two thirds of n members.
func DefaultQuorum(n int) int {
	return 2*n/3 + 1
}

// logKey returns the key with number i of the log.
func (p *Policy) logKey(i int) VerifierKey {
	return VerifierKey{Name: p.Origin, Type: KeyLog, Key: p.Logs[i]}
}

// memberKey returns the cosignature key of the member with number i.
func (p *Policy) memberKey(i int) VerifierKey {
	return VerifierKey{Name: p.Members[i].Name, Type: KeyCosignature, Key: p.Members[i].Key}
}

// Check reports the first thing that makes the policy unusable: a bad name, a key of the wrong size, a key or name
// listed twice, a quorum that nobody or everybody could meet, a list that is empty or too long.
func (p *Policy) Check() error {
	if err := checkName(p.Origin); err != nil {
		return fmt.Errorf("policy: origin: %w", err)
	}
	if n := len(p.Logs); n < 1 || n > MaxMembers {
		return fmt.Errorf("policy: %d keys of the log, want 1 to %d", n, MaxMembers)
	}
	if n := len(p.Members); n < 1 || n > MaxMembers {
		return fmt.Errorf("policy: %d members, want 1 to %d", n, MaxMembers)
	}
	if p.Quorum < 1 || p.Quorum > len(p.Members) {
		return fmt.Errorf("policy: quorum of %d, there are %d members", p.Quorum, len(p.Members))
	}
	// c2sp.org/tlog-policy: no public key twice among the logs, nor among the witnesses. Log keys share a name, so
	// that those with one key ID could not be told apart.
	ids := make(map[uint32]bool, len(p.Logs))
	for i, k := range p.Logs {
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("policy: key %d of the log has %d bytes, want %d", i+1, len(k), ed25519.PublicKeySize)
		}
		id := p.logKey(i).ID()
		if ids[id] {
			return fmt.Errorf("policy: key %d of the log is listed twice", i+1)
		}
		ids[id] = true
	}
	names := make(map[string]bool, len(p.Members))
	keys := make(map[[ed25519.PublicKeySize]byte]bool, len(p.Members))
	for _, m := range p.Members {
		if err := checkName(m.Name); err != nil {
			return fmt.Errorf("policy: member: %w", err)
		}
		if m.Name == groupName || m.Name == "none" {
			return fmt.Errorf("policy: member %q: the name is reserved", m.Name)
		}
		if len(m.Key) != ed25519.PublicKeySize {
			return fmt.Errorf("policy: member %q: key of %d bytes, want %d", m.Name, len(m.Key), ed25519.PublicKeySize)
		}
		if names[m.Name] {
			return fmt.Errorf("policy: member %q is listed twice", m.Name)
		}
		key := [ed25519.PublicKeySize]byte(m.Key)
		if keys[key] {
			return fmt.Errorf("policy: member %q has the key of another member", m.Name)
		}
		names[m.Name], keys[key] = true, true
	}
	return nil
}

// Marshal returns the policy as text. ParsePolicy reads it back, unless Check finds fault with the policy.
func (p *Policy) Marshal() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Who must have signed before a proof from %s is accepted (c2sp.org/tlog-policy).\n", p.Origin)
	for i := range p.Logs {
		fmt.Fprintf(&b, "log %s\n", p.logKey(i))
	}
	for i, m := range p.Members {
		fmt.Fprintf(&b, "witness %s %s\n", m.Name, p.memberKey(i))
	}
	fmt.Fprintf(&b, "group %s %d", groupName, p.Quorum)
	for _, m := range p.Members {
		fmt.Fprintf(&b, " %s", m.Name)
	}
	fmt.Fprintf(&b, "\nquorum %s\n", groupName)
	return b.Bytes()
}

// ParsePolicy parses a policy file. An error names the line.
func ParsePolicy(b []byte) (*Policy, error) {
	if len(b) > maxPolicy {
		return nil, fmt.Errorf("parse policy: %d bytes, the limit is %d", len(b), maxPolicy)
	}
	if !utf8.Valid(b) {
		return nil, errors.New("parse policy: not valid UTF-8")
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		return nil, errors.New("parse policy: the last line does not end with a line feed")
	}
	var r policyReader
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		if err := r.line(strings.TrimSuffix(line, "\n")); err != nil {
			return nil, fmt.Errorf("parse policy: line %d: %w", n, err)
		}
	}
	if !r.done {
		return nil, errors.New("parse policy: no quorum line")
	}
	if err := r.p.Check(); err != nil {
		return nil, fmt.Errorf("parse policy: %w", err)
	}
	return &r.p, nil
}

// policyReader collects a policy line by line.
type policyReader struct {
	p       Policy
	grouped bool // the group line was read
	done    bool // the quorum line was read
}

func (r *policyReader) line(line string) error {
	// c2sp.org/tlog-policy, Character set: of the control characters only tab and line feed.
	if i := strings.IndexFunc(line, func(c rune) bool { return c < 0x20 && c != '\t' || c == 0x7f }); i >= 0 {
		return fmt.Errorf("control character 0x%02x", line[i])
	}
	fields := strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' })
	if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
		return nil
	}
	switch keyword, args := fields[0], fields[1:]; keyword {
	case "log":
		return r.log(args)
	case "witness":
		return r.witness(args)
	case "group":
		return r.group(args)
	case "quorum":
		return r.quorum(args)
	default:
		return fmt.Errorf("%.32q is not a known keyword, want log, witness, group or quorum", keyword)
	}
}

func (r *policyReader) log(args []string) error {
	if len(args) != 1 {
		return errors.New("want: log <vkey>")
	}
	k, err := ParseVerifierKey(args[0], KeyLog)
	if err != nil {
		return err
	}
	if len(r.p.Logs) > 0 && k.Name != r.p.Origin {
		return fmt.Errorf("the name of the key is %q, but another log line says %q: one policy is about one network", k.Name, r.p.Origin)
	}
	if len(r.p.Logs) == MaxMembers {
		return fmt.Errorf("more than %d keys of the log", MaxMembers)
	}
	r.p.Origin = k.Name
	r.p.Logs = append(r.p.Logs, k.Key)
	return nil
}

func (r *policyReader) witness(args []string) error {
	if len(args) != 2 {
		return errors.New("want: witness <name> <vkey>")
	}
	if r.grouped {
		return errors.New("witness after the group line: the group must list every witness")
	}
	k, err := ParseVerifierKey(args[1], KeyCosignature)
	if err != nil {
		return err
	}
	if k.Name != args[0] {
		return fmt.Errorf("witness %q has a key with the name %q, want one name", args[0], k.Name)
	}
	if slices.ContainsFunc(r.p.Members, func(m Member) bool { return m.Name == k.Name }) {
		return fmt.Errorf("witness %q is listed twice", k.Name)
	}
	if len(r.p.Members) == MaxMembers {
		return fmt.Errorf("more than %d witnesses", MaxMembers)
	}
	r.p.Members = append(r.p.Members, Member{Name: k.Name, Key: k.Key})
	return nil
}

func (r *policyReader) group(args []string) error {
	if len(args) < 3 || args[0] != groupName {
		return fmt.Errorf("want: group %s <k> <name>", groupName)
	}
	if r.grouped {
		return errors.New("second group line")
	}
	k, err := strconv.Atoi(args[1])
	if err != nil || strconv.Itoa(k) != args[1] {
		return fmt.Errorf("%.32q is not a decimal number", args[1])
	}
	listed := make(map[string]bool, len(r.p.Members))
	for _, name := range args[2:] {
		if listed[name] {
			return fmt.Errorf("%.64q is listed twice", name)
		}
		listed[name] = true
	}
	for _, m := range r.p.Members {
		if !listed[m.Name] {
			return fmt.Errorf("witness %q is missing: the group must list every witness", m.Name)
		}
		delete(listed, m.Name)
	}
	for _, name := range args[2:] {
		if listed[name] {
			return fmt.Errorf("no witness line defines %.64q", name)
		}
	}
	r.p.Quorum, r.grouped = k, true
	return nil
}

func (r *policyReader) quorum(args []string) error {
	if len(args) != 1 || args[0] != groupName {
		return fmt.Errorf("want: quorum %s", groupName)
	}
	if !r.grouped {
		return errors.New("quorum before the group line")
	}
	if r.done {
		return errors.New("second quorum line")
	}
	r.done = true
	return nil
}
