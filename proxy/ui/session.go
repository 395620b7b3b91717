package ui

import (
	"context"
	"errors"
	"net/http"
	"time"

	"gatehouse/authn"
	"gatehouse/tokens"
)

// The cookie's name says under which scheme it counts. Browsers keep one that begins with
// __Host- from other hosts and from plain HTTP; on loopback there is only plain HTTP, where
// some drop cookies that are Secure.
const (
	secureCookie = "__Host-gatehouse"
	plainCookie  = "gatehouse"
	themeCookie  = "gatehouse-theme"
)

func (c *Call) secure() bool { return c.Origin.Scheme == "https" }

func (c *Call) cookieName() string {
	if c.secure() {
		return secureCookie
	}
	return plainCookie
}

// cookie is the session that the browser brought; one that stands there twice is none.
func (c *Call) cookie(r *http.Request) string {
	found := r.CookiesNamed(c.cookieName())
	if len(found) != 1 {
		return ""
	}
	return found[0].Value
}

// setSession gives the browser a session, for as long as it runs; an empty text takes it away.
func (c *Call) setSession(w http.ResponseWriter, text string) {
	cookie := &http.Cookie{Name: c.cookieName(), Value: text, Path: "/", Secure: c.secure(), HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if text == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}

// visitor finds out who asks: the session is verified, and the person's directory tells if
// they are still there and are who they were. The error is a directory's at fault; the session
// that the browser brought is told in any case, as it can be ended.
func (u *UI) visitor(r *http.Request, c *Call) (visitor, error) {
	text := c.cookie(r)
	if text == "" {
		return visitor{}, nil
	}
	t, err := u.o.Keyring.Verify(text, tokens.Session, 0)
	if err != nil && !errors.Is(err, tokens.ErrInvalidToken) { // what is revoked is not known
		return visitor{session: t}, err
	}
	if err != nil || !u.now().Before(t.IssuedAt.Add(u.o.Config.Session)) || u.o.Memory.ended(t.ID) {
		return visitor{ended: true}, nil
	}
	c.Seen.SessionID = t.ID
	id, err := u.o.Keyring.Identify(r.Context(), u.o.Chain, t, false)
	switch {
	case errors.Is(err, tokens.ErrInvalidToken):
		return visitor{ended: true, session: t}, nil
	case err != nil:
		return visitor{session: t}, err
	}
	return visitor{identity: id, session: t}, nil
}

// end is when a session ends that is used now.
func (u *UI) end(login time.Time) time.Time {
	end, last := u.now().Add(u.o.Config.Idle), login.Add(u.o.Config.Session)
	if end.After(last) {
		return last
	}
	return end
}

// renew puts a session's end off, as a page was looked at; or nearer, where a reload has made
// idle shorter.
func (u *UI) renew(w http.ResponseWriter, c *Call) {
	t := c.visitor.session
	if t.ID == "" || c.settled || c.visitor.identity.Anonymous() {
		return
	}
	if end := u.end(t.IssuedAt); end.Sub(t.Expires).Abs() >= time.Second {
		if text, renewed, err := u.o.Keyring.Renew(t, end); err == nil {
			c.visitor.session = renewed
			c.setSession(w, text)
		}
	}
}

// begin starts a session of a person who has just logged in. One that the browser brought
// is over.
func (u *UI) begin(ctx context.Context, w http.ResponseWriter, c *Call, l tokens.Login) error {
	id := l.Identity
	if err := u.stop(ctx, c); err != nil {
		return err
	}
	text, t, err := u.o.Keyring.Issue(tokens.Token{Kind: tokens.Session, PasswordStamp: id.PasswordStamp, Ends: u.end(u.now()), After: l.After,
		Subject: authn.Ref{Directory: id.Directory, Username: id.Username, ID: id.ID}})
	if err != nil {
		return err
	}
	c.Seen.SessionID, c.settled = t.ID, true
	c.setSession(w, text)
	return nil
}

// stop ends the session that the visitor has: its id is refused from now on, here and, where
// there is a store, everywhere. The error is the store's.
func (u *UI) stop(ctx context.Context, c *Call) error {
	t := c.visitor.session
	if t.ID == "" {
		return nil
	}
	ends := t.IssuedAt.Add(tokens.MaxSession)
	u.o.Memory.end(t.ID, ends, u.now())
	if !u.o.Shared {
		return nil
	}
	return u.o.Revoker.End(ctx, tokens.Revoked{ID: t.ID, Ends: ends})
}
