package upstream

import (
	"context"
	"errors"
	"net"
)

// The reasons why there is no answer.
var (
	ErrUnreachable = errors.New("the upstream cannot be reached")
	ErrSilent      = errors.New("the upstream did not answer in time")
	ErrAnswer      = errors.New("the upstream's answer cannot be passed on")
	ErrBody        = errors.New("the request's body could not be read")
)

// Error is why a request has no answer that may go to a client.
type Error struct {
	Reason error // one of this package's, or context.Canceled
	Status int   // what the upstream answered; 0: nothing
	Sent   bool  // all of the request may have reached the upstream
	Cause  error // for the log alone: it may name inner addresses. With ErrBody, the reader's own error
}

func (e *Error) Error() string { return e.Reason.Error() + ": " + e.Cause.Error() }

// Unwrap gives the reason and the cause.
func (e *Error) Unwrap() []error { return []error{e.Reason, e.Cause} }

var (
	errSilent  = errors.New("no response headers in time")
	errStalled = errors.New("the upstream stopped in the middle of its answer")
)

// failed is the error of a request that got no answer: whose fault it was, that of
// the caller who left or whose body broke, or the upstream's.
func failed(ctx context.Context, body *sentBody, err error) *Error {
	var op *net.OpError
	e := &Error{Reason: ErrUnreachable, Sent: !errors.As(err, &op) || op.Op != "dial", Cause: err}
	broken := body.failed()
	if broken != nil {
		e.Sent = false
	}
	switch {
	case errors.Is(context.Cause(ctx), errSilent), errors.Is(err, errSilent):
		e.Reason = ErrSilent
	case broken != nil:
		e.Reason, e.Cause = ErrBody, broken
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		e.Reason = ErrSilent
	case ctx.Err() != nil:
		e.Reason = context.Canceled
	}
	return e
}
