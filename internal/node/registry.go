package node

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
)

// RegistryPage is what GET /-/devices answers.
type RegistryPage struct {
	Devices []RegisteredDevice `json:"devices"`
	// Next is what to ask for as after to get what follows, "" when there is no more.
	Next string `json:"next,omitempty"`
}

// RegisteredDevice is an originator with its credentials.
type RegisteredDevice struct {
	Originator   string                 `json:"originator"`
	Organisation string                 `json:"organisation,omitempty"`
	Quarantined  string                 `json:"quarantined,omitempty"` // why, when it is
	Credentials  []RegisteredCredential `json:"credentials"`
}

// RegisteredCredential is a credential without what could be used of it.
type RegisteredCredential struct {
	Key       string    `json:"key"`
	Kind      string    `json:"kind"` // token or key
	Role      string    `json:"role"`
	State     string    `json:"state"`               // valid, not yet, expired or revoked
	PublicKey string    `json:"publicKey,omitempty"` // in hex
	NotBefore time.Time `json:"notBefore,omitzero"`
	NotAfter  time.Time `json:"notAfter,omitzero"`
	// Entry is the log index of its enrolment and Revocation that of its revocation: tally proof --index fetches them.
	Entry      uint64 `json:"entry"`
	Revocation uint64 `json:"revocation,omitempty"`
}

const (
	defaultPage = 100
	maxPage     = 1000
)

// serveDevices lists originators, by organisation and name: ?organisation=, ?after=, ?limit=; or gives one, ?originator=.
// An operator of an organisation sees that one's.
func (n *Node) serveDevices(w http.ResponseWriter, r *http.Request) {
	c := n.asOperator(w, r)
	if c == nil {
		return
	}
	q := r.URL.Query()
	view := n.app.View()
	defer view.Close()
	now := max(time.Now().UnixMicro(), n.app.Head().Time)
	if name := q.Get("originator"); name != "" {
		d, err := n.registered(view, name, now)
		switch {
		case err != nil:
			refuse(w, http.StatusInternalServerError, err.Error())
		case d == nil || !c.MayActFor(d.Organisation): // one answer for both: names of others are none of his business
			refuse(w, http.StatusNotFound, "no credential was ever bound to "+strconv.Quote(name))
		default:
			writeJSON(w, RegistryPage{Devices: []RegisteredDevice{*d}})
		}
		return
	}
	limit := defaultPage
	if s := q.Get("limit"); s != "" {
		var err error
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > maxPage {
			refuse(w, http.StatusBadRequest, "limit is not a number from 1 to "+strconv.Itoa(maxPage))
			return
		}
	}
	organisation, all := c.Organisation, c.Organisation == "" && !q.Has("organisation")
	if q.Has("organisation") {
		organisation = q.Get("organisation")
	}
	if !c.MayActFor(organisation) {
		refuse(w, http.StatusForbidden, c.Originator+" is an operator of the organisation "+c.Organisation+" only")
		return
	}
	root := strings.TrimSuffix(identity.RegistryKey("", ""), "/")
	prefix := root
	if !all {
		prefix = identity.RegistryKey(organisation, "")
	}
	after := q.Get("after")
	if after != "" {
		after = root + after
	}
	page := RegistryPage{Devices: []RegisteredDevice{}}
	last := ""
	for name, err := range view.AuxNames(prefix, after) {
		if err == nil && len(page.Devices) == limit {
			page.Next = strings.TrimPrefix(last, root)
			break
		}
		var d *RegisteredDevice
		if err == nil {
			_, originator, _ := strings.Cut(strings.TrimPrefix(name, root), "/")
			d, err = n.registered(view, originator, now)
		}
		if err != nil {
			refuse(w, http.StatusInternalServerError, err.Error())
			return
		}
		if d != nil {
			page.Devices, last = append(page.Devices, *d), name
		}
	}
	writeJSON(w, page)
}

// registered tells of an originator, nil when no credential was ever bound to it.
func (n *Node) registered(r cse.Reader, originator string, now int64) (*RegisteredDevice, error) {
	h, err := identity.LookupHolder(r, originator)
	if err != nil || h == nil {
		return nil, err
	}
	d := &RegisteredDevice{Originator: originator, Organisation: h.Organisation, Credentials: []RegisteredCredential{}}
	if q := n.app.Quarantined(originator); q != nil {
		d.Quarantined = q.Reason
	}
	for _, id := range h.Keys {
		c, err := identity.Lookup(r, id)
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		out := RegisteredCredential{
			Key: hex.EncodeToString(id[:]), Kind: c.Kind.String(), Role: c.Role.String(), State: c.State(now),
			NotBefore: identity.Time(c.NotBefore), NotAfter: identity.Time(c.NotAfter), Entry: c.Index, Revocation: c.Revocation,
		}
		if c.Kind == identity.Key {
			out.PublicKey = hex.EncodeToString(c.Value[:])
		}
		d.Credentials = append(d.Credentials, out)
	}
	return d, nil
}
