package proof

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxSignedText bounds Signed.Text, in bytes.
const MaxSignedText = 4096

// Signed is a device's signature over the request that made an entry. It is kept beside the payload and erased with it.
type Signed struct {
	Signature [ed25519.SignatureSize]byte
	// Text is what was signed before the content, see SignedRequest.
	Text []byte
	// Content is what was signed after it. It is the payload itself, and then nil here, unless Apart is set: the entry
	// then tells of a change that the request brought along.
	Content []byte
	Apart   bool
}

// AppendBinary appends the form that an entry commits to: the signature; as uvarint the length of the text times 2, plus
// 1 if there is a content apart; the text; that content.
func (s *Signed) AppendBinary(dst []byte) []byte {
	dst = append(dst, s.Signature[:]...)
	n := uint64(len(s.Text)) << 1
	if s.Apart {
		n |= 1
	}
	dst = append(binary.AppendUvarint(dst, n), s.Text...)
	return append(dst, s.Content...)
}

// DecodeSigned decodes what AppendBinary wrote, and nothing else. The result shares the memory of b.
func DecodeSigned(b []byte) (*Signed, error) {
	s := new(Signed)
	if len(b) < len(s.Signature)+1 {
		return nil, errors.New("decode a signature: it ends too early")
	}
	rest := b[copy(s.Signature[:], b):]
	n, w := binary.Uvarint(rest)
	switch {
	case w <= 0 || w > 1 && rest[w-1] == 0:
		return nil, errors.New("decode a signature: no length in its shortest form")
	case n>>1 > MaxSignedText || n>>1 > uint64(len(rest)-w):
		return nil, fmt.Errorf("decode a signature: a text of %d bytes; the limit is %d, and %d are there", n>>1, MaxSignedText, len(rest)-w)
	}
	rest = rest[w:]
	s.Text, s.Apart = rest[:n>>1:n>>1], n&1 == 1
	if rest = rest[n>>1:]; s.Apart && len(rest) <= MaxPayload {
		if len(rest) > 0 {
			s.Content = rest
		}
	} else if len(rest) > 0 {
		return nil, fmt.Errorf("decode a signature: %d bytes too many", len(rest))
	}
	return s, nil
}

// SignedRequest is what a device's signature covers. The text that is signed has these fields in this order, each as its
// name, a space and the value, with a line feed at the end; before them the line that names the format, and after them an
// empty line and the content as it was sent.
type SignedRequest struct {
	Origin    string    // origin: the network
	Key       [8]byte   // key: the first 8 bytes of the SHA-256 of the device's public key, in hex
	Counter   uint64    // counter: from 1 to 2^63-1, new for every request of the key
	Until     int64     // until: when the request lapses, Unix seconds
	Operation Operation // op
	From      string    // fr: the originator that the key is enrolled for
	To        string    // to: the target as it was addressed
	Type      uint32    // ty: the resource type, 0 when none
	Release   string    // rvi: the release version indicator
}

const signedHeader = "tallystick/signed-request@v1"

// ParseSignedRequest parses the text that is signed before the content. It takes only the form that it documents.
func ParseSignedRequest(text []byte) (*SignedRequest, error) {
	r, err := parseSignedRequest(text)
	if err != nil {
		return nil, fmt.Errorf("parse what was signed: %w", err)
	}
	return r, nil
}

func parseSignedRequest(text []byte) (*SignedRequest, error) {
	if len(text) > MaxSignedText || !utf8.Valid(text) {
		return nil, fmt.Errorf("%d bytes that are too many, or no UTF-8", len(text))
	}
	rest, ok := strings.CutPrefix(string(text), signedHeader+"\n")
	if !ok {
		return nil, fmt.Errorf("it does not begin with the line %s", signedHeader)
	}
	var value [9]string
	for i, name := range [...]string{"origin", "key", "counter", "until", "op", "fr", "to", "ty", "rvi"} {
		var line string
		if line, rest, ok = strings.Cut(rest, "\n"); !ok {
			return nil, fmt.Errorf("it ends before %s", name)
		}
		if value[i], ok = strings.CutPrefix(line, name+" "); !ok || value[i] == "" || strings.ContainsFunc(value[i], isControl) {
			return nil, fmt.Errorf("%.40q is no line for %s", line, name)
		}
	}
	if rest != "\n" {
		return nil, errors.New("it does not end with an empty line")
	}
	r := &SignedRequest{Origin: value[0], From: value[5], To: value[6], Release: value[8]}
	if len(value[1]) != 16 || strings.ToLower(value[1]) != value[1] {
		return nil, errors.New("the key is not 16 lower-case hexadecimal digits")
	}
	if _, err := hex.Decode(r.Key[:], []byte(value[1])); err != nil {
		return nil, errors.New("the key is not 16 lower-case hexadecimal digits")
	}
	var number [4]uint64
	for i, n := range [...]struct {
		name, text string
		least, max uint64
	}{{"counter", value[2], 1, 1<<63 - 1}, {"until", value[3], 1, 253402300799}, {"op", value[4], 1, 255}, {"ty", value[7], 0, 1<<32 - 1}} {
		v, err := parseDecimal(n.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.name, err)
		}
		if v < n.least || v > n.max {
			return nil, fmt.Errorf("%s: %d is not from %d to %d", n.name, v, n.least, n.max)
		}
		number[i] = v
	}
	r.Counter, r.Until, r.Operation, r.Type = number[0], int64(number[1]), Operation(number[2]), uint32(number[3])
	return r, nil
}

