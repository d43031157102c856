package httpbinding

import (
	"bytes"
	"io"
	"net/http"
	"sync"

	"github.com/tallystick/tallystick/onem2m"
)

// trustedLength is how many bytes are set aside at once for a body on the word of its Content-Length alone.
const trustedLength = 64 << 10

// scratch buffers hold bodies of unknown or great length until their size is known.
var scratch = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readContent reads the body and converts it to JSON text, nil when it is empty. The result is the caller's own:
// the handler may keep it.
func (b *binding) readContent(r *http.Request, body *format) ([]byte, error) {
	if r.ContentLength == 0 || body == nil {
		return nil, nil
	}
	if r.ContentLength > b.maxBody {
		return nil, b.tooLarge
	}
	var raw []byte
	if r.ContentLength > 0 && r.ContentLength <= trustedLength {
		raw = make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, raw); err != nil {
			return nil, onem2m.Errorf(onem2m.StatusBadRequest, "read the body: %v", err)
		}
	} else {
		buf := scratch.Get().(*bytes.Buffer)
		defer scratch.Put(buf)
		buf.Reset()
		n, err := buf.ReadFrom(io.LimitReader(r.Body, b.maxBody+1))
		switch {
		case err != nil:
			return nil, onem2m.Errorf(onem2m.StatusBadRequest, "read the body: %v", err)
		case n > b.maxBody:
			return nil, b.tooLarge
		case n == 0:
			return nil, nil
		}
		raw = bytes.Clone(buf.Bytes())
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
