package cse

import (
	"fmt"
	"strings"
)

// Trace collects why access control allowed or refused something, as it decides. It is for one request on one goroutine. All
// its methods take a nil Trace, which collects nothing and costs nothing.
type Trace struct {
	Steps []Step
	entry string // of accessControlOriginators, the last one that matched
}

// Step is one thing that a decision came by, in order.
type Step struct {
	// About is the resource that the step is about: a policy, role, token or the resource itself; "" for none.
	About string `json:"about,omitempty"`
	Path  string `json:"path,omitempty"` // its structured address, for a policy
	// Rule is the number of an access control rule in its set, from 1; 0 for other steps. Set is "pv" or "pvs".
	Rule int    `json:"rule,omitempty"`
	Set  string `json:"set,omitempty"`
	// Says is the rule in short, Why what came of it. Allows says that it was this that allowed the request.
	Says   string `json:"says,omitempty"`
	Why    string `json:"why"`
	Allows bool   `json:"allows,omitempty"`

	missing bool // a policy that is gone
	holder  bool // the default privileges
}

// maxSteps bounds a trace. Policies may have many rules.
const maxSteps = 512

func (tr *Trace) add(s Step) {
	if len(tr.Steps) < maxSteps {
		tr.Steps = append(tr.Steps, s)
	}
}

// What comes of a rule.
type ruleOutcome uint8

const (
	allowed ruleOutcome = iota
	otherOperations
	unsupportedRule
	otherObjects
	otherContext
	otherOriginators
	someAttributes
)

var ruleOutcomes = [...]string{
	allowed:          "allows it",
	otherOperations:  "not for this operation",
	unsupportedRule:  "has a condition that cannot be evaluated here, so it allows nothing",
	otherObjects:     "not for this type of resource (acod)",
	otherContext:     "not at this time or from this address (acco)",
	otherOriginators: "not for this originator",
	someAttributes:   "allows it for some attributes only (aca)",
}

// rule notes what came of rule i of the set that the last policy or permission has.
func (tr *Trace) rule(i int, u *rule, what ruleOutcome) {
	if tr == nil {
		return
	}
	s := Step{Rule: i + 1, Says: u.says(), Why: ruleOutcomes[what], Allows: what == allowed}
	for n := len(tr.Steps) - 1; n >= 0; n-- {
		if before := &tr.Steps[n]; before.Set != "" {
			s.About, s.Path, s.Set = before.About, before.Path, before.Set
			break
		}
	}
	if (what == allowed || what == someAttributes) && tr.entry != "" {
		s.Why += ", for " + tr.entry
	}
	tr.entry = ""
	tr.add(s)
}

// by notes which entry of accessControlOriginators the originator is.
func (tr *Trace) by(entry string, ok bool) {
	if tr != nil && ok {
		tr.entry = entry
	}
}

// policy notes that the rules of a policy come next.
func (tr *Trace) policy(c *Core, r Reader, acp *Resource, set string) {
	if tr == nil {
		return
	}
	path, err := c.pathOf(r, acp)
	if err != nil {
		path = "" // the decision will fail for it
	}
	tr.add(Step{About: acp.RI, Path: path, Set: set, Why: "this policy is asked"})
}

func (tr *Trace) noPolicy(id string) {
	if tr != nil {
		tr.add(Step{About: id, Why: "the resource links this policy, but it does not exist any more", missing: true})
	}
}

// holder notes what the default privileges say, and returns it.
func (tr *Trace) holder(own *compiled, ok bool) bool {
	if tr == nil {
		return ok
	}
	why := fmt.Sprintf("it links no policy, so all is allowed to who made it, %s, and to nobody else", own.res.Owner)
	if own.custodian != "" {
		why = fmt.Sprintf("it links no policy, so all is allowed to its custodian (cstn), %s, and to nobody else", own.custodian)
	}
	tr.add(Step{About: own.res.RI, Why: why, Allows: ok, holder: true})
	return ok
}

