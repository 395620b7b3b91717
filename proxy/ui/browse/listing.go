package browse

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse/proxy/route"
)

const (
	tagsFor   = 30 * time.Second // how long tags, and what they name, are taken to be as they were
	mostPages = 1000             // of one list of tags
)

// knownTags is the number of a repository's tags, without those for signatures; -1: it is
// not known.
func (l *Library) knownTags(place, name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.repositories.get(tagsKey{place, name})
	if !ok || r.began.IsZero() {
		return -1
	}
	shown, _ := split(r.tags)
	return len(shown)
}

// tags are the repository's, from the oldest version to the newest. The caller may pull there.
func (v *Visit) tags(ctx context.Context, name string) ([]string, error) {
	l, key := v.library, tagsKey{v.caller.Place, name}
	l.mu.Lock()
	r, known := l.repositories.get(key)
	known = known && !r.began.IsZero()
	fresh := known && time.Since(r.began) < tagsFor
	l.mu.Unlock()
	l.metrics.CacheRequest("ui_tags", outcome(known && fresh, fresh))
	if fresh {
		return r.tags, nil
	}
	return flight(ctx, l, key.flight(), readLimit, func(ctx context.Context) ([]string, error) { return v.readTags(ctx, key) })
}

// readTags reads the list, and keeps it where nothing changed meanwhile.
func (v *Visit) readTags(ctx context.Context, key tagsKey) ([]string, error) {
	l := v.library
	l.mu.Lock()
	r := l.newRepositoryLocked()
	r.began, l.reading[key] = time.Now(), r
	l.mu.Unlock()
	err := v.listTags(ctx, key.repository, r)
	l.mu.Lock()
	defer l.mu.Unlock()
	undisturbed := l.reading[key] == r
	delete(l.reading, key)
	if err != nil {
		return nil, err
	}
	if undisturbed {
		l.keepTagsLocked(key, r)
	}
	return r.tags, nil
}

// keepTagsLocked keeps a list, with what is known of those that were there before.
func (l *Library) keepTagsLocked(key tagsKey, r *repository) {
	before := l.repositoryLocked(key)
	for _, tag := range r.tags {
		if n, ok := before.named[tag]; ok {
			r.named[tag] = n
			r.held += namingBytes
		}
	}
	l.repositories.put(key, r)
}

// listTags reads all pages.
func (v *Visit) listTags(ctx context.Context, name string, r *repository) error {
	rt, err := target(http.MethodGet, name, "tags/list", "")
	var all []string
	for n := 0; err == nil; n++ {
		var tags []string
		next := ""
		if tags, next, err = v.pageOfTags(ctx, rt, r); err != nil {
			return err
		}
		all = append(all, tags...)
		if next == "" {
			slices.Sort(all)
			r.tags = sortVersions(slices.Compact(all))
			return nil
		}
		if n == mostPages {
			return fmt.Errorf("%w: its tags have no end", ErrAnswer)
		}
		rt, err = route.Parse(http.MethodGet, next)
	}
	return err
}

// pageOfTags reads one page, and where the next one is.
func (v *Visit) pageOfTags(ctx context.Context, rt route.Route, r *repository) (tags []string, next string, err error) {
	reply, err := v.read(ctx, "tags", rt, nil, mostTagList-r.bytes)
	switch {
	case err != nil:
		return nil, "", err
	case reply.status != http.StatusOK:
		return nil, "", reply.unexpected()
	case reply.large:
		return nil, "", fmt.Errorf("%w: its list of tags is larger than 8 MiB", ErrAnswer)
	}
	var body struct{ Tags []string }
	if err := json.Unmarshal(reply.body, &body); err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	r.bytes += int64(len(reply.body))
	return body.Tags, nextPage(reply.header), nil
}

// nextPage is where a list goes on, "" where it ends. What stands there is a path of ours
// already, with its relation in quotes.
func nextPage(h http.Header) string {
	for _, field := range h["Link"] {
		if link, ok := strings.CutSuffix(field, `>; rel="next"`); ok {
			return strings.TrimPrefix(link, "<")
		}
	}
	return ""
}
