package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"gatehouse/tokens/store"
)

// sharedStore is a Redis as two gateways see it.
func sharedStore(t *testing.T) (of func() *store.Store, redis *miniredis.Miniredis) {
	redis = miniredis.RunT(t)
	return func() *store.Store {
		b, err := store.NewShared(store.Redis{URL: "redis://" + redis.Addr(), Prefix: "t:"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return store.Watched(b, store.Config{}, nil, nil)
	}, redis
}

// holdsOf is a gateway's.
func holdsOf(s *store.Store) *sharedHolds {
	h := &sharedHolds{local: &localHolds{}, times: usualLease}
	h.shared.Store(s)
	return h
}

// TestLease: a tag is held by one gateway at a time; one that died holds it no longer than
// its term, and without the store nothing is held.
func TestLease(t *testing.T) {
	of, redis := sharedStore(t)
	one, two := holdsOf(of()), holdsOf(of())
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	first, err := one.hold(t.Context(), "a", []string{"v1", "v2"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tags := range [][]string{{"v2"}, {"v0", "v1"}} { // v0 stays free
		if _, err := two.hold(soon(), "a", tags); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s held by two: %v", tags, err)
		}
	}
	for _, other := range []struct{ repository, tag string }{{"a", "v0"}, {"a", "v3"}, {"b", "v1"}} {
		l, err := two.hold(soon(), other.repository, []string{other.tag})
		if err != nil {
			t.Fatalf("%s: %v", other, err)
		}
		l.release()
	}
	if _, _, err := first.during(t.Context()); err != nil {
		t.Errorf("held, and not sure: %v", err)
	}
	first.release()
	if keys := redis.Keys(); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}

	dead, err := one.hold(t.Context(), "a", []string{"v0", "v1"})
	if err != nil {
		t.Fatal(err)
	}
	redis.FastForward(usualLease.term)
	second, err := two.hold(soon(), "a", []string{"v1"})
	if err != nil {
		t.Fatalf("of a gateway that died: %v", err)
	}
	if _, _, err := dead.during(t.Context()); !errors.Is(err, store.ErrHeld) || asAPIError(err).status != http.StatusServiceUnavailable {
		t.Errorf("it comes back to life: %v", err)
	}
	if dead.release(); len(redis.Keys()) != 1 {
		t.Error("it gives back what is another's")
	}
	if _, _, err := second.during(t.Context()); err != nil {
		t.Errorf("lost to one that died: %v", err)
	}
	second.release()
	redis.SetError("LOADING")
	if _, err := one.hold(soon(), "a", []string{"v1"}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("without the store: %v", err)
	}
}

// TestLeaseLost: a push that holds its tag no more when its turn comes is 503 and not sent,
// and one that loses it while the upstream is at work is 502.
func TestLeaseLost(t *testing.T) {
	of, redis := sharedStore(t)
	h, other := halved(t), halved(t)
	for _, one := range []*house{h, other} {
		one.gateway.load.Share(of())
		one.gateway.load.holds.times = leaseTimes{2 * time.Second, 20 * time.Millisecond, 5 * time.Millisecond, time.Second}
	}
	other.upstream.answers(naming(nil))
	push := func(h *house) (int, string) {
		resp, text := h.do(h.request("PUT", "/v2/prod/a/manifests/v1", h.token("alice", "repository:prod/a:push"), strings.NewReader("{}")))
		return resp.StatusCode, text
	}
	for name, c := range map[string]struct {
		on     string // the request at which it happens
		happen func()
		status int
		sent   string
	}{
		"nothing happens":      {"HEAD", func() {}, 201, "HEAD PUT"},
		"the store forgets it": {"HEAD", redis.FlushAll, 503, "HEAD"},
		"its term is over":     {"HEAD", func() { redis.FastForward(time.Minute) }, 503, "HEAD"},
		"another one pushes it": {"HEAD", func() {
			redis.FlushAll()
			if status, text := push(other); status != 201 {
				t.Errorf("the other one: %d %s", status, text)
			}
		}, 503, "HEAD"},
		"the store is away":              {"HEAD", func() { redis.SetError("LOADING") }, 503, "HEAD"},
		"the store forgets it meanwhile": {"PUT", redis.FlushAll, 502, "HEAD PUT"},
		"the store stays away meanwhile": {"PUT", func() { redis.SetError("LOADING") }, 502, "HEAD PUT"},
		"the store is away for a moment": {"PUT", func() { redis.SetError("LOADING"); redis.SetError("") }, 201, "HEAD PUT"},
		"it is renewed in the long run":  {"PUT", func() { renewed(t, redis) }, 201, "HEAD PUT"},
		"and while the tag is asked for": {"HEAD", func() { renewed(t, redis) }, 201, "HEAD PUT"},
	} {
		t.Run(name, func(t *testing.T) {
			h.upstream.take()
			h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == c.on {
					c.happen()
				}
				if r.Method == http.MethodPut && c.status == http.StatusBadGateway {
					<-r.Context().Done() // the gateway gives up
				}
				naming(nil)(w, r)
			})
			status, text := push(h)
			redis.SetError("")
			if sent := methods(h.upstream.take()); status != c.status || sent != c.sent {
				t.Errorf("%d %s, sent %s", status, text, sent)
			}
			if status > 201 && !strings.Contains(text, "could not be held against pushes through other gateways") {
				t.Error(text)
			}
			redis.FlushAll()
		})
	}
}

