package ui

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"gatehouse/authz"
	"gatehouse/proxy/ui/browse"
)

// tagsView is the page of one repository.
type tagsView struct {
	*browse.TagList
	Name    string
	Host    string
	Query   string
	Sort    string
	Order   string
	Here    string
	Columns map[string]column
	Show    string // where the tags of signatures are shown, or are no more
	ShowAll bool
	Clear   string
	Delete  bool
	Newest  []command
	Data    string // where the script asks for what is still being read
	Waiting int    // rows that are still being read
	pager
}

// column is one that can be sorted by.
type column struct {
	Link string
	Aria string // aria-sort; empty: it is not sorted by this one
}

// repository shows the tags of one.
func (u *UI) repository(w http.ResponseWriter, r *http.Request, c *Call) error {
	t := &c.target
	q := browse.TagQuery{Repository: t.repository, Search: t.query.Get("q"), Sort: t.query.Get("sort"), Ascending: t.query.Get("order") == "asc",
		All: t.query.Get("show") == "all", Page: t.page(), Size: u.o.Config.PageSize}
	visit := u.visit(c)
	u.decided(visit.Decide(authz.Pull, t.repository))
	list, err := visit.Tags(r.Context(), q)
	if err != nil {
		return u.unread(w, c, err)
	}
	if wantsJSON(r) {
		return sendJSON(w, r, rowsOf(u, list))
	}
	f := u.frame(r, c, atRepository, t.repository)
	f.Mono, f.Total, f.Crumbs = true, list.Total, crumbs(t.repository)
	f.Crumbs = f.Crumbs[:len(f.Crumbs)-1]
	v := tagsView{TagList: list, Name: t.repository, Host: c.Origin.Host, Query: q.Search, Sort: sortOf(q), Order: t.query.Get("order"), Here: t.path(), ShowAll: q.All,
		Clear: t.with("q", ""), Show: t.with("show", map[bool]string{false: "all"}[q.All]), Columns: columns(t, q), Data: t.canonical(), pager: newPager(t, list.Pager)}
	v.Delete = u.o.Config.Delete && slices.ContainsFunc(list.Rows, func(row browse.TagRow) bool { return row.Deletable })
	if list.Newest != "" {
		v.Newest = numbered("newest", pulls(c.Origin.Host, t.repository, list.Newest, string(list.NewestKind), "tag")[:2])
	}
	for i := range list.Rows {
		if list.Rows[i].State == browse.Loading {
			v.Waiting++
		}
	}
	f.Content = v
	return u.show(w, r, f, "tags")
}

// Pull is the command that the row has to copy: that of the client which fits it best.
func (v tagsView) Pull(row browse.TagRow) command {
	kind := browse.ImageKind
	if row.State == browse.Ready {
		kind = row.Kind
	}
	return pulls(v.Host, v.Name, row.Tag, string(kind), "tag")[0]
}

func sortOf(q browse.TagQuery) string {
	if q.Sort == "" {
		return "version"
	}
	return q.Sort
}

// columns lead to the same page in another order: the one that it has turns around.
func columns(t *target, q browse.TagQuery) map[string]column {
	all := map[string]column{}
	for _, by := range []string{"version", "name", "built"} {
		to := *t
		to.query = map[string][]string{}
		for key, values := range t.query {
			if key != "order" && key != "sort" && key != "page" {
				to.query[key] = values
			}
		}
		if by != "version" {
			to.query.Set("sort", by)
		}
		one := column{}
		if sortOf(q) == by {
			one.Aria = "descending"
			if q.Ascending {
				one.Aria = "ascending"
			} else {
				to.query.Set("order", "asc")
			}
		}
		one.Link = to.canonical()
		all[by] = one
	}
	return all
}

// rowJSON is a row for the script: the texts of its cells.
type rowJSON struct {
	Tag       string `json:"tag"`
	State     string `json:"state"`
	Platforms string `json:"platforms"`
	Size      string `json:"size"`
	Built     string `json:"built"`
	Digest    string `json:"digest"`
}

func rowsOf(u *UI, list *browse.TagList) any {
	rows := []rowJSON{}
	for i := range list.Rows {
		row := &list.Rows[i]
		one := rowJSON{Tag: row.Tag, State: string(row.State), Platforms: plain(strings.Join(row.Platforms, ", ")), Size: bytesOf(row.Size), Digest: row.Digest}
		if !row.Built.IsZero() {
			one.Built = age(u.now(), row.Built)
		}
		rows = append(rows, one)
	}
	return map[string]any{"rows": rows, "unread": list.Unread}
}

// wantsJSON reports whether a script asks, by the type that it takes.
func wantsJSON(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		media, _, _ := strings.Cut(part, ";")
		switch strings.TrimSpace(media) {
		case "application/json":
			return true
		case "text/html", "*/*":
			return false
		}
	}
	return false
}

func sendJSON(w http.ResponseWriter, r *http.Request, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	send(w, r, http.StatusOK, "application/json", append(body, '\n'))
	return nil
}

// pulls are the commands that fetch what a reference names, the best client for it first.
func pulls(host, name, reference, kind, by string) []command {
	ref := host + imagePath(name, reference)[len("/ui/r"):]
	oras := command{Label: "oras", Client: "oras", By: by, Text: "oras pull " + ref}
	whole := oras // as it is, where its layers have no names of files
	whole.Text = "oras copy " + ref + " --to-oci-layout " + name[strings.LastIndexByte(name, '/')+1:]
	images := []command{
		{Label: "docker", Client: "docker", By: by, Text: "docker pull " + ref},
		{Label: "podman", Client: "podman", By: by, Text: "podman pull " + ref},
		{Label: "crane", Client: "crane", By: by, Text: "crane pull " + ref + " " + name[strings.LastIndexByte(name, '/')+1:] + ".tar"},
	}
	switch kind {
	case string(browse.ChartKind):
		chart := command{Label: "helm", Client: "helm", By: by, Text: "helm pull oci://" + host + "/" + name}
		if by == "tag" {
			chart.Text += " --version " + strings.ReplaceAll(reference, "_", "+")
		} else {
			chart.Text += "@" + reference
		}
		return []command{chart, whole}
	case string(browse.ArtifactKind):
		return []command{oras, images[2]}
	}
	return append(images, whole)
}
