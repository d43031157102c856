package coapbinding

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
)

// exchange sends a request, in blocks when it is large, and gives the whole response (RFC 7959).
func (t *target) exchange(ctx context.Context, m *message.Message) (*message.Message, error) {
	answer, err := t.upload(ctx, m)
	if err != nil {
		return nil, err
	}
	return t.download(ctx, m, answer)
}

// upload sends a request and gives the response to the last of its blocks.
func (t *target) upload(ctx context.Context, m *message.Message) (*message.Message, error) {
	b := block{given: true, szx: maxSZX}
	if len(m.Payload) <= b.size() {
		return t.ask(ctx, m)
	}
	for {
		begin := b.offset()
		end := min(begin+b.size(), len(m.Payload))
		b.more = end < len(m.Payload)
		part := with(m, message.Block1, b.value())
		if b.num == 0 {
			part = with(part, message.Size1, uint32(len(m.Payload)))
		}
		part.Payload = m.Payload[begin:end]
		answer, err := t.ask(ctx, part)
		if err != nil {
			return nil, err
		}
		back, given, err := blockOption(answer, message.Block1)
		if err != nil {
			return nil, err
		}
		smaller := given && back.szx < b.szx
		switch {
		case answer.Code == codes.Continue && !b.more:
			return nil, errors.New("the target asks for more blocks after the last one")
		case answer.Code == codes.Continue:
			// The target may want smaller blocks from here on (RFC 7959 clause 2.3).
			if smaller {
				b.szx = back.szx
			}
			b.num = uint32(end >> (b.szx + 4))
		case answer.Code == codes.RequestEntityTooLarge && smaller && b.num == 0:
			b.szx = back.szx
		default:
			return answer, nil
		}
	}
}

// download fetches what follows the first block of a response.
func (t *target) download(ctx context.Context, m, answer *message.Message) (*message.Message, error) {
	b, given, err := blockOption(answer, message.Block2)
	if err != nil || !given {
		return answer, err
	}
	whole := *answer
	whole.Payload = slices.Clone(answer.Payload)
	if b.num != 0 {
		return nil, fmt.Errorf("the answer begins with block %d", b.num)
	}
	tag := optionValue(answer, message.ETag)
	for b.more {
		if len(whole.Payload) > maxAnswer {
			return nil, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
		}
		if len(answer.Payload) != b.size() {
			return nil, fmt.Errorf("block %d of the answer has %d bytes instead of %d", b.num, len(answer.Payload), b.size())
		}
		next := block{given: true, num: uint32(len(whole.Payload) >> (b.szx + 4)), szx: b.szx}
		part := with(m, message.Block2, next.value())
		part.Payload = nil
		if answer, err = t.ask(ctx, part); err != nil {
			return nil, err
		}
		if b, given, err = blockOption(answer, message.Block2); err != nil {
			return nil, err
		}
		if !given || answer.Code != whole.Code || b.offset() != len(whole.Payload) || !bytes.Equal(tag, optionValue(answer, message.ETag)) {
			return nil, fmt.Errorf("the answer changed or ended after %d bytes", len(whole.Payload))
		}
		if b.more && len(answer.Payload) == 0 {
			return nil, errors.New("a block of the answer is empty")
		}
		whole.Payload = append(whole.Payload, answer.Payload...)
	}
	return &whole, nil
}

// with gives a message with one option more; the options stay in order.
func with(m *message.Message, id message.OptionID, v uint32) *message.Message {
	n := *m
	n.Options = appendUint(slices.Clone(m.Options), id, v)
	sortOptions(n.Options)
	return &n
}

func blockOption(m *message.Message, id message.OptionID) (b block, given bool, err error) {
	for _, o := range m.Options {
		if o.ID == id {
			if b, err = parseBlock(o.Value); err != nil {
				return b, false, errors.New("the answer has a bad block option")
			}
			return b, true, nil
		}
	}
	return b, false, nil
}

func optionValue(m *message.Message, id message.OptionID) []byte {
	for _, o := range m.Options {
		if o.ID == id {
			return o.Value
		}
	}
	return nil
}
