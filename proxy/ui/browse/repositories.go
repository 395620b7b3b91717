package browse

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"

	"gatehouse/authz"
)

// RepositoryQuery is what a page of repositories shows.
type RepositoryQuery struct {
	// Folder is the level: what stands below it, without a slash at its end; empty: the top.
	Folder string
	// Search is what a name has to contain, at any level, in capitals or not; folders are
	// not shown then.
	Search string
	// Below shows the repositories of all levels that a ceiling covers, and no folders: those
	// first in which it leaves the caller something, and what that is. Nil: there is none.
	Below *authz.Ceiling
	// Right is an action that the caller may do there; empty: any repository.
	Right authz.Action
	// Page counts from 1, Size is its rows.
	Page, Size int
}

// RepositoryList is one page of repositories.
type RepositoryList struct {
	// Rows are those of the page, folders before repositories.
	Rows []RepositoryRow
	// Pager says which of how many.
	Pager
	// Left is in how many of all rows a ceiling leaves something.
	Left int
	// Cut says that the registry has more repositories than are listed (100,000).
	Cut bool
}

// RepositoryRow is a folder or a repository.
type RepositoryRow struct {
	// Name is the whole name; of a folder without a slash at its end.
	Name string
	// Folder says that it is one.
	Folder bool
	// Repositories is how many that the caller may pull are below a folder.
	Repositories int
	// Before, Match and After are the name around the part that was searched for.
	Before, Match, After string
	// Rights are the caller's in a repository.
	Rights []Right
	// Tags is the number of tags where known, else -1.
	Tags int
}

// Pager is a page's place among the rows.
type Pager struct {
	// Total is the number of rows on all pages.
	Total int
	// Page counts from 1, Pages is how many there are.
	Page, Pages int
	// From and To are the numbers of the first and the last row of the page; 0: none.
	From, To int
}

// Page cuts the rows of a page out of all. A page behind the last one is the last one.
func Page[T any](all []T, number, size int) ([]T, Pager) {
	size = max(size, 1)
	p := Pager{Total: len(all), Pages: max((len(all)+size-1)/size, 1)}
	p.Page = min(max(number, 1), p.Pages)
	start := (p.Page - 1) * size
	p.To = min(start+size, len(all))
	if p.Total > 0 {
		p.From = start + 1
	}
	return all[start:p.To], p
}

// Repositories lists what the caller may pull. The error is that of reading the list.
func (v *Visit) Repositories(ctx context.Context, q RepositoryQuery) (*RepositoryList, error) {
	q.Search = strings.ToLower(q.Search) // as names have no capitals
	prefixes := v.asker.Prefixes(v.caller.Source)
	if len(prefixes) == 0 {
		return &RepositoryList{Pager: Pager{Page: 1, Pages: 1}}, nil
	}
	v.settle(ctx)
	names, cut, err := v.names(ctx)
	if err != nil {
		return nil, err
	}
	visible := v.visible(names, prefixes, q)
	rows := rowsOf(visible, q)
	list := &RepositoryList{Cut: cut, Left: v.leftFirst(rows, q.Below)}
	list.Rows, list.Pager = Page(rows, q.Page, q.Size)
	list.Rows = slices.Clone(list.Rows)
	for i := range list.Rows {
		v.describe(&list.Rows[i], q)
	}
	return list, nil
}

// visible are the names that the caller may pull, and that the query is about.
func (v *Visit) visible(names, prefixes []string, q RepositoryQuery) []string {
	list, below := []string{}, q.Folder+"/"
	if q.Folder != "" {
		names = within(names, below)
	}
	for name := range candidates(names, prefixes) {
		if !strings.Contains(name, q.Search) || q.Below != nil && !q.Below.Covers(name) || !v.Decide(authz.Pull, name).Allowed {
			continue
		}
		if q.Right == "" || v.Decide(q.Right, name).Allowed {
			list = append(list, name)
		}
	}
	return list
}

// candidates yields the names that some rule may let a caller pull.
func candidates(names, prefixes []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, prefix := range prefixes {
			if own, ok := strings.CutSuffix(prefix, "/"); ok {
				if _, found := slices.BinarySearch(names, own); found && !yield(own) {
					return
				}
			}
			for _, name := range within(names, prefix) {
				if !yield(name) {
					return
				}
			}
		}
	}
}

// rowsOf makes rows of names: hits where something is searched for, else the folders and
// the repositories of the level.
func rowsOf(names []string, q RepositoryQuery) []RepositoryRow {
	rows, folders := []RepositoryRow{}, map[string]int{} // their places
	for _, name := range names {
		folder := folderOf(name, q)
		at, known := folders[folder]
		switch {
		case folder == "":
			rows = append(rows, RepositoryRow{Name: name})
		case known:
			rows[at].Repositories++
		default:
			folders[folder] = len(rows)
			rows = append(rows, RepositoryRow{Name: folder, Folder: true, Repositories: 1})
		}
	}
	slices.SortStableFunc(rows, func(a, b RepositoryRow) int {
		if a.Folder != b.Folder {
			return map[bool]int{true: -1, false: 1}[a.Folder]
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return rows
}

// folderOf is the folder of the level that a name stands in; empty: it stands there itself.
func folderOf(name string, q RepositoryQuery) string {
	if q.Search != "" || q.Below != nil {
		return ""
	}
	above := 0
	if q.Folder != "" {
		above = len(q.Folder) + 1
	}
	below, _, deeper := strings.Cut(name[above:], "/")
	if !deeper {
		return ""
	}
	return name[:above+len(below)]
}

// describe adds what only the rows of a page need.
func (v *Visit) describe(row *RepositoryRow, q RepositoryQuery) {
	row.Before, row.Tags = row.Name, -1
	if at := strings.Index(row.Name, q.Search); q.Search != "" && at >= 0 {
		row.Before, row.Match, row.After = row.Name[:at], q.Search, row.Name[at+len(q.Search):]
	}
	if row.Folder {
		return
	}
	row.Rights = v.left(row.Name, q.Below)
	row.Tags = v.library.knownTags(v.caller.Place, row.Name)
}

// left are the caller's rights in a repository below a ceiling. What everyone may pull is
// below each, and is none of them.
func (v *Visit) left(repository string, below *authz.Ceiling) []Right {
	rights := v.Rights(repository)
	if below == nil {
		return rights
	}
	chosen := below.Actions()
	return slices.DeleteFunc(rights, func(r Right) bool { return !slices.Contains(chosen, string(r.Action)) })
}

// leftFirst puts the repositories in which a ceiling leaves something before the others, and
// returns how many they are.
func (v *Visit) leftFirst(rows []RepositoryRow, below *authz.Ceiling) int {
	if below == nil {
		return 0
	}
	left, none := []RepositoryRow{}, []RepositoryRow{}
	for _, row := range rows {
		if len(v.left(row.Name, below)) > 0 {
			left = append(left, row)
		} else {
			none = append(none, row)
		}
	}
	copy(rows[copy(rows, left):], none)
	return len(left)
}
