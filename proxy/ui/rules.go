package ui

import (
	"net/http"
	"slices"

	"gatehouse/authz"
	"gatehouse/proxy/freeze"
	"gatehouse/proxy/shadow"
	"gatehouse/proxy/ui/browse"
)

// rulesView is the page of the whole policy.
type rulesView struct {
	Freeze *freeze.Order // nil: nothing is stopped
	Rows   []authz.RuleCount
	Query  string
	Unused int // rules that decided nothing since they are counted
	browse.Pager
	pager
	Tried     []shadow.Row // what the policy that is tried would do otherwise
	MoreTried int          // rows that are not shown
	AllTried  string       // where they are
	LeftOut   int64        // requests that the table had no room for
	Unknown   int64        // pushes that could not be compared
}

// rulesPage lists the rules, those that decided nothing first, and what a policy that is
// tried would change.
func (u *UI) rulesPage(w http.ResponseWriter, r *http.Request, c *Call) error {
	t := &c.target
	v := rulesView{Freeze: u.o.Freeze.Now(), Query: t.query.Get("q")}
	list := slices.DeleteFunc(u.o.Counts.Rules(u.o.Policy), func(r authz.RuleCount) bool {
		return !matches(v.Query, r.Position, r.Name, r.Text)
	})
	list, v.Unused = unusedFirst(list)
	v.Rows, v.Pager = browse.Page(list, t.page(), u.o.Config.PageSize)
	v.pager = newPager(t, v.Pager)
	tried := u.o.Trial.Report()
	v.Tried, v.LeftOut, v.Unknown = tried.Rows, tried.LeftOut, tried.Unknown
	if t.query.Get("show") != "all" {
		v.Tried = v.Tried[:min(len(v.Tried), u.o.Config.PageSize)]
	}
	v.MoreTried, v.AllTried = len(tried.Rows)-len(v.Tried), t.with("show", "all")
	f := u.frame(r, c, atRules, "Rules")
	f.Total, f.Content = v.Total, v
	return u.show(w, r, f, "rules")
}

// unusedFirst puts the rules that decided nothing before the others, each in the order of the policy.
func unusedFirst(all []authz.RuleCount) (list []authz.RuleCount, unused int) {
	var used []authz.RuleCount
	for _, r := range all {
		if r.Last == nil {
			list = append(list, r)
		} else {
			used = append(used, r)
		}
	}
	return append(list, used...), len(list)
}