func isControl(c rune) bool { return c < 0x20 || c == 0x7f }

// Device is a device's own word for what made an entry: its signature is valid.
type Device struct {
	Public  [ed25519.PublicKeySize]byte // the key; that it is the originator's, the entry of its enrolment says
	Request SignedRequest
	Content []byte // as signed
	// Direct says that the entry records the request itself. Else it tells of a change that the request brought along.
	Direct bool
}

// Request checks that what a device signed is of a network and fits an entry with its payload, in everything but the
// signature. It returns what was signed, taken apart and as the bytes that the signature must be of.
func (s *Signed) Request(origin string, e *Entry, payload []byte) (r *SignedRequest, message []byte, err error) {
	if r, err = ParseSignedRequest(s.Text); err != nil {
		return nil, nil, err
	}
	switch {
	case r.Origin != origin:
		return nil, nil, fmt.Errorf("it was signed for the network %q, not %q", r.Origin, origin)
	case r.Key != e.Auth.Key || r.Counter != e.Auth.Counter:
		return nil, nil, fmt.Errorf("it was signed by key %x with the counter %d, the entry names %x and %d", r.Key, r.Counter, e.Auth.Key, e.Auth.Counter)
	case e.Time > r.Until*1_000_000:
		return nil, nil, errors.New("the request had lapsed when it was executed")
	}
	return r, bytes.Join([][]byte{s.Text, s.content(payload)}, nil), nil
}

func (s *Signed) content(payload []byte) []byte {
	if s.Apart {
		return s.Content
	}
	return payload
}

// CheckEnrolment says why a verified entry is not of the enrolment that bound the device's key to the originator that it
// signed as, nil when it is. Only the ledger can say whether the key was revoked since.
func (d *Device) CheckEnrolment(enrolment *Verified) error {
	var bound struct {
		Originator string `json:"originator"`
		PublicKey  string `json:"publicKey"`
	}
	switch {
	case enrolment.Entry.Operation != OpEnrol || enrolment.Erased:
		return errors.New("the entry is not of an enrolment")
	case enrolment.Checkpoint.Origin != d.Request.Origin:
		return fmt.Errorf("the enrolment is of the network %q, the request of %q", enrolment.Checkpoint.Origin, d.Request.Origin)
	}
	if err := json.Unmarshal(enrolment.Payload, &bound); err != nil {
		return fmt.Errorf("read the enrolment: %w", err)
	}
	if bound.Originator != d.Request.From || bound.PublicKey != hex.EncodeToString(d.Public[:]) {
		return fmt.Errorf("the enrolment binds the key %.64q to %q, the request is signed by %x as %q", bound.PublicKey, bound.Originator, d.Public, d.Request.From)
	}
	return nil
}

// verifySigned checks the signature of a device beside the payload of an entry.
func verifySigned(origin string, public []byte, s *Signed, e *Entry, payload []byte) (*Device, error) {
	key, err := NewDeviceKey(public)
	if err != nil {
		return nil, err
	}
	if key.ID() != e.Auth.Key {
		return nil, fmt.Errorf("the public key is that of %x, the entry names %x", key.ID(), e.Auth.Key)
	}
	r, message, err := s.Request(origin, e, payload)
	if err != nil {
		return nil, err
	}
	if !key.Verify(message, s.Signature[:]) {
		return nil, errors.New("the device's signature is not valid")
	}
	direct := !s.Apart && r.Operation == e.Operation && r.From == e.Originator
	return &Device{Public: key.Public(), Request: *r, Content: s.content(payload), Direct: direct}, nil
}
