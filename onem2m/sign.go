package onem2m

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Signature is a device's own Ed25519 signature over a request (RFC 8032 section 5.1). It travels in the request's
// vendor information (vsi), which every binding and encoding carries.
type Signature struct {
	// Key names the public key: the first 8 bytes of its SHA-256.
	Key [8]byte
	// Counter is from 1 to MaxCounter, and new for every request of the key. The network takes a counter once, and
	// none that is 64 or more below the newest that it took.
	Counter uint64
	// Until is when the request lapses, in Unix seconds: the network does not execute it in a block of a later time.
	// At most MaxSignedFor ahead.
	Until int64
	// Bytes is the signature itself.
	Bytes [ed25519.SignatureSize]byte
}

// Bounds of a signature.
const (
	MaxCounter   = 1<<63 - 1
	MaxSignedFor = 31 * 24 * 3600 // seconds from the block that takes a request to Signature.Until
	maxUntil     = 253402300799   // the end of the year 9999
)

const (
	signatureMark = "tallystick-signature;"
	signedContext = "tallystick/signed-request@v1\n"
)

// KeyID returns the name of a public key in signatures and on the ledger.
func KeyID(key ed25519.PublicKey) [8]byte {
	h := sha256.Sum256(key)
	return [8]byte(h[:])
}

// IsSigned says whether the vendor information of a request claims to be a signature.
func IsSigned(vsi string) bool { return strings.HasPrefix(vsi, signatureMark) }

// String is the signature as vendor information:
//
//	tallystick-signature;v=1;key=<16 hex digits>;ctr=<decimal>;until=<decimal>;sig=<base64url>
func (s *Signature) String() string {
	b := append(make([]byte, 0, 192), signatureMark+"v=1;key="...)
	b = hex.AppendEncode(b, s.Key[:])
	b = strconv.AppendUint(append(b, ";ctr="...), s.Counter, 10)
	b = strconv.AppendInt(append(b, ";until="...), s.Until, 10)
	b = base64.RawURLEncoding.AppendEncode(append(b, ";sig="...), s.Bytes[:])
	return string(b)
}

// ParseSignature parses vendor information for which IsSigned is true. It takes only the text that String writes.
func ParseSignature(vsi string) (*Signature, error) {
	s, err := parseSignature(vsi)
	if err == nil && s.String() != vsi {
		err = errors.New("it is not in its one form")
	}
	if err != nil {
		return nil, fmt.Errorf("signature in the vendor information (vsi): %w", err)
	}
	return s, nil
}

func parseSignature(vsi string) (*Signature, error) {
	rest, ok := strings.CutPrefix(vsi, signatureMark)
	if !ok {
		return nil, fmt.Errorf("it does not begin with %s", signatureMark)
	}
	var field [5]string
	for i, name := range [...]string{"v=", "key=", "ctr=", "until=", "sig="} {
		part := rest
		if i < len(field)-1 {
			if part, rest, ok = strings.Cut(rest, ";"); !ok {
				return nil, fmt.Errorf("it ends before ;%s", name)
			}
		}
		if field[i], ok = strings.CutPrefix(part, name); !ok {
			return nil, fmt.Errorf("%s is not where it belongs", name)
		}
	}
	if field[0] != "1" {
		return nil, fmt.Errorf("version %.8q is not known, this program knows 1", field[0])
	}
	s := new(Signature)
	if len(field[1]) != 2*len(s.Key) {
		return nil, errors.New("the key is not 16 hexadecimal digits")
	}
	if _, err := hex.Decode(s.Key[:], []byte(field[1])); err != nil {
		return nil, errors.New("the key is not 16 hexadecimal digits")
	}
	var err error
	if s.Counter, err = strconv.ParseUint(field[2], 10, 63); err != nil || s.Counter == 0 {
		return nil, errors.New("the counter (ctr) is no number from 1 to 2^63-1")
	}
	if s.Until, err = strconv.ParseInt(field[3], 10, 64); err != nil || s.Until <= 0 || s.Until > maxUntil {
		return nil, errors.New("until is no Unix time in seconds before the year 10000")
	}
	sig, err := base64.RawURLEncoding.Strict().DecodeString(field[4])
	if err != nil || len(sig) != len(s.Bytes) {
		return nil, errors.New("sig is not 64 bytes in base64url without padding")
	}
	copy(s.Bytes[:], sig)
	return s, nil
}

