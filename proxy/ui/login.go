package ui

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"gatehouse/authn"
)

// loginView is the page that asks for a name and a password.
type loginView struct {
	Login string // as it was typed
	Next  string
	Fault *Fault // why the last try failed; nil: there was none
}

// loginPage asks for them; who is logged in is led on.
func (u *UI) loginPage(w http.ResponseWriter, r *http.Request, c *Call) error {
	c.next = c.target.query.Get("next")
	if !c.visitor.identity.Anonymous() {
		lead(w, onward(c.next))
		return nil
	}
	return u.showLogin(w, r, c, nil)
}

func (u *UI) showLogin(w http.ResponseWriter, r *http.Request, c *Call, fault *Fault) error {
	f := u.frame(r, c, atLogin, "Log in")
	next, _ := nextOf(c.next)
	f.Here = loginPath(next)
	if fault != nil {
		f.Status = fault.Status
	}
	f.Content = loginView{c.login, next, fault}
	return u.show(w, r, f, "login")
}

// onward is where a login leads.
func onward(next string) string {
	if to, ok := nextOf(next); ok {
		return to
	}
	return "/ui/"
}

// login takes a name and a password.
func (u *UI) login(w http.ResponseWriter, r *http.Request, c *Call, form url.Values) error {
	c.next, c.login, c.Seen.Login = form.Get("next"), form.Get("login"), true
	c.Seen.Identity = authn.Identity{}
	l, err := u.o.Keyring.LoginPerson(r.Context(), u.o.Chain, authn.Attempt{Login: c.login, Password: authn.Secret(form.Get("password")), Source: c.Client, Via: c.Via})
	c.Seen.Identity, c.Seen.Credential = l.Identity, l.Shown
	u.o.Metrics.UILogin(loginResult(err))
	if err != nil {
		return err
	}
	if err := u.begin(r.Context(), w, c, l); err != nil {
		return err
	}
	lead(w, onward(c.next))
	return nil
}

func loginResult(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, new(*authn.ThrottledError)):
		return "throttled"
	case errors.Is(err, authn.ErrInvalidCredentials), errors.Is(err, authn.ErrUnknownUser), errors.Is(err, authn.ErrBadToken):
		return "refused"
	}
	return "unavailable"
}

// logout ends the session; the browser forgets it, and what it kept of the pages.
func (u *UI) logout(w http.ResponseWriter, r *http.Request, c *Call) error {
	c.setSession(w, "")
	t := c.visitor.session
	if c.Seen.Logout = t.ID != ""; c.visitor.identity.Anonymous() { // as the directory could not say who they are
		c.Seen.Identity = authn.Identity{Directory: t.Subject.Directory, Username: t.Subject.Username, ID: t.Subject.ID}
	}
	if err := u.stop(r.Context(), c); err != nil {
		return err
	}
	w.Header().Set("Clear-Site-Data", `"cache"`)
	lead(w, "/ui/login")
	return nil
}

// themes are the looks that can be chosen; the first is what the system has.
var themes = []string{"system", "light", "dark"}

// themeOf is the look that the visitor chose.
func themeOf(r *http.Request) string {
	if cookie, err := r.Cookie(themeCookie); err == nil && slices.Contains(themes, cookie.Value) {
		return cookie.Value
	}
	return themes[0]
}

// theme keeps the look that the visitor chose, for a year.
func (u *UI) theme(w http.ResponseWriter, r *http.Request, c *Call, form url.Values) error {
	chosen := form.Get("theme")
	if !slices.Contains(themes, chosen) {
		return badRequest("The theme may be system, light or dark.")
	}
	const year = 365 * 24 * 3600
	http.SetCookie(w, &http.Cookie{Name: themeCookie, Value: chosen, Path: "/ui/", MaxAge: year, Secure: c.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode})
	lead(w, back(form.Get("next"), referrer(r, c)))
	return nil
}

// referrer is which of our own pages the visitor comes from, as the browser says; empty: none.
func referrer(r *http.Request, c *Call) string {
	from, err := url.Parse(r.Header.Get("Referer"))
	if err != nil || !sameOrigin(from.Scheme+"://"+from.Host, c.Origin) {
		return ""
	}
	return from.RequestURI()
}

// againCookie says that the visitor was just led to the page that they asked for.
const againCookie = "gatehouse-again"

// strange reports whether a page is asked for by a link of another site, from where a
// browser does not bring its session along. It never is twice in a row: then there is none.
func strange(w http.ResponseWriter, r *http.Request, c *Call) bool {
	_, err := r.Cookie(againCookie)
	again := err == nil
	if again {
		c.setAgain(w, -1)
	}
	return r.Header.Get("Sec-Fetch-Site") == "cross-site" && !again && referrer(r, c) == ""
}

func (c *Call) setAgain(w http.ResponseWriter, age int) {
	http.SetCookie(w, &http.Cookie{Name: againCookie, Value: "1", Path: "/", MaxAge: age, Secure: c.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// refresh leads to the same page once more, this time as a link of our own.
func (u *UI) refresh(w http.ResponseWriter, r *http.Request, c *Call) {
	const seconds = 10
	c.setAgain(w, seconds)
	send(w, r, http.StatusOK, "text/html; charset=utf-8", []byte(`<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0"><title>One moment</title><p>One moment.</p></html>`+"\n"))
}
