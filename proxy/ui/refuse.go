package ui

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/proxy/ui/browse"
)

// Refuse answers a request that Serve did not, with a page that says why not.
func (u *UI) Refuse(w http.ResponseWriter, r *http.Request, c *Call, fault *Fault) {
	h := w.Header()
	cookies := h["Set-Cookie"]
	clear(h)
	if cookies != nil {
		h["Set-Cookie"] = cookies
	}
	c.headers(h)
	allow(h, fault.Allow)
	retryAfter(h, fault.Retry)
	if u.explain(w, r, c, fault) != nil {
		http.Error(w, fault.Message, fault.Status)
	}
}

func (u *UI) explain(w http.ResponseWriter, r *http.Request, c *Call, fault *Fault) error {
	if c.target.place == atLogin && r.Method == http.MethodPost && c.Seen.Login {
		return u.showLogin(w, r, c, loginFault(fault))
	}
	if c.visitor.identity.Anonymous() && !c.visitor.ended { // the address was refused before anybody was asked
		c.visitor, _ = u.visitor(r, c)
	}
	f := u.frame(r, c, "error", headings[fault.Status])
	if f.Heading == "" {
		f.Heading = http.StatusText(fault.Status)
	}
	f.Status, f.Content = fault.Status, fault
	return u.show(w, r, f, "error")
}

// headings are what pages of errors are called.
var headings = map[int]string{
	http.StatusBadRequest: "That address cannot be read", http.StatusForbidden: "Refused", http.StatusNotFound: "Not found",
	http.StatusMethodNotAllowed: "Not like that", http.StatusRequestEntityTooLarge: "Too large", http.StatusUnsupportedMediaType: "Not a form",
	http.StatusTooManyRequests: "Too many requests", http.StatusBadGateway: "The registry cannot be reached",
	http.StatusServiceUnavailable: "Not available now", http.StatusGatewayTimeout: "The registry takes too long",
}

// loginFault says it for the page of the login, which never tells what of it was wrong.
func loginFault(fault *Fault) *Fault {
	told := *fault
	switch fault.Status {
	case http.StatusUnauthorized:
		told.Message = "The name or the password is wrong."
	case http.StatusTooManyRequests:
		told.Message = "There were too many failed logins. Try again in " + wait(fault.Retry) + "."
	case http.StatusServiceUnavailable:
		told.Message = "A directory cannot be asked at the moment, and you may be of those that it knows. Try again in " + wait(fault.Retry) + "."
	}
	return &told
}

// wait is a time in words, rounded up.
func wait(d time.Duration) string {
	seconds := int((d + time.Second - 1) / time.Second)
	switch {
	case seconds <= 1:
		return "a second"
	case seconds < 120:
		return plural(seconds, "second", "seconds")
	}
	return plural((seconds+59)/60, "minute", "minutes")
}

// unread is what a visitor is told where the registry did not show what the page needs. Who
// is not logged in is led to the login, whether it is there or not.
func (u *UI) unread(w http.ResponseWriter, c *Call, err error) error {
	var denied *browse.Denied
	switch {
	case errors.As(err, &denied):
		c.Seen.Action, c.Seen.Decision, c.Seen.Rule = authz.Pull, "denied", denied.Rule
		return u.nowhere(w, c, err)
	case errors.Is(err, browse.ErrAbsent):
		return u.nowhere(w, c, nil)
	case errors.Is(err, browse.ErrSlow):
		return &Fault{Status: http.StatusGatewayTimeout, Code: "UNAVAILABLE", Message: "The registry has not answered in time. What was begun goes on; reload the page in a moment.", Cause: err}
	case errors.Is(err, browse.ErrAnswer):
		return &Fault{Status: http.StatusBadGateway, Code: "UNAVAILABLE", Message: "The registry gave an answer that cannot be read.", Cause: err}
	}
	return err
}

// nowhere is the same answer for what is not there and for what the visitor may not see; the
// cause is for those who look after the gateway alone.
func (u *UI) nowhere(w http.ResponseWriter, c *Call, cause error) error {
	if c.visitor.identity.Anonymous() {
		u.toLogin(w, c)
		return nil
	}
	f := notFound()
	f.Cause = cause
	return f
}

// Told is what a visitor is told of an error that is not a Fault, of which the caller knows
// the status, the code and when to try again.
func Told(status int, code string, retry time.Duration, cause error) *Fault {
	f := &Fault{Status: status, Code: code, Retry: retry, Cause: cause}
	switch status {
	case http.StatusBadGateway:
		f.Message = "The registry cannot be reached, or gives no answer that can be shown."
	case http.StatusGatewayTimeout:
		f.Message = "The registry did not answer in time."
	case http.StatusTooManyRequests:
		f.Message = "There are too many requests at once. Try again in " + wait(retry) + "."
	case http.StatusServiceUnavailable:
		f.Message = "Something that this page needs is not available now."
		if errors.Is(cause, authn.ErrUnavailable) {
			f.Message = "The directory that knows you cannot be asked at the moment."
		}
		f.Message += " Try again in " + wait(retry) + "."
	default:
		f.Message = fmt.Sprintf("%s.", strings.TrimSuffix(http.StatusText(status), "."))
	}
	return f
}
