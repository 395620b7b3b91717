package ui

import "strings"

// adminPage is one of the pages of administration.
type adminPage struct {
	at    place
	name  string
	about string
}

// Link is where it is.
func (p adminPage) Link() string {
	at := target{place: p.at}
	return at.path()
}

// adminPages are all of them, in the order of their links.
var adminPages = []adminPage{
	{atAdmin, "Overview", ""},
	{atExplain, "Explain", "What somebody may do, and by which rule: anybody, as they are now."},
	{atServers, "Directories", "Each server: up or down, since when, its last fault, and how long it takes."},
	{atRefusals, "Refusals", "The last requests that were refused, and why."},
	{atRules, "Rules", "The whole policy: how often each rule decided, which never did, what a policy that is tried would change, and a freeze."},
	{atConfig, "Config", "Which file is served, since when, its warnings, the keys, and when the certificates end."},
	{atAllTokens, "Tokens", "Everybody's personal tokens, and the end of one."},
}

// under reports whether a page is one of administration.
func (p place) under() bool { return strings.HasPrefix(string(p), "admin-") }

// adminPages are those that there are here.
func (u *UI) adminPages() (list []adminPage) {
	for _, p := range adminPages {
		if p.at != atAllTokens || u.o.Tokens != nil {
			list = append(list, p)
		}
	}
	return list
}

// tabs are the links between the pages of administration.
func (u *UI) tabs(page place) (list []link) {
	for _, p := range u.adminPages() {
		list = append(list, link{p.name, p.Link(), p.at == page})
	}
	return list
}
