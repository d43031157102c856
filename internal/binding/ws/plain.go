package wsbinding

import (
	"strconv"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// orderedList holds the messages of a plain device that are not yet answered, in the order in which they came.
type orderedList []*pending

// pending is one of them.
type pending struct {
	mark mark
	rsp  *onem2m.Response // nil until it is done
}

// takePlain hands a message of a plain device on. Many may be under way; they are answered in the order of the
// messages, as they have no other name.
func (c *conn) takePlain(m message) bool {
	p := &pending{mark: mark{cost: cost(len(m.text)), kind: websocket.MessageText}}
	if !c.room(c.window, p.mark.cost) {
		c.giveBack(m)
		return false
	}
	c.mu.Lock()
	c.ordered = append(c.ordered, p)
	c.mu.Unlock()
	msg := &binding.Message{Path: c.path, MediaType: c.media, Body: m.text, SourceIP: c.remote}
	done := func(rsp *onem2m.Response) {
		c.giveBack(m)
		c.finish(p, rsp)
	}
	if s, ok := c.b.o.Plain.(binding.PlainStarter); ok {
		s.Start(c.ctx, msg, c.evidence, done)
		return true
	}
	c.b.running.Go(func() { done(c.b.o.Plain.Ingest(c.ctx, msg, c.evidence)) })
	return true
}

// finish answers a message and those after it that are done already, unless one before it is not.
func (c *conn) finish(p *pending, rsp *onem2m.Response) {
	c.mu.Lock()
	p.rsp = rsp
	var due []*pending
	for len(c.ordered) > 0 && c.ordered[0].rsp != nil {
		due = append(due, c.ordered[0])
		c.ordered[0] = nil
		c.ordered = c.ordered[1:]
	}
	if c.ended {
		c.mu.Unlock()
		for _, d := range due {
			c.written(d.mark)
		}
		return
	}
	for _, d := range due {
		c.out = appendResult(c.out, d.rsp)
		d.mark.end = len(c.out)
		c.marks = append(c.marks, d.mark)
	}
	c.startWriting()
}

// appendResult appends what a plain device is told: {"rsc":2001}, and why when it was refused.
func appendResult(dst []byte, rsp *onem2m.Response) []byte {
	dst = strconv.AppendInt(append(dst, `{"rsc":`...), int64(rsp.Status), 10)
	if why := onem2m.Field(rsp.Content, "m2m:dbg"); why != nil {
		dst = append(append(dst, `,"dbg":`...), why...)
	}
	return append(dst, '}')
}
