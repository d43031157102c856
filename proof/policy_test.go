package proof

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPolicyGolden(t *testing.T) {
	p := testPolicy(t, 4)
	text := p.Marshal()
	golden(t, "policy.txt", text)
	got, err := ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got); diff != "" {
		t.Error(diff)
	}
}

func TestDefaultQuorum(t *testing.T) {
	for n := 1; n <= MaxMembers; n++ {
		q := DefaultQuorum(n)
		if 3*q <= 2*n || 3*(q-1) > 2*n {
			t.Errorf("quorum of %d: %d is not the least number over two thirds", n, q)
		}
	}
}

// TestPolicyLayout: comments, empty lines, tabs and another order of lines and names are free (c2sp.org/tlog-policy, Structure).
func TestPolicyLayout(t *testing.T) {
	p := testPolicy(t, 2)
	file := strings.Join([]string{
		"", " \t", "# comment", "  # another",
		"witness\t" + p.Members[0].Name + " \t" + p.memberKey(0).String() + "  ",
		" witness " + p.Members[1].Name + " " + p.memberKey(1).String(),
		"group members 1 " + p.Members[1].Name + " " + p.Members[0].Name,
		"quorum members",
		"log " + p.logKey(1).String(),
		"",
	}, "\n")
	got, err := ParsePolicy([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	want := &Policy{Origin: p.Origin, Logs: p.Logs[1:], Members: p.Members, Quorum: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	p := testPolicy(t, 3)
	good := string(p.Marshal())
	a, b := p.Members[0].Name, p.Members[1].Name
	other := VerifierKey{"other.example/log", KeyLog, testKey(9).Public().(ed25519.PublicKey)}
	named := func(name string) string { return VerifierKey{name, KeyCosignature, p.Members[0].Key}.String() }
	line := func(prefix string) string {
		for l := range strings.Lines(good) {
			if strings.HasPrefix(l, prefix) {
				return l
			}
		}
		t.Fatalf("no line %q", prefix)
		return ""
	}
	group := line("group")
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", "no quorum line"},
		{"unknown keyword", "origin x\n" + good, `line 1: "origin" is not a known keyword`},
		{"no last line feed", strings.TrimSuffix(good, "\n"), "line feed"},
		{"carriage returns", strings.ReplaceAll(good, "\n", "\r\n"), "control character 0x0d"},
		{"not UTF-8", "# \xff\n" + good, "UTF-8"},
		{"no log", strings.ReplaceAll(good, "log ", "# log "), "origin: empty name"},
		{"two networks", "log " + other.String() + "\n" + good, "one policy is about one network"},
		{"log twice", line("log") + good, "key 2 of the log is listed twice"},
		{"log with URL", strings.Replace(good, line("log"), strings.TrimSpace(line("log"))+" https://x\n", 1), "want: log <vkey>"},
		{"log key as witness", strings.Replace(good, p.memberKey(0).String(), VerifierKey{a, KeyLog, p.Members[0].Key}.String(), 1), "type 0x01, want 0x04"},
		{"witness key as log", strings.Replace(good, p.logKey(0).String(), p.memberKey(0).String(), 1), "type 0x04, want 0x01"},
		{"witness twice", line("witness") + good, "is listed twice"},
		{"one key, two names", strings.Replace(good, p.memberKey(1).String(), VerifierKey{b, KeyCosignature, p.Members[0].Key}.String(), 1), "has the key of another member"},
		{"name not that of the key", strings.Replace(good, "witness "+a, "witness x", 1), "want one name"},
		{"witness after group", good + line("witness"), "witness after the group"},
		{"reserved name", strings.NewReplacer("witness "+a, "witness none", p.memberKey(0).String(), named("none"), group, strings.Replace(group, a, "none", 1)).Replace(good), "reserved"},
		{"group misses a witness", strings.Replace(good, group, strings.Replace(group, a+" ", "", 1), 1), "is missing"},
		{"group names a stranger", strings.Replace(good, group, strings.TrimSpace(group)+" x\n", 1), `no witness line defines "x"`},
		{"group names one twice", strings.Replace(good, group, strings.TrimSpace(group)+" "+a+"\n", 1), "listed twice"},
		{"second group", strings.Replace(good, group, group+group, 1), "second group"},
		{"other group", strings.Replace(good, "group members", "group all", 1), "want: group members"},
		{"quorum zero", strings.Replace(good, "members 3", "members 0", 1), "quorum of 0"},
		{"quorum too high", strings.Replace(good, "members 3", "members 4", 1), "quorum of 4, there are 3"},
		{"quorum with a zero", strings.Replace(good, "members 3", "members 03", 1), "not a decimal"},
		{"quorum any", strings.Replace(good, "members 3", "members any", 1), "not a decimal"},
		{"quorum none", strings.Replace(good, "quorum members", "quorum none", 1), "want: quorum members"},
		{"quorum first", "quorum members\n" + good, "quorum before the group"},
		{"quorum twice", good + "quorum members\n", "second quorum"},
		{"too long", good + strings.Repeat("#\n", maxPolicy/2), "the limit is"},
	} {
		if _, err := ParsePolicy([]byte(c.file)); err == nil {
			t.Errorf("%s: accepted", c.name)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %q, want %q in it", c.name, err, c.want)
		}
	}
}

// TestPolicyChecked: a policy that was not made by ParsePolicy or NewPolicy is not believed.
func TestPolicyChecked(t *testing.T) {
	for name, change := range map[string]func(*Policy){
		"no quorum":      func(p *Policy) { p.Quorum = 0 },
		"no members":     func(p *Policy) { p.Members = nil },
		"no log":         func(p *Policy) { p.Logs = nil },
		"short key":      func(p *Policy) { p.Members[1].Key = p.Members[1].Key[:31] },
		"short log key":  func(p *Policy) { p.Logs[1] = p.Logs[1][:31] },
		"too many":       func(p *Policy) { p.Members = make([]Member, MaxMembers+1) },
		"bad name":       func(p *Policy) { p.Members[0].Name = "a b" },
		"same name":      func(p *Policy) { p.Members[1].Name = p.Members[0].Name },
		"same key":       func(p *Policy) { p.Members[1].Key = p.Members[0].Key },
		"no origin":      func(p *Policy) { p.Origin = "" },
		"quorum too big": func(p *Policy) { p.Quorum = 5 },
	} {
		p := testPolicy(t, 4)
		change(p)
		b := testBundle()
		if _, err := p.VerifyBundle(b); err == nil {
			t.Errorf("%s: bundle verified", name)
		} else if s := (*StepError)(nil); errors.As(err, &s) {
			t.Errorf("%s: the bundle is blamed: %v", name, err)
		}
		if _, err := p.Open(&b.Checkpoint); err == nil {
			t.Errorf("%s: checkpoint opened", name)
		}
	}
	if _, err := NewPolicy("x", nil); err == nil {
		t.Error("NewPolicy accepted no members")
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add(testPolicy(f, 1).Marshal())
	f.Add(testPolicy(f, 4).Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePolicy(b)
		if err != nil {
			return
		}
		text := p.Marshal()
		again, err := ParsePolicy(text)
		if err != nil {
			t.Fatalf("own text refused: %v\n%s", err, text)
		}
		if !bytes.Equal(again.Marshal(), text) {
			t.Errorf("text is not stable:\n%s", text)
		}
	})
}
