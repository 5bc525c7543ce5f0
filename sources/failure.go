package sources

import (
	"errors"
	"strings"
)

// Failure is a request to a system that brought no usable answer. Its cause is
// found with errors.Is and errors.As.
type Failure struct {
	Doing  string // "read /1.0/networks"
	Cause  error
	Advice string // what to do about it; "" where only trying again helps
}

// Error says what was done, what came of it and what to do.
func (e *Failure) Error() string {
	text := e.Doing + ": " + e.Cause.Error()
	if e.Advice != "" {
		text += "; " + e.Advice
	}
	return text
}

// Unwrap returns the cause.
func (e *Failure) Unwrap() error { return e.Cause }

// BadFinding makes a finding of an error with a part of the system, "" for all
// of it. Its Fix is the advice of a Failure, or else otherwise.
func BadFinding(part string, err error, otherwise string) Finding {
	f := Finding{Text: err.Error(), Fix: otherwise}
	if e, ok := errors.AsType[*Failure](err); ok && e.Advice != "" {
		f.Text = strings.Replace(f.Text, "; "+e.Advice, "", 1)
		f.Fix = e.Advice
	}
	if part != "" {
		f.Text = part + ": " + f.Text
	}
	return f
}
