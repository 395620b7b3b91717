package ui

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/proxy/ui/browse"
	"gatehouse/tokens/personal"
)

// tokensView is the page of a person's tokens, or of everybody's.
type tokensView struct {
	Rows    []tokenRow
	All     bool // everybody's
	Action  string
	Form    tokenForm
	Fault   *Fault
	Said    string // what was done
	Made    *madeToken
	Preview *preview
	Open    bool // the visitor may make tokens
}

// tokenRow is one token.
type tokenRow struct {
	personal.Token
	Ended bool
	Soon  bool // it ends within a week
}

// tokenForm is what somebody wants, as they typed it.
type tokenForm struct {
	Name, Lifetime, Other, Repositories string
	Pull, Push, Delete                  bool
	Lifetimes                           []lifetime
}

// lifetime is one that can be chosen.
type lifetime struct {
	Value, Text string
	Chosen      bool
}

// madeToken is shown once.
type madeToken struct {
	personal.Token
	Secret string
	Login  []command
}

// preview is what a token would be good for.
type preview struct {
	*browse.RepositoryList
	Public bool // there is something that everybody may pull, whatever the ceiling
}

const (
	previewRows = 50
	soon        = 7 * day
)

// desk is where tokens are made; the pages are not there without one.
func (u *UI) desk(c *Call) (*personal.Desk, error) {
	if u.o.Tokens == nil {
		return nil, notFound()
	}
	return u.o.Tokens, nil
}

// tokensPage lists the visitor's tokens above the form that makes one.
func (u *UI) tokensPage(w http.ResponseWriter, r *http.Request, c *Call, v tokensView) error {
	desk, err := u.desk(c)
	if err != nil {
		return err
	}
	if c.visitor.identity.Anonymous() {
		u.toLogin(w, c)
		return nil
	}
	list, err := desk.List(r.Context(), c.visitor.identity)
	if err != nil {
		return err
	}
	v.Action, v.Open = "/ui/me/tokens", desk.Open(c.visitor.identity)
	if v.Form.Lifetime == "" {
		v.Form.Lifetime, v.Form.Pull = hours(min(30*day, longest(desk))), true
	}
	v.Form.Lifetimes = lifetimes(desk, v.Form.Lifetime)
	return u.showTokens(w, r, c, atTokens, "Tokens", list, v)
}

func (u *UI) showTokens(w http.ResponseWriter, r *http.Request, c *Call, page place, heading string, list []personal.Token, v tokensView) error {
	for _, t := range slices.Backward(list) {
		row := tokenRow{Token: t, Ended: t.Ended(u.now())}
		row.Soon = !row.Ended && t.Expires != nil && t.Expires.Sub(u.now()) < soon
		v.Rows = append(v.Rows, row)
	}
	f := u.frame(r, c, page, heading)
	f.Total, f.Content = len(v.Rows), v
	if v.Fault != nil {
		f.Status = v.Fault.Status
	}
	return u.show(w, r, f, "tokens")
}

func hours(d time.Duration) string { return d.String() }

func longest(d *personal.Desk) time.Duration {
	if d.MaxLifetime == 0 {
		return 365 * day
	}
	return d.MaxLifetime
}

// lifetimes are those that can be chosen here, and another one.
func lifetimes(d *personal.Desk, chosen string) (list []lifetime) {
	for _, n := range []time.Duration{7, 30, 90, 365} {
		if n*day <= longest(d) {
			list = append(list, lifetime{Value: hours(n * day), Text: plural(int(n), "day", "days")})
		}
	}
	if d.MaxLifetime == 0 {
		list = append(list, lifetime{Value: hours(0), Text: "without end"})
	}
	list = append(list, lifetime{Value: "other", Text: "other"})
	for i := range list {
		list[i].Chosen = list[i].Value == chosen
	}
	return list
}

// makeToken makes a token, or shows what one would be good for.
func (u *UI) makeToken(w http.ResponseWriter, r *http.Request, c *Call, form url.Values) error {
	desk, err := u.desk(c)
	if err != nil {
		return err
	}
	owner := c.visitor.identity
	if owner.Anonymous() {
		u.toLogin(w, c)
		return nil
	}
	if id := form.Get("rotate"); id != "" {
		secret, made, err := desk.Rotate(r.Context(), owner, id, c.visitor.session.Survived())
		return u.madeToken(w, r, c, tokensView{Said: "This token takes the place of the old one, which ends in 24 hours."}, secret, made, err)
	}
	v := tokensView{Form: formOf(form)}
	order, err := v.Form.order()
	order.After = c.visitor.session.Survived()
	switch {
	case err != nil:
	case form.Get("do") == "preview":
		return u.showPreview(w, r, c, v, order)
	default:
		var secret authn.Secret
		var made personal.Token
		secret, made, err = desk.Make(r.Context(), owner, order)
		return u.madeToken(w, r, c, v, secret, made, err)
	}
	return u.madeToken(w, r, c, v, "", personal.Token{}, err)
}

// madeToken shows a new token, or why there is none.
func (u *UI) madeToken(w http.ResponseWriter, r *http.Request, c *Call, v tokensView, secret authn.Secret, made personal.Token, err error) error {
	if err != nil {
		if v.Fault, err = faultOfToken(err); err != nil {
			return err
		}
		v.Said = ""
		return u.tokensPage(w, r, c, v)
	}
	c.Seen.Change = Change{ID: made.ID, Name: made.Name, By: "owner"}
	host, user := c.Origin.Host, c.visitor.identity.Username
	v.Form, v.Made = tokenForm{}, &madeToken{made, string(secret), numbered("login", []command{
		{Label: "docker login, which asks for the token", Text: "docker login -u " + shellWord(user) + " " + host}})}
	return u.tokensPage(w, r, c, v)
}

