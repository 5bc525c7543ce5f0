package netbox

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The causes that callers tell apart, found with errors.Is.
var (
	// ErrDenied: NetBox does not know the token, or the token may not do this
	// (NetBox answers 403 to both). Trying again does not help.
	ErrDenied = errors.New("access denied")
	// ErrFields: custom fields are missing or wrong; `allocsync setup` mends
	// what can be mended.
	ErrFields = errors.New("custom fields are not ready")
)

// Error is a request that NetBox did not carry out, or of which nobody knows
// whether it did. Its text never holds the token.
type Error struct {
	Method  string
	Path    string // below the base URL, without the query
	Status  int    // 0 where no complete answer came
	Message string // NetBox's words, or what went wrong on the way
	Err     error  // ErrDenied, the context's error, the transport's; may be nil

	rows    map[int]string
	refused bool
	unsure  bool
	retry   bool // a read may be tried again
	after   time.Duration
}

// Error returns "METHOD PATH: status: message".
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: ", e.Method, e.Path)
	if e.Status != 0 {
		fmt.Fprintf(&b, "status %d: ", e.Status)
	}
	b.WriteString(e.Message)
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Refusals reports whether NetBox refused a batch and did nothing of it, and
// if so its words for the rows that were wrong, by their index in the batch.
// The map is empty where NetBox did not say which row it was, which versions
// before 4.7 do not on updates; the words are then in Message.
func (e *Error) Refusals() (map[int]string, bool) { return e.rows, e.refused }

// Unsure reports whether nobody knows if the request was carried out: no
// answer came, or one that can come after the work was done.
func (e *Error) Unsure() bool { return e.unsure }

// RetryAfter is how long the server asks to be left alone; 0 where it does not
// say.
func (e *Error) RetryAfter() time.Duration { return e.after }
