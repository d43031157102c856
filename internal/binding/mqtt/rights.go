package mqttbinding

import (
	"context"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// rightsLife bounds how long an answer about rights is kept: some rights depend on the time of day.
const rightsLife = time.Second

// maxRights bounds the answers that a session keeps.
const maxRights = 4096

// rights keeps the handler's answers to whether a session may read a container, until rights may have changed.
type rights struct {
	mu    sync.Mutex
	known map[string]right // by container
}

type right struct {
	epoch uint64
	until int64 // Unix nanoseconds
	may   bool
}

func (r *rights) forget() {
	r.mu.Lock()
	r.known = nil
	r.mu.Unlock()
}

// mayRead asks the handler whether the session's client may read a container.
func (s *session) mayRead(container, ip string) bool {
	epoch, now := s.broker.epoch.Load(), time.Now()
	s.rights.mu.Lock()
	k, ok := s.rights.known[container]
	s.rights.mu.Unlock()
	if ok && k.epoch == epoch && now.UnixNano() < k.until {
		return k.may
	}
	may := s.retrieve(binding.Hurried(s.broker.ctx), container, ip).Success()
	s.rights.mu.Lock()
	if s.rights.known == nil || len(s.rights.known) >= maxRights {
		s.rights.known = make(map[string]right)
	}
	s.rights.known[container] = right{epoch, now.Add(rightsLife).UnixNano(), may}
	s.rights.mu.Unlock()
	return may
}

// retrieve asks for a resource on behalf of the session's client.
func (s *session) retrieve(ctx context.Context, to, ip string) onem2m.StatusCode {
	s.mu.Lock()
	ev := s.evidence
	s.mu.Unlock()
	return s.broker.o.Handler.Do(binding.Asking(ctx), &onem2m.Request{
		Operation: onem2m.Retrieve, To: to, From: s.owner, RequestID: "mqtt", ReleaseVersion: "4",
		ResultContent: onem2m.ResultContentAttributes, SourceIP: ip,
	}, ev).Status
}

// entitled says whether the session's client may get a message on a oneM2M topic (TS-0010 clause 7.4): responses to
// what it asked, and requests to it.
func (s *session) entitled(t *oneM2MTopic) bool {
	if s.isAnyone() {
		return true
	}
	switch t.kind {
	case kindResponse:
		return s.is(t.originator)
	case kindRegistrationResponse:
		return s.is(t.originator) || t.originator == topicID(s.client)
	case kindRequest:
		return s.is(t.receiver)
	default:
		return false
	}
}

// isAnyone says whether the client may claim to be anybody, as one of a lab network without credential.
func (s *session) isAnyone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.anyone
}

// is says whether an ID in a topic is the session's originator, in CSE-relative or SP-relative form.
func (s *session) is(id string) bool {
	own := topicID(s.owner)
	return id == own || id == topicID(s.broker.o.CSEID+"/"+s.owner)
}

// maySubscribe says whether a filter may be subscribed to. One with wildcards may be: every message is judged when it
// is delivered.
func (s *session) maySubscribe(f *filter, ip string) bool {
	if f.levels[0] == "" && len(f.levels) > 1 && f.levels[1] == "oneM2M" {
		return s.mayListen(f)
	}
	if f.wild() {
		return f.levels[0] == "#" || f.levels[0] == "+" || f.levels[0] == "" || f.levels[0] == Prefix
	}
	path, ok := pathOf(f.topic())
	if !ok {
		return false
	}
	// Who may not read what is there is told so. What is not there yet may be subscribed to.
	switch s.retrieve(s.broker.ctx, "-/"+path, ip) {
	case onem2m.StatusOriginatorHasNoPrivilege, onem2m.StatusSecurityAssociationRequired, onem2m.StatusBadRequest:
		return false
	default:
		return true
	}
}

// mayListen says so of a filter /oneM2M/kind/originator/...: it must not name somebody else.
func (s *session) mayListen(f *filter) bool {
	level := func(i int) string {
		if i < len(f.levels) && f.levels[i] != "#" {
			return f.levels[i]
		}
		return "+"
	}
	if level(2) == "+" || s.isAnyone() {
		return true
	}
	t := oneM2MTopic{kind: level(2), originator: level(3), receiver: level(4)}
	own := topicID(s.owner)
	if t.originator == "+" {
		t.originator = own
	}
	if t.receiver == "+" {
		t.receiver = own
	}
	return s.entitled(&t)
}
