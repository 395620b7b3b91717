package ui

import "net/http"

// administration gives the pages of admins to them alone. To others they are not there.
func (u *UI) administration(w http.ResponseWriter, r *http.Request, c *Call) error {
	if barred, err := u.barred(w, c); barred {
		return err
	}
	switch c.target.place {
	case atAdmin:
		return u.overview(w, r, c)
	case atExplain:
		return u.explainAnybody(w, r, c)
	case atRefusals:
		return u.refusals(w, r, c)
	case atRules:
		return u.rulesPage(w, r, c)
	case atServers:
		return u.directoriesPage(w, r, c)
	case atConfig:
		return u.configPage(w, r, c)
	}
	return notFound()
}

// barred keeps all but admins out: who is not logged in is led there.
func (u *UI) barred(w http.ResponseWriter, c *Call) (barred bool, err error) {
	switch {
	case c.visitor.identity.Anonymous():
		u.toLogin(w, c)
		return true, nil
	case !u.admin(c):
		return true, notFound()
	}
	return false, nil
}

// topic is what the overview says of a page.
type topic struct {
	Name, Link, About string
	State             string // how it stands now; empty: nothing is to be said
	Bad               bool   // somebody should look
}

// overview leads to the other pages, and says where a look is worth it.
func (u *UI) overview(w http.ResponseWriter, r *http.Request, c *Call) error {
	f := u.frame(r, c, atAdmin, "Administration")
	var topics []topic
	inside := u.o.Inside()
	for _, p := range u.adminPages()[1:] {
		t := topic{Name: p.name, Link: p.Link(), About: p.about}
		t.State, t.Bad = u.standing(p.at, &inside)
		topics = append(topics, t)
	}
	f.Content = topics
	return u.show(w, r, f, "admin")
}

// standing is how that is now of which a page tells, and whether it is bad.
func (u *UI) standing(page place, inside *Inside) (state string, bad bool) {
	switch page {
	case atServers:
		return directoriesStanding(inside.Directories)
	case atRefusals:
		list := u.o.Memory.lastRefusals()
		if len(list) == 0 {
			return "none since the start", false
		}
		return plural(len(list), "request", "requests") + ", the last " + age(u.now(), list[0].At), false
	case atRules:
		if o := u.o.Freeze.Now(); o != nil {
			return "frozen: " + o.Reason, true
		}
		if n := len(u.o.Trial.Report().Rows); n > 0 {
			return plural(n, "row", "rows") + " of a policy that is tried", false
		}
	case atConfig:
		if n := len(inside.Config.Warnings); n > 0 {
			return plural(n, "warning", "warnings"), true
		}
		return "loaded " + age(u.now(), inside.Config.Loaded), false
	}
	return "", false
}
