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

// TestLease: a tag is held by one gateway at a time; one that died holds it no longer than
// its term, one that lives renews it, and without the store nothing is held.
func TestLease(t *testing.T) {
	of, redis := sharedStore(t)
	one, two := &sharedHolds{local: &localHolds{}}, &sharedHolds{local: &localHolds{}}
	one.shared.Store(of())
	two.shared.Store(of())
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	release, err := one.hold(t.Context(), "a", []string{"v1", "v2"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.hold(soon(), "a", []string{"v2"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("held by two: %v", err)
	}
	other, err := two.hold(soon(), "a", []string{"v3"})
	if err != nil {
		t.Errorf("another tag: %v", err)
	}
	other()
	if _, err := two.hold(soon(), "a", []string{"v0", "v1"}); !errors.Is(err, context.DeadlineExceeded) { // v0 goes back
		t.Errorf("one of two: %v", err)
	}
	release()
	release, err = two.hold(soon(), "a", []string{"v0", "v1", "v2"})
	if err != nil {
		t.Fatalf("given back: %v", err)
	}
	release()
	if keys := redis.Keys(); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}

	dead := &lease{store: of(), owner: "dead"}
	table := leaseTable("a", "v1")
	if err := dead.take(soon(), table); err != nil {
		t.Fatal(err)
	}
	over := fmt.Sprintf(`{"owner":"dead","fence":9000000000000000000,"until":%q}`, time.Now().Add(-time.Second).Format(time.RFC3339))
	if err := dead.store.Put(t.Context(), store.Write{Table: table, Key: leaseKey, Value: []byte(over)}); err != nil {
		t.Fatal(err)
	}
	kept := func() string {
		text, _ := dead.store.Get(t.Context(), table, leaseKey) // none is empty
		return string(text)
	}
	if release, err = one.hold(soon(), "a", []string{"v1"}); err != nil {
		t.Fatalf("of a gateway that died: %v", err)
	}
	if text := kept(); !strings.Contains(text, `"fence":9000000000000000001`) {
		t.Errorf("the fence does not grow: %s", text)
	}
	if err := dead.update(t.Context(), table, false); !errors.Is(err, errHeld) {
		t.Errorf("it comes back to life: %v", err)
	}
	if dead.give(); kept() == "" {
		t.Error("it gives back what is another's")
	}
	release()
	redis.SetError("LOADING")
	if _, err := one.hold(soon(), "a", []string{"v1"}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("without the store: %v", err)
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
