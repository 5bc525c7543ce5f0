package sources

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrOutOfTime is the cause with which a context of Bounded ends when the
// source's own timeout is over, to tell it from a deadline of the caller's. It
// is found with errors.Is in context.Cause, and is no error to return: Ended
// makes one of it.
var ErrOutOfTime = errors.New("the source's timeout is over")

// Bounded limits what is done with the source's own timeout.
func Bounded(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, ErrOutOfTime)
}

// Ended says why something ended with its context. Where the source's own
// timeout was over that is ErrUnreachable, for no answer came; else the caller no
// longer wants it, and the error is ctx.Err(): nil while ctx has not ended.
func Ended(ctx context.Context, timeout time.Duration) error {
	if errors.Is(context.Cause(ctx), ErrOutOfTime) {
		return fmt.Errorf("%w: no answer within %s", ErrUnreachable, timeout)
	}
	return ctx.Err()
}