func formOf(form url.Values) tokenForm {
	return tokenForm{Name: form.Get("name"), Lifetime: form.Get("lifetime"), Other: form.Get("other"), Repositories: form.Get("repositories"),
		Pull: form.Get("pull") != "", Push: form.Get("push") != "", Delete: form.Get("delete") != ""}
}

// order is what the form asks for.
func (f *tokenForm) order() (o personal.Order, err error) {
	o = personal.Order{Name: f.Name, Repositories: strings.Fields(f.Repositories)}
	for action, chosen := range map[string]bool{"pull": f.Pull, "push": f.Push, "delete": f.Delete} {
		if chosen {
			o.Actions = append(o.Actions, action)
		}
	}
	if slices.Sort(o.Actions); o.Actions == nil {
		return o, errActions
	}
	text := f.Lifetime
	if text == "other" {
		if text = strings.TrimSpace(f.Other); text == "" {
			return o, errLifetime
		}
	}
	if days, ok := strings.CutSuffix(strings.TrimSpace(text), " days"); ok {
		text = days + "d"
	}
	if text == "" {
		return o, nil
	}
	life, err := authn.ParseSpan(strings.TrimSpace(text))
	if err != nil {
		return o, errLifetime
	}
	o.Lifetime = &life
	return o, nil
}

var (
	errLifetime = errors.New("the lifetime is a number of days, such as 14d, or of hours, such as 12h")
	errActions  = errors.New("choose what the token may do: pull, push or delete")
)

// showPreview shows what the policy leaves of a ceiling now.
func (u *UI) showPreview(w http.ResponseWriter, r *http.Request, c *Call, v tokensView, o personal.Order) error {
	ceiling, err := authz.NewCeiling(o.Repositories, o.Actions)
	if err != nil {
		v.Fault = badRequest(sentence(err.Error()))
		return u.tokensPage(w, r, c, v)
	}
	list, err := u.visit(c).Repositories(r.Context(), browse.RepositoryQuery{Below: ceiling, Page: 1, Size: previewRows})
	if err != nil {
		return u.unread(w, c, err)
	}
	v.Preview = &preview{list, u.o.Policy.Catalog(authn.Identity{}).Allowed}
	return u.tokensPage(w, r, c, v)
}

// revokeToken ends one of the visitor's tokens.
func (u *UI) revokeToken(w http.ResponseWriter, r *http.Request, c *Call, form url.Values) error {
	desk, err := u.desk(c)
	if err != nil {
		return err
	}
	if c.visitor.identity.Anonymous() {
		u.toLogin(w, c)
		return nil
	}
	ended, err := desk.Revoke(r.Context(), c.visitor.identity, form.Get("id"))
	v, err := c.revoked(ended, err, "owner", "")
	if err != nil {
		return err
	}
	return u.tokensPage(w, r, c, v)
}

// revoked is what a page says of a token that was to end, by its owner or an admin: that it
// has, or why not. of is whose it was, where that has to be said.
func (c *Call) revoked(ended personal.Token, err error, by, of string) (v tokensView, _ error) {
	if err != nil {
		v.Fault, err = faultOfToken(err)
		return v, err
	}
	c.Seen.Change = Change{ID: ended.ID, Name: ended.Name, By: by, Ended: true}
	v.Said = "The token " + ended.Name + of + " and all that was issued for it have ended."
	return v, nil
}

// faultOfToken tells a visitor what is wrong with what they want; other errors stay what they are.
func faultOfToken(err error) (*Fault, error) {
	message := err.Error()
	switch {
	case errors.Is(err, personal.ErrInvalid), errors.Is(err, errLifetime), errors.Is(err, errActions):
		return badRequest(sentence(message)), nil
	case errors.Is(err, personal.ErrTaken), errors.Is(err, personal.ErrTooMany):
		return &Fault{Status: http.StatusConflict, Code: "UNSUPPORTED", Message: sentence(message)}, nil
	case errors.Is(err, personal.ErrNone):
		return &Fault{Status: http.StatusNotFound, Code: "NOT_FOUND", Message: "You have no such token."}, nil
	case errors.Is(err, personal.ErrForbidden):
		return &Fault{Status: http.StatusForbidden, Code: "DENIED", Message: sentence(message)}, nil
	}
	return nil, err
}

// sentence makes one of an error's text.
func sentence(text string) string {
	text = strings.ReplaceAll(strings.TrimPrefix(text, personal.ErrInvalid.Error()+": "), "\n", ": ")
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

// allTokens lists everybody's tokens, for admins.
func (u *UI) allTokens(w http.ResponseWriter, r *http.Request, c *Call, v tokensView) error {
	desk, err := u.desk(c)
	if err != nil {
		return err
	}
	if barred, err := u.barred(w, c); barred {
		return err
	}
	list, err := desk.All(r.Context(), "")
	if err != nil {
		return err
	}
	v.All, v.Action = true, "/ui/admin/tokens"
	return u.showTokens(w, r, c, atAllTokens, "Tokens of everybody", list, v)
}

// revokeAny ends anybody's token, for admins.
func (u *UI) revokeAny(w http.ResponseWriter, r *http.Request, c *Call, form url.Values) error {
	if !u.admin(c) || u.o.Tokens == nil {
		return u.allTokens(w, r, c, tokensView{})
	}
	ended, err := u.o.Tokens.RevokeAny(r.Context(), form.Get("id"))
	v, err := c.revoked(ended, err, "admin", " of "+ended.Owner.Username)
	if err != nil {
		return err
	}
	return u.allTokens(w, r, c, v)
}
