package ingress

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of one request to a fanOutPoint whose members are on other CSEs.
const (
	maxFarMembers      = 8        // member requests under way at once
	maxFarMembersBytes = 16 << 20 // content of the member responses, those of the last ones not counted
)

// aggregated is how the response to a request to a fanOutPoint starts (m2m:aggregatedResponse).
const aggregated = `{"m2m:agr":`

// askFarMembers has the members of a group that other CSEs host do what was asked of the group, and puts their responses
// in the place of this CSE's own, which cannot find them (TS-0004 clause 7.4.14.3). The members here have done it then,
// and it is committed. Each of the other CSEs decides about rights, as for any request that is handed on to it. Groups
// within groups are not looked into.
func (g *Ingress) askFarMembers(ctx context.Context, core *cse.Core, req *onem2m.Request, resp *onem2m.Response, from *identity.Credential) {
	if resp.Status != onem2m.StatusOK || !strings.Contains(req.To, "/fopt") || !bytes.HasPrefix(resp.Content, []byte(aggregated)) {
		return
	}
	var members [][]byte
	far := map[int]string{}
	for member := range onem2m.Elements(onem2m.Field(onem2m.Field(resp.Content, "m2m:agr"), "m2m:rsp")) {
		address, _ := onem2m.Unquote(onem2m.Field(member, "fr"))
		status, _ := onem2m.Int(onem2m.Field(member, "rsc"))
		if target, ok := g.elsewhere(address); ok && onem2m.StatusCode(status) == onem2m.StatusNotFound {
			far[len(members)] = target
		}
		members = append(members, member)
	}
	if len(far) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, g.Timeout())
	defer cancel()
	var (
		wait     sync.WaitGroup
		received atomic.Int64
		slots    = make(chan struct{}, maxFarMembers)
	)
	for i := range members {
		target, ok := far[i]
		if !ok {
			continue
		}
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			answer := failure(onem2m.StatusNotAcceptable, "the responses of the members on other CSEs have too many bytes")
			if received.Load() <= maxFarMembersBytes {
				member := *req
				member.To, member.ResponseType = target, 0
				answer = g.transit(ctx, core, &member, target, from)
			}
			received.Add(int64(len(answer.Content)))
			members[i] = farResponse(members[i], answer)
		})
	}
	wait.Wait()
	content := append([]byte(aggregated+`{"m2m:rsp":[`), bytes.Join(members, []byte{','})...)
	resp.Content = append(content, "]}}"...)
}

// farResponse is what the aggregated response says of a member on another CSE: its answer, in the frame of this CSE's.
func farResponse(own []byte, answer *onem2m.Response) []byte {
	text := func(name string) string {
		s, _ := onem2m.Unquote(onem2m.Field(own, name))
		return s
	}
	return onem2m.AppendResponse(nil, &onem2m.Response{
		Status: answer.Status, RequestID: text("rqi"), ReleaseVersion: text("rvi"), To: text("to"), From: text("fr"),
		Content: answer.Content, ContentStatus: answer.ContentStatus, ContentOffset: answer.ContentOffset,
	})
}
