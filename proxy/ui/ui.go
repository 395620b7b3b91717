// Package ui is the pages for people under /ui/: they log in with their own password, see
// what they may see of the registry, copy the command that they need, and delete what they
// may delete. The pages need no script, and show nothing that /v2/ would refuse: all of the
// registry comes by package browse, which asks the policy first.
//
// Read UI.Serve: the way of a request for a page stands there, in order.
package ui

import (
	"net/http"
	"time"

	"gatehouse/authz"
	"gatehouse/proxy/freeze"
	"gatehouse/proxy/shadow"
)

// New returns the pages.
func New(o Options) *UI {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Freeze == nil {
		o.Freeze = new(freeze.State)
	}
	if o.Counts == nil {
		o.Counts = new(authz.Counts)
	}
	if o.Trial == nil {
		o.Trial = new(shadow.Table)
	}
	if o.Inside == nil {
		o.Inside = func() (none Inside) { return none }
	}
	return &UI{o: o, protection: http.NewCrossOriginProtection(), pages: loadPages()}
}

// Serves reports whether a request target is one for the pages.
func Serves(target string) bool {
	path := target
	for i := range len(path) {
		if path[i] == '?' {
			path = path[:i]
			break
		}
	}
	return path == "/" || path == "/ui" || len(path) > 3 && path[:4] == "/ui/"
}

// Serve answers a request, or says why not; then Refuse answers it.
func (u *UI) Serve(w http.ResponseWriter, r *http.Request, c *Call) (err error) {
	if c.target, err = parse(r.Method, r.RequestURI); err != nil {
		return err
	}
	c.Seen.Repository, c.Seen.Reference, c.Seen.Tag = c.target.repository, c.target.reference, c.target.tag
	if c.target.place == atStatic {
		return u.static(w, r, c)
	}
	if r.Method == http.MethodPost {
		if err = checkOrigin(u.protection, r, c.Origin); err == nil {
			c.form, err = readForm(r) // before the session counts, which may end while the form comes
		}
		if err != nil {
			return err
		}
	}
	if c.visitor, err = u.visitor(r, c); err != nil && !c.open() {
		return err
	}
	c.Seen.Identity = c.visitor.identity
	c.headers(w.Header())
	if done := u.settle(w, r, c); done {
		return nil
	}
	return u.answer(w, r, c)
}

// settle answers where there is no session although there may be one, or is one no more.
func (u *UI) settle(w http.ResponseWriter, r *http.Request, c *Call) (done bool) {
	if r.Method != http.MethodPost && c.cookie(r) == "" && strange(w, r, c) {
		u.refresh(w, r, c)
		return true
	}
	if c.visitor.ended {
		c.setSession(w, "")
		c.settled = true
		if !c.open() {
			u.toLogin(w, c)
			return true
		}
	}
	return false
}

// answer gives each route to what shows it.
func (u *UI) answer(w http.ResponseWriter, r *http.Request, c *Call) error {
	if r.Method == http.MethodPost {
		return u.act(w, r, c)
	}
	u.renew(w, c)
	switch c.target.place {
	case atRoot:
		lead(w, "/ui/")
		return nil
	case atHome, atFolder:
		return u.repositories(w, r, c)
	case atRepository:
		return u.repository(w, r, c)
	case atImage:
		return u.image(w, r, c)
	case atDelete:
		return u.deletion(w, r, c)
	case atLogin:
		return u.loginPage(w, r, c)
	case atMe:
		return u.me(w, r, c)
	case atTokens:
		return u.tokensPage(w, r, c, tokensView{})
	case atAllTokens:
		return u.allTokens(w, r, c, tokensView{})
	case atAdmin, atExplain, atRefusals, atRules, atConfig, atServers:
		return u.administration(w, r, c)
	case atHelp:
		return u.help(w, r, c)
	}
	return notFound()
}

// act does what a form asks for.
func (u *UI) act(w http.ResponseWriter, r *http.Request, c *Call) error {
	form := c.form
	switch c.target.place {
	case atLogin:
		return u.login(w, r, c, form)
	case atDelete:
		return u.remove(w, r, c, form)
	case atSignOut:
		return u.signOut(w, r, c)
	case atTokens:
		return u.makeToken(w, r, c, form)
	case atRevoke:
		return u.revokeToken(w, r, c, form)
	case atAllTokens:
		return u.revokeAny(w, r, c, form)
	case atLogout:
		return u.logout(w, r, c)
	case atTheme:
		return u.theme(w, r, c, form)
	}
	return notFound()
}
