package httpbinding

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

const (
	// smallBody is the size in bytes up to which a body is read without a share of the body memory: what all
	// connections can take with such bodies is little, when each has one at a time.
	smallBody = 4 << 10
	// memoryWait bounds the wait for body memory. It leaves most of ReadTimeout for the body.
	memoryWait = 10 * time.Second
)

var (
	errUnknown = onem2m.Errorf(onem2m.StatusSecurityAssociationRequired, "a valid bearer token is required (tally device enrol makes one)")
	errHangUp  = onem2m.Errorf(errUnknown.Status, "%s", errUnknown.Message) // to one with a long body
	errBusy    = onem2m.Errorf(onem2m.StatusInternalServerError, "the node is busy: the bodies of other requests fill the memory set aside for them; try again later")
)

// scratch buffers hold bodies of unknown length until their size is known.
var scratch = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readContent reads the body, of a known originator only, and converts it to JSON text, nil when it is empty. The
// result is the caller's own: the handler may keep it.
func (b *server) readContent(x *exchange, r *http.Request, body *format, held *share) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	raw, err := b.readBody(x.evidence, r, held)
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	if body.cbor {
		text, err := onem2m.CBORToJSON(raw)
		if err != nil {
			return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the body is no usable CBOR: %v", err)
		}
		if int64(len(text)) > b.maxBody {
			return nil, b.tooLarge
		}
		return text, nil
	}
	text, err := onem2m.ScanValue(raw)
	if err != nil {
		return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the body is no JSON: %v", err)
	}
	return text, nil
}

// readBody reads the body as it is, of a known originator only. The result is the caller's own. Nothing is decompressed:
// a few bytes could become many.
func (b *server) readBody(ev binding.Evidence, r *http.Request, held *share) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	if !b.handler.Known(ev) {
		if r.ContentLength < 0 || r.ContentLength > smallBody {
			return nil, errHangUp
		}
		return nil, errUnknown
	}
	encoding, _, err := singleHeader(r.Header, "Content-Encoding")
	if err != nil {
		return nil, err
	}
	if encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, onem2m.Errorf(onem2m.StatusUnsupportedMediaType, "Content-Encoding %.40q is not understood; send the body as it is", encoding)
	}
	if r.ContentLength > b.maxBody {
		return nil, b.tooLarge
	}
	if r.ContentLength > 0 {
		return b.readCounted(r, held)
	}
	return b.readChunked(r, held)
}

// readCounted reads a body with a Content-Length.
func (b *server) readCounted(r *http.Request, held *share) ([]byte, error) {
	if r.ContentLength > smallBody || r.ProtoMajor > 1 {
		if err := b.take(r, held, r.ContentLength); err != nil {
			return nil, err
		}
	}
	raw := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, raw); err != nil {
		return nil, brokenBody(err)
	}
	return raw, nil
}

// readChunked reads a body whose length only its end tells.
func (b *server) readChunked(r *http.Request, held *share) ([]byte, error) {
	if r.ProtoMajor > 1 {
		if err := b.take(r, held, b.maxBody); err != nil {
			return nil, err
		}
	}
	buf := scratch.Get().(*bytes.Buffer)
	defer scratch.Put(buf)
	buf.Reset()
	n, err := buf.ReadFrom(io.LimitReader(r.Body, min(smallBody, b.maxBody)+1))
	if err == nil && n > smallBody {
		if *held == 0 {
			if err := b.take(r, held, b.maxBody); err != nil {
				return nil, err
			}
		}
		_, err = buf.ReadFrom(io.LimitReader(r.Body, b.maxBody+1-n))
	}
	switch {
	case err != nil:
		return nil, brokenBody(err)
	case int64(buf.Len()) > b.maxBody:
		return nil, b.tooLarge
	}
	return bytes.Clone(buf.Bytes()), nil
}

func brokenBody(err error) error {
	return onem2m.Errorf(onem2m.StatusBadRequest, "read the body: %v", err)
}

// share is what a request holds of the body memory, in bytes.
type share int64

// take waits for a share of the body memory.
func (b *server) take(r *http.Request, held *share, bytes int64) error {
	ctx, cancel := context.WithTimeout(r.Context(), memoryWait)
	defer cancel()
	if b.memory.Acquire(ctx, bytes) != nil {
		return errBusy
	}
	*held = share(bytes)
	return nil
}

func (b *server) giveBack(held *share) {
	if *held > 0 {
		b.memory.Release(int64(*held))
	}
}
