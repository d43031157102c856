package binding

import (
	"errors"
	"strconv"
	"time"
)

// AnswerError is the error of Client.Send when the target answered, but with no response primitive: with a status of
// its protocol alone, or with the wish to be asked later.
type AnswerError struct {
	Code  int           // the protocol's status, such as HTTP 503, or the response status code when it gave one
	Final bool          // the target will not take the same request later
	After time.Duration // what it asked to be left alone for, 0 when it asked for nothing
}

func (e *AnswerError) Error() string { return "it answered with status " + strconv.Itoa(e.Code) }

// ErrNoAnswer is the error of Client.Send when the target was given the request, as far as its protocol tells, and did
// not answer while the context lasted.
var ErrNoAnswer = errors.New("it was given the request and did not answer")
