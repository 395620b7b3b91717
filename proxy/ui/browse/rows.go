package browse

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/authz"
	"gatehouse/proxy/route"
)

const (
	mostBackground = 2000             // tags that are read for an order
	backgroundFor  = 10 * time.Minute // for reading them
)

// tagRows describes tags, as far as they can be read in a moment.
func (v *Visit) tagRows(ctx context.Context, name string, tags []string) []TagRow {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rows := make([]TagRow, len(tags))
	var all sync.WaitGroup
	for i, tag := range tags {
		rows[i] = TagRow{Tag: short(tag), Valid: authz.ValidTag(tag)}
		rows[i].Deletable = rows[i].Valid && v.Decide(authz.Delete, name, tag).Allowed
		all.Go(func() { rows[i].Summary = v.summary(ctx, name, tag) })
	}
	all.Wait()
	same := v.library.sameDigest(tagsKey{v.caller.Place, name})
	for i := range rows {
		if rows[i].Digest != "" {
			rows[i].Also = slices.DeleteFunc(slices.Clone(same[rows[i].Digest]), func(tag string) bool { return tag == rows[i].Tag })
		}
	}
	return rows
}

// sameDigest groups the tags of a repository by what they were found to name lately.
func (l *Library) sameDigest(key tagsKey) map[string][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	groups := map[string][]string{}
	for tag, n := range l.repositoryLocked(key).named {
		if time.Since(n.at) < tagsFor && !route.ValidDigest(tag) && !auxiliary(tag) {
			groups[n.digest] = append(groups[n.digest], tag)
		}
	}
	for _, tags := range groups {
		slices.Sort(tags)
	}
	return groups
}

// sortBuilt sorts tags by when they were built, the unknown ones first, and has those read
// of which nothing is known yet, whose number it returns.
func (v *Visit) sortBuilt(name string, tags []string) int {
	built, unread := map[string]time.Time{}, []string{}
	for _, tag := range tags {
		s, known := v.library.knownSummary(v.caller.Place, name, tag)
		if built[tag] = s.Built; !known {
			unread = append(unread, tag)
		}
	}
	slices.SortStableFunc(tags, func(a, b string) int { return built[a].Compare(built[b]) })
	if len(unread) > 0 {
		slices.Reverse(unread) // the newest versions first
		v.readAhead(name, unread[:min(len(unread), mostBackground)])
	}
	return len(unread)
}

// readAhead reads what tags name, for nobody who waits.
func (v *Visit) readAhead(name string, tags []string) {
	ctx, stop := context.WithCancel(context.WithValue(context.Background(), idle{}, true))
	stop() // begun, not waited for
	_, _ = flight(ctx, v.library, "ahead\x00"+v.caller.Place+"\x00"+name, backgroundFor, func(ctx context.Context) (any, error) {
		var readers errgroup.Group
		readers.SetLimit(32)
		for _, tag := range tags {
			readers.Go(func() error { v.summary(ctx, name, tag); return ctx.Err() })
		}
		return nil, readers.Wait()
	})
}
