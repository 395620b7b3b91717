package browse

import (
	"context"
	"slices"
	"strings"

	"gatehouse/authz"
)

// TagQuery is what a page of tags shows.
type TagQuery struct {
	// Repository is whose tags.
	Repository string
	// Search is what a tag has to contain, small or capital.
	Search string
	// Sort is version, name or built; empty: version.
	Sort string
	// Ascending turns the order around, which begins with the newest, or with z.
	Ascending bool
	// All shows the tags of signatures too.
	All bool
	// Page counts from 1, Size is its rows.
	Page, Size int
}

// TagList is one page of tags.
type TagList struct {
	// Rows are those of the page.
	Rows []TagRow
	// Pager says which of how many.
	Pager
	// Tags is how many the repository has, those of signatures left out.
	Tags int
	// Hidden is how many tags of signatures it has.
	Hidden int
	// Unread is how many of the rows' tags are not read yet, where the order needs that.
	Unread int
	// Newest is the tag of the newest release, or of what is nearest to one; empty: there
	// are no tags.
	Newest string
	// NewestKind is what Newest is of, as far as that is known; else ImageKind.
	NewestKind Kind
	// Rights are the caller's in the repository.
	Rights []Right
}

// TagRow is one tag.
type TagRow struct {
	// Tag is its name, 4 KiB of it at most.
	Tag string
	// Valid says that it is one that can be asked for; a registry may list any text.
	Valid bool
	// Summary is what it names.
	Summary
	// Also are other tags that name the same, as far as that is known.
	Also []string
	// Deletable says that the policy lets the caller delete the tag.
	Deletable bool
}

// Tags lists a repository's tags. The error is *Denied, ErrAbsent, or what kept the list
// from being read.
func (v *Visit) Tags(ctx context.Context, q TagQuery) (*TagList, error) {
	if err := v.may(authz.Pull, q.Repository); err != nil {
		return nil, err
	}
	all, err := v.tags(ctx, q.Repository)
	if err != nil {
		return nil, err
	}
	shown, hidden := split(all)
	l := &TagList{Tags: len(shown), Hidden: len(hidden), Newest: newestOf(shown), Rights: v.Rights(q.Repository)}
	if q.All {
		shown = all
	}
	matching := shown
	if search := strings.ToLower(q.Search); search != "" {
		matching = slices.DeleteFunc(slices.Clone(shown), func(tag string) bool { return !strings.Contains(strings.ToLower(tag), search) })
	}
	matching, l.Unread = v.order(matching, q)
	var tags []string
	tags, l.Pager = Page(matching, q.Page, q.Size)
	l.Rows, l.NewestKind = v.tagRows(ctx, q.Repository, tags), ImageKind
	if s, known := v.library.knownSummary(v.caller.Place, q.Repository, l.Newest); known {
		l.NewestKind = s.Kind
	}
	return l, nil
}

// order sorts tags, which come from the oldest version to the newest; unread is how many
// of them are not known well enough for that yet.
func (v *Visit) order(tags []string, q TagQuery) (sorted []string, unread int) {
	switch sorted = slices.Clone(tags); q.Sort {
	case "name":
		slices.Sort(sorted)
	case "built":
		unread = v.sortBuilt(q.Repository, sorted)
	}
	if !q.Ascending {
		slices.Reverse(sorted)
	}
	return sorted, unread
}
