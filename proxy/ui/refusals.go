package ui

import (
	"net/http"
	"slices"
	"strings"

	"gatehouse/authz"
	"gatehouse/proxy/ui/browse"
)

// refusalsView is the page of what was refused.
type refusalsView struct {
	Rows  []refusalRow
	Query string
	browse.Pager
	pager
}

// refusalRow is one refusal.
type refusalRow struct {
	Refusal
	Tag     string // Reference, where it is one
	Explain string // asks the policy again; empty: that cannot be asked
}

// refusals lists what was refused last, the newest first.
func (u *UI) refusals(w http.ResponseWriter, r *http.Request, c *Call) error {
	t := &c.target
	v := refusalsView{Query: t.query.Get("q")}
	list := slices.DeleteFunc(u.o.Memory.lastRefusals(), func(r Refusal) bool {
		return !matches(v.Query, r.User, r.Directory, r.Address, r.Action, r.Repository, r.Reference, r.Rule, r.Reason, r.RequestID)
	})
	list, v.Pager = browse.Page(list, t.page(), u.o.Config.PageSize)
	v.pager = newPager(t, v.Pager)
	for _, one := range list {
		row := refusalRow{Refusal: one}
		if authz.ValidTag(one.Reference) {
			row.Tag = one.Reference
		}
		row.Explain = explainLink(row)
		v.Rows = append(v.Rows, row)
	}
	f := u.frame(r, c, atRefusals, "Refusals")
	f.Total, f.Content = v.Total, v
	return u.show(w, r, f, "refusals")
}

// matches reports whether one of the texts has the query in it, whatever its capitals are.
func matches(query string, texts ...string) bool {
	query = strings.ToLower(query)
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), query) })
}

// explainLink asks what the policy says of a request that was refused.
func explainLink(r refusalRow) string {
	if !slices.Contains(actions, r.Action) || !authz.ValidRepository(r.Repository) {
		return ""
	}
	at := target{place: atExplain, query: map[string][]string{"user": {r.User}, "action": {r.Action}, "ref": {r.Repository}}}
	if r.User == "" {
		at.query.Set("user", "-")
	}
	if r.Tag != "" {
		at.query.Set("ref", r.Repository+":"+r.Tag)
	}
	if r.Address != "" {
		at.query.Set("ip", r.Address)
	}
	return at.canonical()
}
