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

// The least and the greatest name that a repository can have.
var least, greatest = "0", strings.Repeat("z", 255)

// sorted finds out once: what comes after a name before all others has to be the
// first one, and after one behind them all nothing may come.
func (u *Upstream) sorted(ctx context.Context, header http.Header) (bool, error) {
	if s := u.order.state.Load(); s != unknown {
		return s == isSorted, nil
	}
	var ends [3]string
	for i, last := range []string{"", least, greatest} {
		name, err := u.after(ctx, header, last)
		if err != nil {
			return false, err
		}
		ends[i] = name
	}
	if ends[0] == "" || ends[0] == least || ends[1] != ends[0] || ends[2] != "" {
		u.order.never()
		return false, nil
	}
	u.order.state.Store(isSorted)
	return true, nil
}

// after is the first name after another, "" where there is none or no answer.
func (u *Upstream) after(ctx context.Context, header http.Header, last string) (string, error) {
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