// channel decides about a pollingChannel, and notes it.
func (tr *Trace) channel(res *Resource, originator string) bool {
	ok := originator != "" && originator == res.Owner
	if tr != nil {
		tr.add(Step{About: res.RI, Why: "a pollingChannel is for who made it alone: " + res.Owner, Allows: ok})
	}
	return ok
}

// registers notes that an AE registers itself, for which its credential is enough.
func (tr *Trace) registers() {
	if tr != nil {
		tr.add(Step{Why: "an AE may register itself with a credential that is bound to its AE-ID", Allows: true})
	}
}

func (tr *Trace) lab(originator string) bool {
	if tr != nil {
		tr.add(Step{Why: "in a lab network all is allowed to " + originator, Allows: true})
	}
	return true
}

func (tr *Trace) registered(ok bool) {
	if tr != nil && ok {
		tr.add(Step{Why: "the originator is registered here and may retrieve the CSEBase", Allows: true})
	}
}

// attributes notes what came of rules for single attributes.
func (tr *Trace) attributes(g *grant, ok bool) {
	if tr == nil || !g.any {
		return
	}
	why := "the request is about other attributes than those that rules allow together: "
	if ok {
		why = "the request is about attributes that rules allow together: "
	}
	tr.add(Step{Why: why + strings.Join(g.names, " "), Allows: ok})
}

// What comes of a role.
type roleOutcome uint8

const (
	roleHeld roleOutcome = iota
	roleByToken
	roleNotValid
	roleNotAsserted
	roleNotGiven
)

var roleOutcomes = [...]string{
	roleHeld:        "the originator has the role %s",
	roleByToken:     "a token gives the originator the role %s",
	roleNotValid:    "this role resource does not give the role %s now: it has ended, not begun, or expired",
	roleNotAsserted: "the originator has the role %s, but the request does not name it (rids)",
	roleNotGiven:    "the request names the role %s, which the originator was not given",
}

func (tr *Trace) role(roleID, ri string, what roleOutcome) {
	if tr != nil {
		tr.add(Step{About: ri, Why: fmt.Sprintf(roleOutcomes[what], roleID)})
	}
}

// token notes whether a token counts; why is "" when it does.
func (tr *Trace) token(shown, ri, why string) {
	if tr == nil {
		return
	}
	if why == "" {
		why = "counts"
	} else {
		why = "does not count: " + why
	}
	tr.add(Step{About: ri, Why: fmt.Sprintf("token %s %s", shown, why)})
}

// permission notes that the rules of a token's permission come next, or that its issuer cannot give them.
func (tr *Trace) permission(tk *Resource, i int, t *token, ok bool) {
	if tr == nil {
		return
	}
	s := Step{About: tk.RI, Set: "pv"}
	s.Why = fmt.Sprintf("permission %d of token %s is asked", i+1, t.id)
	if !ok {
		s.Set, s.Why = "", fmt.Sprintf("permission %d of token %s counts for nothing: its issuer, %s, may not change the policies of the resource", i+1, t.id, t.issuer)
	}
	tr.add(s)
}

// says is a rule in short.
func (u *rule) says() string {
	var b strings.Builder
	const shown = 8
	b.WriteString(strings.Join(u.originators[:min(len(u.originators), shown)], " "))
	if n := len(u.originators) - shown; n > 0 {
		fmt.Fprintf(&b, " and %d more", n)
	}
	b.WriteString(": ")
	b.WriteString(u.operations.String())
	if len(u.attributes) > 0 {
		b.WriteString(" of " + strings.Join(u.attributes, " "))
	}
	if u.hasObjects {
		b.WriteString(", with acod")
	}
	if len(u.contexts) > 0 {
		b.WriteString(", with acco")
	}
	return b.String()
}

var accessNames = [...]string{"CREATE", "RETRIEVE", "UPDATE", "DELETE", "NOTIFY", "DISCOVERY"}

// String names the operations.
func (a access) String() string {
	var names []string
	for i, name := range accessNames {
		if a&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	switch {
	case len(names) == 0:
		return "nothing"
	case a == accessAll:
		return "all operations"
	}
	return strings.Join(names, " ")
}
