package ui

import (
	"net/http"
	"strconv"
	"strings"

	"gatehouse/authz"
	"gatehouse/proxy/ui/browse"
)

// repositoriesView is a page of repositories.
type repositoriesView struct {
	*browse.RepositoryList
	Query  string
	Right  string
	Folder string
	Action string // where the form of the search leads
	All    string // the same page without a search
	pager
}

// repositories lists a level, or what was searched for.
func (u *UI) repositories(w http.ResponseWriter, r *http.Request, c *Call) error {
	t := &c.target
	q := browse.RepositoryQuery{Folder: t.repository, Search: t.query.Get("q"), Right: authz.Action(t.query.Get("rights")), Page: t.page(), Size: u.o.Config.PageSize}
	listing := u.o.Policy.Catalog(c.visitor.identity)
	if u.decided(listing); c.visitor.identity.Anonymous() && !listing.Allowed {
		u.toLogin(w, c)
		return nil
	}
	list, err := u.visit(c).Repositories(r.Context(), q)
	if err != nil {
		return u.unread(w, c, err)
	}
	if q.Folder != "" && list.Total == 0 && q.Search == "" && q.Right == "" {
		return u.nowhere(w, c, nil)
	}
	page, heading := atHome, "Repositories"
	if q.Folder != "" {
		page, heading = atFolder, q.Folder+"/"
	}
	f := u.frame(r, c, page, heading)
	f.Mono, f.Total = q.Folder != "", list.Total
	if q.Folder != "" {
		f.Crumbs = crumbs(q.Folder)
		f.Crumbs = f.Crumbs[:len(f.Crumbs)-1]
	}
	f.Content = repositoriesView{list, q.Search, string(q.Right), q.Folder, t.path(), t.with("q", ""), newPager(t, list.Pager)}
	return u.show(w, r, f, "repositories")
}

// crumbs are the way to a repository or folder: the folders above it, and itself.
func crumbs(name string) []crumb {
	list := []crumb{{"Repositories", "/ui/"}}
	for at, c := range name {
		if c == '/' {
			list = append(list, crumb{name[strings.LastIndexByte(name[:at], '/')+1 : at], "/ui/r/" + name[:at] + "/"})
		}
	}
	return append(list, crumb{name[strings.LastIndexByte(name, '/')+1:], "/ui/r/" + name})
}

// pager leads to the other pages of a list.
type pager struct{ First, Previous, Next, Last string }

func newPager(t *target, p browse.Pager) (links pager) {
	to := func(n int) string {
		if n == 1 {
			return t.with("page", "")
		}
		return t.with("page", strconv.Itoa(n))
	}
	if p.Page > 1 {
		links.First, links.Previous = to(1), to(p.Page-1)
	}
	if p.Page < p.Pages {
		links.Next, links.Last = to(p.Page+1), to(p.Pages)
	}
	return links
}
