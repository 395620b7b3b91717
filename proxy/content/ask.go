package content

import (
	"context"
	"errors"
	"io"
)

// ErrMismatch is the error of an answer whose content has another digest.
var ErrMismatch = errors.New("the registry's answer has another digest")

// ErrBroken is the error of an answer whose end did not come.
var ErrBroken = errors.New("the upstream's answer broke")

// Question is what the registry is asked for.
type Question struct {
	// Head asks for the header alone.
	Head bool
	// Subject is where it is looked for.
	Subject Subject
	// Reference is a digest or a tag.
	Reference string
	// Tag says that it is a tag.
	Tag bool
	// Accept are the media types that are wanted.
	Accept []string
	// Unless is the digest that needs not be sent; "" is none.
	Unless string
	// From is how many bytes are here already: only those behind them are wanted. 0: all.
	From int64
}

// Ask asks the registry. Without a whole answer it returns an error, and with it an
// Answer where at least a status came, else nil.
type Ask func(ctx context.Context, q Question) (*Answer, error)

// Answer is what the registry said.
type Answer struct {
	// Status is that of HTTP.
	Status int
	// Header is its own from now on.
	Header Header
	// Body fails where it ends early; nil: there is none.
	Body io.ReadCloser

	cancel context.CancelFunc
}

// Cut ends the question, wherever its answer is. Close has to follow.
func (a *Answer) Cut() { a.cancel() }

// Close lets go of an answer, read or not. It may be called on nil.
func (a *Answer) Close() {
	if a == nil {
		return
	}
	if a.Body != nil {
		_ = a.Body.Close() // what it did not say is lost anyway
	}
	if a.cancel != nil {
		a.cancel()
	}
}

// refuses reports whether the registry says no.
func refuses(status int) bool {
	return status == 404 || status == 410 || status == 401 || status == 403
}

// statusOf is 0 where nothing came.
func statusOf(a *Answer) int {
	if a == nil {
		return 0
	}
	return a.Status
}

// Faulty reports whether a status, 0 for none, means that the registry could not be asked.
func Faulty(status int) bool { return status == 0 || status >= 500 }
