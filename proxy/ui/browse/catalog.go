package browse

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse/authz"
	"gatehouse/proxy/route"
)

const (
	mostNames    = 100_000          // of repositories that are listed
	catalogLimit = 60 * time.Second // for reading them all
	mostDoubtful = 16               // names whose repository may be gone since the list was read
)

// names is the list of all repositories of the caller's place, and whether there are more
// than it holds. What is kept is given out while it is read again.
func (v *Visit) names(ctx context.Context) (names []string, cut bool, err error) {
	l, place := v.library, v.caller.Place
	l.mu.Lock()
	c := l.catalogLocked(place)
	known, fresh := !c.read.IsZero(), !c.due && time.Since(c.read) < time.Duration(l.refresh.Load())
	names, cut = c.names, c.cut
	l.mu.Unlock()
	l.metrics.CacheRequest("ui_catalog", outcome(known, fresh))
	if known && fresh {
		return names, cut, nil
	}
	if known {
		ctx, stop := context.WithCancel(ctx)
		stop() // begun, not waited for
		_, _ = v.reread(ctx)
		return names, cut, nil
	}
	c, err = v.reread(ctx)
	if err != nil {
		return nil, false, err
	}
	return c.names, c.cut, nil
}

// outcome is what the metric says of a look into a cache.
func outcome(known, fresh bool) string {
	switch {
	case fresh && known:
		return "hit"
	case known:
		return "stale"
	}
	return "miss"
}

// reread reads the list of the caller's place, one reader at a time.
func (v *Visit) reread(ctx context.Context) (*catalog, error) {
	return flight(ctx, v.library, "catalog\x00"+v.caller.Place, catalogLimit, v.readCatalog)
}

func (v *Visit) readCatalog(ctx context.Context) (*catalog, error) {
	l, place := v.library, v.caller.Place
	l.mu.Lock()
	c := l.catalogLocked(place)
	c.reading, c.added = true, nil
	l.mu.Unlock()
	began := time.Now()
	names, cut, err := v.list(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	c.reading = false
	if err != nil {
		return nil, err
	}
	c.names, c.cut, c.read, c.due = sorted(append(names, c.added...)), cut, began, false
	return &catalog{names: c.names, cut: c.cut}, nil
}

// list reads the names as they come.
func (v *Visit) list(ctx context.Context) (names []string, cut bool, err error) {
	release, err := v.library.turn(ctx)
	if err != nil {
		return nil, false, errors.Join(ErrSlow, err)
	}
	defer release()
	rt, err := route.Parse(http.MethodGet, "/v2/_catalog")
	if err != nil {
		return nil, false, err
	}
	answer, err := v.registry.Ask(ctx, v.caller, rt, nil)
	if err != nil {
		v.library.count("catalog", nil, err)
		return nil, false, err
	}
	defer answer.Body.Close()
	r := &reply{status: answer.Status}
	if r.status == http.StatusOK {
		names, cut, err = readNames(answer)
	} else {
		err = r.unexpected()
	}
	v.library.count("catalog", r, err)
	return names, cut, err
}

// readNames reads the lines of a catalog. A part never counts as the whole.
func readNames(answer *Answer) (names []string, cut bool, err error) {
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if len(names) == mostNames {
			return names, true, nil
		}
		names = append(names, lines.Text())
	}
	return names, false, lines.Err()
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Clip(slices.Compact(names))
}

// Pushed tells that something was stored in a repository of a place: what is known of its
// tags is void, and its name is one of the list.
func (l *Library) Pushed(place, repository string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.catalogLocked(place)
	l.changedLocked(repository)
	if c.reading {
		c.added = append(c.added, repository)
	}
	if at, found := slices.BinarySearch(c.names, repository); !found && !c.read.IsZero() && len(c.names) < mostNames {
		c.names = slices.Insert(slices.Clone(c.names), at, repository)
	}
	c.doubtful = slices.DeleteFunc(c.doubtful, func(name string) bool { return name == repository })
}

// Deleted tells that something was deleted in a repository of a place, or may have been.
func (l *Library) Deleted(place, repository string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.catalogLocked(place)
	l.changedLocked(repository)
	switch {
	case slices.Contains(c.doubtful, repository):
	case len(c.doubtful) < mostDoubtful:
		c.doubtful = append(c.doubtful, repository)
	default:
		c.due = true
	}
}

// settle finds out which repositories the list still names that something was deleted in,
// of those that the caller may see.
func (v *Visit) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l := v.library
	l.mu.Lock()
	doubtful := slices.Clone(l.catalogLocked(v.caller.Place).doubtful)
	l.mu.Unlock()
	for _, name := range doubtful {
		if v.may(authz.Pull, name) != nil {
			continue
		}
		_, err := v.tags(ctx, name)
		l.settled(v.caller.Place, name, err)
	}
}

// settled takes a name off the list, where the registry no longer has it, or believes it.
func (l *Library) settled(place, name string, err error) {
	if err != nil && !errors.Is(err, ErrAbsent) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.catalogLocked(place)
	c.doubtful = slices.DeleteFunc(c.doubtful, func(n string) bool { return n == name })
	if at, found := slices.BinarySearch(c.names, name); found && err != nil {
		c.names = slices.Delete(slices.Clone(c.names), at, at+1)
	}
}

// within yields the names that a prefix of authz.Caller.Prefixes is about.
func within(names []string, prefix string) []string {
	from, _ := slices.BinarySearch(names, prefix)
	to := from
	if prefix == "" {
		return names
	}
	to += afterPrefix(names[from:], prefix)
	return names[from:to]
}

// afterPrefix is how many of the sorted names begin with a prefix, which those at their
// start do.
func afterPrefix(names []string, prefix string) int {
	n, _ := slices.BinarySearchFunc(names, prefix, func(name, prefix string) int {
		if strings.HasPrefix(name, prefix) {
			return -1
		}
		return 1
	})
	return n
}
