package ui

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"gatehouse/authn"
)

//go:embed templates/*.html
var templates embed.FS

// shared are the files of templates that all pages have.
var shared = []string{"templates/layout.html", "templates/parts.html", "templates/admin-parts.html"}

// loadPages reads the templates, which are part of the program.
func loadPages() pages {
	all := pages{}
	common := template.Must(template.New("").Funcs(functions).ParseFS(templates, shared...))
	files, _ := fs.Glob(templates, "templates/*.html")
	for _, file := range files {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if slices.Contains(shared, file) {
			continue
		}
		all[name] = template.Must(template.Must(common.Clone()).ParseFS(templates, file))
	}
	return all
}

// crumb is one step of the way to a page.
type crumb struct{ Text, Link string }

// frame is what every page shows around its content.
type frame struct {
	Page        string // data-page
	Brand       string
	Heading     string  // the title
	Mono        bool    // the heading is a name
	Crumbs      []crumb // the way to it; Heading stands at its end, but for a name
	User        authn.Identity
	Theme       string
	Here        string // where the forms of the header lead back
	Host        string
	Version     string
	RequestID   string
	Style       string
	Script      string
	Icon        string
	Total       int // rows that are listed; -1: it is no list
	Content     any
	Status      int
	LoginNotice bool // the header offers to log in
	Nav         []link
	Tabs        []link // between the pages of administration
	Frozen      string // why pushes and deletes are stopped where the page is; empty: they are not
	now         time.Time
}

// link is one of the header's.
type link struct {
	Text, Link string
	Current    bool
}

// SignedIn reports whether somebody is.
func (f *frame) SignedIn() bool { return !f.User.Anonymous() }

// frame is that of a page.
func (u *UI) frame(r *http.Request, c *Call, page place, heading string) *frame {
	f := &frame{Page: string(page), Brand: u.o.Config.Title, Heading: heading, User: c.visitor.identity, Theme: themeOf(r), Here: "/ui/",
		Host: c.Origin.Host, Version: u.o.Version, RequestID: c.RequestID, Style: styleFile.path(), Script: scriptFile.path(), Icon: iconFile.path(), Total: -1, Status: http.StatusOK}
	if next, ok := nextOf(c.target.canonical()); ok && (r.Method != http.MethodPost || page != atDelete) {
		f.Here = next
	}
	if page != atHome {
		f.Crumbs = []crumb{{"Repositories", "/ui/"}}
	}
	f.LoginNotice, f.now = !f.SignedIn() && page != atLogin, u.now()
	f.Nav = u.nav(c, page)
	if page.under() {
		f.Tabs = u.tabs(page)
	}
	if page.under() && page != atAdmin {
		f.Crumbs = append(f.Crumbs, crumb{"Administration", "/ui/admin/"})
	}
	if c.target.repository != "" {
		f.Frozen = u.closed(c.target.repository)
	}
	return f
}

// closed is why pushes and deletes of a repository are stopped; empty: they are not.
func (u *UI) closed(repository string) string {
	if o := u.o.Freeze.Closes(repository); o != nil {
		return o.Reason
	}
	return ""
}

// nav are the parts of the site, as far as they are there. Those of one's own lead a stranger to
// the login, and on.
func (u *UI) nav(c *Call, page place) []link {
	here := map[place]bool{atHome: true, atFolder: true, atRepository: true, atImage: true, atDelete: true}
	list := []link{{"Repositories", "/ui/", here[page]}, {"My access", "/ui/me", page == atMe}}
	if u.o.Tokens != nil {
		list = append(list, link{"Tokens", "/ui/me/tokens", page == atTokens})
	}
	list = append(list, link{"Help", "/ui/help", page == atHelp})
	if u.admin(c) {
		list = append(list, link{"Admin", "/ui/admin/", page.under()})
	}
	return list
}

// Age says how long ago a time is.
func (f *frame) Age(t time.Time) string { return age(f.now, t) }

// LoginLink leads to the login, and from there back.
func (f *frame) LoginLink() string {
	return loginPath(f.Here)
}

// admin reports whether the visitor may see the pages of administration.
func (u *UI) admin(c *Call) bool {
	return !c.visitor.identity.Anonymous() && u.o.Admins.Has(c.visitor.identity)
}

// show answers with a page.
func (u *UI) show(w http.ResponseWriter, r *http.Request, f *frame, name string) error {
	var body bytes.Buffer
	if err := u.pages[name].ExecuteTemplate(&body, "layout", f); err != nil {
		return fmt.Errorf("the page %s: %w", name, err)
	}
	send(w, r, f.Status, "text/html; charset=utf-8", body.Bytes())
	return nil
}
