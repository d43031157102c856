package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Measure is one figure, next to its reference from the same run.
type Measure struct {
	Section   string  `json:"section"`
	Name      string  `json:"name"`
	Unit      string  `json:"unit"`
	Value     float64 `json:"value"`
	Reference float64 `json:"reference,omitempty"` // 0 when there is none
	Ratio     float64 `json:"ratio,omitempty"`     // Value / Reference
	Goal      *Goal   `json:"goal,omitempty"`
	Met       *bool   `json:"met,omitempty"` // nil without a goal
}

// Goal is what a measure is held to.
type Goal struct {
	Ratio   bool    `json:"ratio"`   // of the ratio, not of the value
	AtLeast bool    `json:"atLeast"` // else at most
	Bound   float64 `json:"bound"`
}

func atMost(v float64) *Goal       { return &Goal{Bound: v} }
func ratioAtMost(v float64) *Goal  { return &Goal{Bound: v, Ratio: true} }
func ratioAtLeast(v float64) *Goal { return &Goal{Bound: v, Ratio: true, AtLeast: true} }

func (g *Goal) met(m *Measure) bool {
	v := m.Value
	if g.Ratio {
		v = m.Ratio
	}
	if g.AtLeast {
		return v >= g.Bound
	}
	return v <= g.Bound
}

func (g *Goal) String() string {
	s := "<= "
	if g.AtLeast {
		s = ">= "
	}
	s += strconv.FormatFloat(g.Bound, 'g', -1, 64)
	if g.Ratio {
		return "ratio " + s
	}
	return s
}

// Section is one table.
type Section struct {
	Name     string    `json:"name"`
	Title    string    `json:"title"`
	Subject  string    `json:"subject"`   // what the value column measures
	Against  string    `json:"reference"` // what the reference column measures, "" for none
	Notes    []string  `json:"notes"`
	Measures []Measure `json:"measures"`
}

func (s *Section) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

// add appends a measure; reference 0 and a nil goal mean none.
func (s *Section) add(name, unit string, value, reference float64, goal *Goal) {
	m := Measure{Section: s.Name, Name: name, Unit: unit, Value: value, Reference: reference, Goal: goal}
	if reference > 0 {
		m.Ratio = value / reference
	}
	if goal != nil {
		met := goal.met(&m)
		m.Met = &met
	}
	s.Measures = append(s.Measures, m)
}

func (s *Section) print(w io.Writer) error {
	fmt.Fprintf(w, "\n%s\n", s.Title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	against := s.Against
	if against == "" {
		against = "-"
	}
	fmt.Fprintf(t, "  measure\tunit\t%s\t%s\tratio\tgoal\t\n", s.Subject, against)
	for i := range s.Measures {
		m := &s.Measures[i]
		reference, ratio, goal, verdict := "-", "-", "-", ""
		if m.Reference > 0 {
			reference, ratio = number(m.Reference), fmt.Sprintf("%.2f", m.Ratio)
		}
		if m.Goal != nil {
			goal, verdict = m.Goal.String(), "met"
			if !*m.Met {
				verdict = "SHORT"
			}
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, m.Unit, number(m.Value), reference, ratio, goal, verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, n := range s.Notes {
		fmt.Fprintf(w, "  * %s\n", strings.ReplaceAll(n, "\n", "\n    "))
	}
	return nil
}

// number prints three significant digits, more for whole numbers of more.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1 || a == 0:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
}

// Report is one run.
type Report struct {
	Machine  Machine   `json:"machine"`
	Sections []Section `json:"sections"`
}

// WriteJSON writes the report as one indented JSON document.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
