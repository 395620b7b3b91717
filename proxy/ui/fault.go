package ui

import (
	"net/http"
	"time"
)

// Fault is what a visitor is told in the place of a page.
type Fault struct {
	// Status is HTTP's, Code the registry's word for it.
	Status int
	// Code is the registry's word for it, such as DENIED.
	Code string
	// Message is a sentence for people.
	Message string
	// Allow are the route's methods, with 405.
	Allow []string
	// Retry is when to try again; zero: that is not known.
	Retry time.Duration
	// Cause is for the log alone.
	Cause error
}

// Error is for the log.
func (f *Fault) Error() string {
	if f.Cause != nil {
		return f.Code + ": " + f.Cause.Error()
	}
	return f.Code
}

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Cause }

// absent is one text for what is not there and for what the visitor may not see.
const absent = "Not there, or not for you."

func notFound() *Fault {
	return &Fault{Status: http.StatusNotFound, Code: "NOT_FOUND", Message: absent}
}

func badRequest(message string) *Fault {
	return &Fault{Status: http.StatusBadRequest, Code: "UNSUPPORTED", Message: message}
}

// refused is a form that did not come from one of our own pages.
func refused() *Fault {
	return &Fault{Status: http.StatusForbidden, Code: "DENIED", Message: "This form did not come from a page of this site, so it was refused. Nothing was changed."}
}
