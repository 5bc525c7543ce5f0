package apply

import (
	"errors"
	"time"
)

// refusals returns what a Writer's error says about the rows of the batch; ok
// means that NetBox refused it and did nothing.
func refusals(err error) (named map[int]string, ok bool) {
	var e interface{ Refusals() (map[int]string, bool) }
	if !errors.As(err, &e) {
		return nil, false
	}
	return e.Refusals()
}

// isUnsure reports whether nobody knows if the batch was carried out.
func isUnsure(err error) bool {
	var e interface{ Unsure() bool }
	return errors.As(err, &e) && e.Unsure()
}

// retryAfter is how long NetBox asked to be left alone.
func retryAfter(err error) time.Duration {
	var e interface{ RetryAfter() time.Duration }
	if !errors.As(err, &e) {
		return 0
	}
	return e.RetryAfter()
}
