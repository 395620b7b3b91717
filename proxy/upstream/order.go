package upstream

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
)

// ordering is what is known of the upstream's catalog: whether `last` may be a name
// that is not there, and all that is sorted after it follows. Registries differ in
// how they sort: by bytes, or with / before all else, as a walk of folders does. What
// is here holds for both.
type ordering struct{ state atomic.Int32 }

const (
	unknown int32 = iota
	isSorted
	isNot
)

func (o *ordering) never() { o.state.Store(isNot) }

// greatest is the last name that a repository can have.
var greatest = strings.Repeat("z", 255)

// sorted finds out once, by two names that are hardly there: after one just before the
// first of all has to come the first, and after the greatest there can be nothing.
func (u *Registry) sorted(ctx context.Context, header http.Header) (bool, error) {
	if s := u.order.state.Load(); s != unknown {
		return s == isSorted, nil
	}
	first, err := u.after(ctx, header, "")
	if err != nil {
		return false, err
	}
	for last, want := range map[string]string{before(first): first, greatest: ""} {
		if last == "" {
			u.order.never()
			return false, nil
		}
		if name, err := u.after(ctx, header, last); err != nil {
			return false, err
		} else if name != want {
			u.order.never()
			return false, nil
		}
	}
	u.order.state.Store(isSorted)
	return true, nil
}

// before is a name that comes before another by bytes and in a walk, and after it where
// letters count first, as in the collation of a database: such a registry is not sorted
// in our sense. It is "" where there is none.
func before(name string) string {
	letter := func(i int) bool { return i < len(name) && strings.IndexByte("-._/", name[i]) < 0 }
	for i := 1; i < len(name); i++ {
		if letter(i-1) && letter(i) {
			return name[:i] + "-zzz"
		}
	}
	return ""
}

// after is the first name after another, "" where there is none or no answer.
func (u *Registry) after(ctx context.Context, header http.Header, last string) (string, error) {
	resp, err := u.catalog(ctx, header, 1, last)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.Status != http.StatusOK {
		return "", nil
	}
	names, err := decodeNames(ctx, resp)
	if err != nil || len(names) == 0 {
		return "", err
	}
	return names[0], nil
}

func less(a, b string) bool { return a < b }

// lessPath sorts as a walk of folders does.
func lessPath(a, b string) bool {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return b[i] != '/' && (a[i] == '/' || a[i] < b[i])
		}
	}
	return len(a) < len(b)
}

// skip finds where to read on after the name at, for a reader of names within the
// prefixes alone: to is a name that all of interest come after, "" where there is
// nothing to leave out; over: nothing of interest can come any more.
func skip(within []string, at string) (to string, over bool) {
	bytewise, pathwise, over := "", "", true
	for _, prefix := range within {
		if past(at, prefix) {
			continue
		}
		bound := lower(strings.TrimSuffix(prefix, "/"))
		if over || less(bound, bytewise) {
			bytewise = bound
		}
		if over || lessPath(bound, pathwise) {
			pathwise = bound
		}
		over = false
	}
	for i := range min(len(bytewise), len(pathwise)) {
		if bytewise[i] != pathwise[i] {
			bytewise = bytewise[:i]
			break
		}
	}
	to = strings.TrimRight(bytewise[:min(len(bytewise), len(pathwise))], "-._/")
	if over || !less(at, to) || !lessPath(at, to) {
		to = ""
	}
	return to, over
}

// lower is a text that comes before each name that begins with name, and after
// little else: the name without its end.
func lower(name string) string {
	if name == "" {
		return ""
	}
	return strings.TrimRight(name[:len(name)-1], "-._/")
}

// past reports whether everything that begins with the prefix comes before the name.
func past(name, prefix string) bool {
	for i := range len(prefix) {
		switch {
		case i == len(name):
			return false
		case name[i] != prefix[i]:
			return less(prefix[i:i+1], name[i:i+1]) && lessPath(prefix[i:i+1], name[i:i+1])
		}
	}
	return false
}
