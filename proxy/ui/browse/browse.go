// Package browse is what the pages of proxy/ui show of the registry, and what they delete
// there.
//
// A Library outlives reloads and keeps what was read. A Visit is one caller's look into it:
// each of its methods asks the policy first, for what is kept as for what is still to be
// read. Nothing that the registry says is trusted: sizes, dates, depths and numbers are
// bounded, and content counts under a digest only where it has that digest.
package browse

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"gatehouse/authz"
	"gatehouse/metrics"
)

// What may go wrong beside *Denied and the upstream's own errors.
var (
	// ErrAbsent: the registry does not have it.
	ErrAbsent = errors.New("the registry does not have it")
	// ErrAnswer: the registry's answer is none that can be read.
	ErrAnswer = errors.New("the registry's answer cannot be read")
	// ErrSlow: the registry has not answered yet; what was begun goes on.
	ErrSlow = errors.New("the registry takes long to answer")
)

// Library keeps what was read of the registries. It is safe for concurrent use.
type Library struct {
	metrics *metrics.Metrics
	refresh atomic.Int64 // Config.CatalogRefresh
	slots   atomic.Pointer[slots]
	flights singleflight.Group
	ctx     context.Context // of what outlives a request
	cancel  context.CancelFunc

	mu           sync.Mutex
	catalogs     map[string]*catalog // by place
	repositories *weighed[tagsKey, *repository]
	documents    *weighed[documentKey, *document]
	reading      map[tagsKey]*repository // whose tags are being read
	serial       int64                   // of the last repository
}

// slots are the questions that may be in flight, and those of them that may be for nobody
// who waits.
type slots struct{ all, idle *semaphore.Weighted }

// patience is a page's with what it shows in a list.
const patience = time.Second

// mostTagBytes is how many bytes of lists of tags are kept.
const mostTagBytes = 32 << 20

// NewLibrary returns an empty Library. Metrics may be nil.
func NewLibrary(cfg Config, m *metrics.Metrics) *Library {
	l := &Library{metrics: m, catalogs: map[string]*catalog{}, reading: map[tagsKey]*repository{},
		repositories: newWeighed[tagsKey, *repository](mostTagBytes), documents: newWeighed[documentKey, *document](int64(cfg.CacheBytes))}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.Take(cfg)
	return l
}

// Take makes a config count; what was read stays.
func (l *Library) Take(cfg Config) {
	n := int64(max(cfg.UpstreamRequests, 1))
	l.slots.Store(&slots{semaphore.NewWeighted(n), semaphore.NewWeighted((n + 1) / 2)})
	l.refresh.Store(int64(cfg.CatalogRefresh))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.documents.resize(int64(cfg.CacheBytes))
}

// Close ends what is read in the background.
func (l *Library) Close() { l.cancel() }

// Visit is one caller's look into a Library. It is for one request.
type Visit struct {
	library  *Library
	registry Registry
	caller   Caller
	asker    *authz.Caller
	policy   *authz.Policy
}

// Visit begins one.
func (l *Library) Visit(r Registry, p *authz.Policy, c Caller) *Visit {
	return &Visit{library: l, registry: r, caller: c, asker: p.For(c.Identity), policy: p}
}

// Decide asks the policy about a repository and some of its tags.
func (v *Visit) Decide(action authz.Action, repository string, tags ...string) authz.Decision {
	return v.asker.Decide(authz.Request{Repository: repository, Action: action, Tags: tags, Source: v.caller.Source})
}

// may is the policy's refusal, nil where there is none.
func (v *Visit) may(action authz.Action, repository string) error {
	if d := v.Decide(action, repository); !d.Allowed {
		return &Denied{d.Rule}
	}
	return nil
}

// Right is one action that the caller may do in a repository.
type Right struct {
	// Action is pull, push or delete.
	Action authz.Action
	// Rule is the one that gives it.
	Rule string
}

// Rights are the caller's in a repository, as `gatehouse explain` without a tag says.
func (v *Visit) Rights(repository string) []Right {
	var list []Right
	for _, action := range []authz.Action{authz.Pull, authz.Push, authz.Delete} {
		if d := v.Decide(action, repository); d.Allowed {
			list = append(list, Right{action, d.Rule})
		}
	}
	return list
}

// flight does something once for all who need it at the same time, within a time of its
// own: who stops waiting does not disturb the others.
func flight[T any](ctx context.Context, l *Library, key string, limit time.Duration, do func(context.Context) (T, error)) (T, error) {
	inner := l.ctx
	if ctx.Value(idle{}) != nil {
		inner = context.WithValue(inner, idle{}, true)
	}
	done := l.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(inner, limit)
		defer cancel()
		return do(ctx)
	})
	select {
	case r := <-done:
		value, _ := r.Val.(T)
		return value, r.Err
	case <-ctx.Done():
		var none T
		return none, errors.Join(ErrSlow, context.Cause(ctx))
	}
}

// catalogLocked is the list of a place.
func (l *Library) catalogLocked(place string) *catalog {
	c := l.catalogs[place]
	if c == nil {
		c = &catalog{}
		l.catalogs[place] = c
	}
	return c
}

// repositoryLocked is what is known of one.
func (l *Library) repositoryLocked(key tagsKey) *repository {
	r, ok := l.repositories.get(key)
	if !ok {
		l.catalogLocked(key.place) // so that it is one of the known places
		r = l.newRepositoryLocked()
		l.repositories.put(key, r)
	}
	return r
}

// changedLocked voids what is known of a repository, in all places, and what is being read.
func (l *Library) changedLocked(name string) {
	for place := range l.catalogs {
		key := tagsKey{place, name}
		l.repositories.remove(key)
		delete(l.reading, key)
		l.flights.Forget(key.flight())
	}
}

func (l *Library) newRepositoryLocked() *repository {
	l.serial++
	return &repository{named: map[string]naming{}, serial: strconv.FormatInt(l.serial, 36)}
}
