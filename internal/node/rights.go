package node

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// serveRights says whether an originator may do something and which rule decides: a cse.Explanation. The parameters of the query
// are originator, operation (CREATE, RETRIEVE, UPDATE, DELETE, NOTIFY, DISCOVERY or POLICIES), resource, and where they matter type
// (of the resource to create: a number, or a name such as container), role and token (several times, or with commas between) and
// source (an IP address).
func (n *Node) serveRights(w http.ResponseWriter, r *http.Request) {
	c := n.authenticated(w, r)
	if c == nil {
		return
	}
	q, err := rightsQuestion(r.URL.Query())
	if err == nil {
		if q.Originator == "" {
			q.Originator = c.Originator
		}
		var x *cse.Explanation
		if x, err = n.ingress.Explain(c, q); err == nil {
			writeJSON(w, x)
			return
		}
	}
	status, why := http.StatusInternalServerError, err.Error()
	var e *onem2m.Error
	if errors.As(err, &e) {
		status, why = e.Status.HTTPStatus(), e.Message
	}
	refuse(w, status, why)
}

func rightsQuestion(v url.Values) (*cse.Question, error) {
	q := &cse.Question{
		Originator: v.Get("originator"), Operation: strings.ToUpper(v.Get("operation")), To: v.Get("resource"), SourceIP: v.Get("source"),
	}
	var err error
	if q.Type, err = typeNamed(v.Get("type")); err != nil {
		return nil, err
	}
	for _, list := range [...]struct {
		name string
		dst  *[]string
	}{{"role", &q.RoleIDs}, {"token", &q.TokenIDs}} {
		for _, value := range v[list.name] {
			for id := range strings.SplitSeq(value, ",") {
				if _, _, ok := onem2m.SplitIssuedID(id); !ok || len(*list.dst) == cse.MaxTokens {
					return nil, onem2m.Errorf(onem2m.StatusBadRequest, "%s %.64q is no ID of the form name@issuer, or one too many", list.name, id)
				}
				*list.dst = append(*list.dst, id)
			}
		}
	}
	return q, nil
}

// typeNamed gives a resource type by number, name or tag: 3, container, cnt; 0 for "".
func typeNamed(s string) (onem2m.ResourceType, error) {
	if s == "" {
		return 0, nil
	}
	if n, err := strconv.Atoi(s); err == nil {
		return onem2m.ResourceType(n), nil
	}
	for _, d := range onem2m.Types() {
		if slices.Contains([]string{strings.ToLower(d.Name), d.Tag, strings.TrimPrefix(d.Tag, "m2m:")}, strings.ToLower(s)) {
			return d.Type, nil
		}
	}
	return 0, onem2m.Errorf(onem2m.StatusBadRequest, "type %.64q is no resource type: use a number or a name such as container", s)
}
