package onem2m

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestParameters: what a request gives, SetParameter takes back (TS-0009 clause 6.2.2.2).
func TestParameters(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	for _, req := range []*Request{
		{ResultContent: ResultContentDefault},
		{ResultContent: ResultContentNothing, DesiredIDType: 2, ResponseType: 3, ResultPersistence: "1000", Attributes: []string{"con", "lt"}},
		{ResultContent: ResultContentChildRefs, Filter: &FilterCriteria{
			Usage: FilterUsageDiscovery, Operation: 2, CreatedBefore: "20300101T000000", CreatedAfter: "20200101T000000", ModifiedSince: "20200101T000001",
			UnmodifiedSince: "20200101T000002", ExpireBefore: "20200101T000003", ExpireAfter: "20200101T000004",
			StateTagSmaller: n(1), StateTagBigger: n(2), SizeAbove: n(0), SizeBelow: n(9), Limit: n(3), Level: n(4), Offset: n(5),
			Labels: []string{"a", "b c"}, LabelsQuery: "x", ChildLabels: []string{"d"}, ParentLabels: []string{"e"},
			Types: []ResourceType{3, 4}, ChildTypes: []ResourceType{4}, ParentTypes: []ResourceType{2},
			ContentTypes: []string{"application/senml+json", "text/plain"}, ApplyRelPath: "la",
			Attributes:      []AttributeFilter{{"cr", "C+a"}, {"ty", "x"}},
			ChildAttributes: []AttributeFilter{{"con", "2*"}}, ParentAttributes: []AttributeFilter{{"rn", "x,y"}},
		}},
	} {
		for _, joined := range []bool{true, false} {
			got := &Request{ResultContent: ResultContentDefault}
			for name, values := range req.Parameters() {
				if joined {
					values = []string{strings.Join(values, "+")}
				}
				for _, v := range values {
					if err := SetParameter(got, name, v); err != nil {
						t.Fatalf("%s=%s: %v", name, v, err)
					}
				}
			}
			if diff := cmp.Diff(req, got); diff != "" {
				t.Errorf("joined %v (-given +got):\n%s", joined, diff)
			}
		}
	}
}