// AppendSigned appends what is signed before the content:
//
//	tallystick/signed-request@v1
//	origin <the network's origin>
//	key <16 hex digits>
//	counter <decimal>
//	until <decimal>
//	op <decimal>
//	fr <originator>
//	to <target>
//	ty <decimal, 0 for none>
//	rvi <release version indicator>
//	<an empty line>
//
// every line with a line feed at its end; the content follows as it is in req. The error says that one of these cannot be
// written in a line, or that the request has a parameter that changes what it does and that no signature covers.
func (s *Signature) AppendSigned(dst []byte, origin string, req *Request) ([]byte, error) {
	if err := signable(req); err != nil {
		return dst, err
	}
	for _, f := range [...]struct{ name, value string }{{"origin", origin}, {"fr", req.From}, {"to", req.To}, {"rvi", req.ReleaseVersion}} {
		if !oneLine(f.value) {
			return dst, fmt.Errorf("a signed request needs %s as one line of UTF-8 text without control characters", f.name)
		}
	}
	dst = append(append(dst, signedContext+"origin "...), origin...)
	dst = hex.AppendEncode(append(dst, "\nkey "...), s.Key[:])
	dst = strconv.AppendUint(append(dst, "\ncounter "...), s.Counter, 10)
	dst = strconv.AppendInt(append(dst, "\nuntil "...), s.Until, 10)
	dst = strconv.AppendUint(append(dst, "\nop "...), uint64(req.Operation), 10)
	dst = append(append(dst, "\nfr "...), req.From...)
	dst = append(append(dst, "\nto "...), req.To...)
	dst = strconv.AppendUint(append(dst, "\nty "...), uint64(req.Type), 10)
	dst = append(append(dst, "\nrvi "...), req.ReleaseVersion...)
	return append(dst, "\n\n"...), nil
}

// signable refuses what a signature would not protect: reads, which leave nothing behind that would stop their
// repetition, and parameters that are not signed and would change what the request does or when.
func signable(req *Request) error {
	switch req.Operation {
	case Create, Update, Delete:
	default:
		return errors.New("a signature proves a CREATE, UPDATE or DELETE only: nothing would stop the repetition of another request")
	}
	name := ""
	switch {
	case req.Filter != nil:
		name = "filter criteria (fc)"
	case req.OperationExecution != "":
		name = "an operation execution time (oet)"
	case req.ResponseType != 0 && req.ResponseType != ResponseTypeBlocking && req.ResponseType != ResponseTypeNone:
		name = "a response type (rt) other than blocking and none"
	case len(req.Attributes) > 0:
		name = "an attribute list (atrl)"
	case req.GroupRequestID != "":
		name = "a group request identifier (gid)"
	case strings.Contains(req.To+"/", "/fopt/"):
		name = "a group's members (fopt) as its target"
	default:
		return nil
	}
	return fmt.Errorf("a signed request cannot have %s, which the signature does not cover", name)
}

func oneLine(s string) bool {
	if s == "" || !utf8.ValidString(s) {
		return false
	}
	for _, c := range []byte(s) {
		if c < 0x20 || c == 0x7f {
			return false
		}
	}
	return true
}

// Sign signs a request for the network of an origin and puts the signature into its vendor information. From must be the
// originator that key is enrolled for, as the registry has it, and To and Content exactly what will be sent, Content as
// JSON text. Nothing of these may be changed afterwards.
func (r *Request) Sign(origin string, key ed25519.PrivateKey, counter uint64, until int64) error {
	s := &Signature{Key: KeyID(key.Public().(ed25519.PublicKey)), Counter: counter, Until: until}
	if counter == 0 || counter > MaxCounter || until <= 0 || until > maxUntil {
		return fmt.Errorf("sign a request: counter %d or time %d is out of range", counter, until)
	}
	msg, err := s.AppendSigned(make([]byte, 0, 256+len(r.Content)), origin, r)
	if err != nil {
		return fmt.Errorf("sign a request: %w", err)
	}
	copy(s.Bytes[:], ed25519.Sign(key, append(msg, r.Content...)))
	r.VendorInformation = s.String()
	return nil
}