// renewed lets more than a term go by, and waits each time until the lease has all of it again.
func renewed(t *testing.T, redis *miniredis.Miniredis) {
	for range 3 {
		redis.FastForward(time.Second)
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // nobody tells of a renewal
			keys := redis.Keys()
			if len(keys) == 1 && redis.TTL(keys[0]) == 2*time.Second {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("it is not renewed: %v", keys)
				return
			}
		}
	}
}

// TestOneCreateShared: of two pushes of one new tag at once, through two gateways that share a
// store, one is the create and the other is refused, each time; without the store a push
// that needs it is 503, and another one goes on.
func TestOneCreateShared(t *testing.T) {
	of, redis := sharedStore(t)
	var mu sync.Mutex
	tags := map[string]string{}
	answer := func(w http.ResponseWriter, r *http.Request) {
		tag := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.Method == http.MethodPut:
			tags[tag] = r.Header.Get("X-Request-Id")
			w.WriteHeader(http.StatusCreated)
		case tags[tag] == "":
			w.WriteHeader(http.StatusNotFound)
		default:
			w.Header().Set("Docker-Content-Digest", sha("other"))
		}
	}
	houses := []*house{halved(t), halved(t)}
	for _, h := range houses {
		h.upstream.answers(answer)
		h.gateway.load.Share(of())
	}
	push := func(h *house, tag string) int {
		r := h.request("PUT", "/v2/prod/a/manifests/"+tag, h.token("alice", "repository:prod/a:push"), strings.NewReader("{}"))
		resp, _ := h.do(r)
		return resp.StatusCode
	}
	// One upstream for both: what the first has the second shows too, by the map above.
	for i := range 60 {
		var created, refused atomic.Int64
		var both sync.WaitGroup
		for _, h := range houses {
			both.Go(func() {
				switch push(h, fmt.Sprint("v", i)) {
				case http.StatusCreated:
					created.Add(1)
				case http.StatusForbidden:
					refused.Add(1)
				}
			})
		}
		if both.Wait(); created.Load() != 1 || refused.Load() != 1 {
			t.Fatalf("tag %d: %d created, %d refused", i, created.Load(), refused.Load())
		}
	}
	redis.SetError("LOADING")
	if got := push(houses[0], "v1000"); got != http.StatusServiceUnavailable {
		t.Errorf("without the store: %d", got)
	}
}

// TestLeaseNeeded: while the store is away a push of a tag is 503 where some rule tells the
// halves of a push apart in its repository, whoever the caller is, and goes on elsewhere.
func TestLeaseNeeded(t *testing.T) {
	of, redis := sharedStore(t)
	h := halved(t)
	h.gateway.load.Share(of())
	h.upstream.answers(naming(nil))
	redis.SetError("LOADING")
	for repository, status := range map[string]int{"prod/a": 503, "team/a": 503, "move/a": 503, "free/a": 201, "prod": 503, "products/a": 201} {
		h.upstream.take()
		resp, text := h.do(h.request("PUT", "/v2/"+repository+"/manifests/v1", h.token("root", "repository:"+repository+":push"), strings.NewReader("{}")))
		sent := h.upstream.take()
		if resp.StatusCode != status || (len(sent) > 0) != (status == 201) {
			t.Errorf("%s: %d %s, want %d; sent %v", repository, resp.StatusCode, text, status, sent)
		}
		if status == 503 && (!strings.Contains(text, errLost.Error()) || strings.Contains(text, "store of tokens") || resp.Header.Get("Retry-After") == "") {
			t.Errorf("%s: %v %s", repository, resp.Header, text)
		}
	}
}
