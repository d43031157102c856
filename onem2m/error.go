package onem2m

import "fmt"

// Error is why a request is refused: the response status code and, for the debug information of the response
// (dbg, TS-0004 clause 7.3.3), a sentence that names the attribute or parameter and what is wrong with it.
type Error struct {
	Status  StatusCode
	Message string
}

// Error gives the name of the status code and the message.
func (e *Error) Error() string { return e.Status.String() + ": " + e.Message }

// Errorf makes an Error.
func Errorf(status StatusCode, format string, args ...any) *Error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) *Error { return Errorf(StatusBadRequest, format, args...) }
