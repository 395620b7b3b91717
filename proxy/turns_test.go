package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
)

// TestTurns (row A6): one listing a person at once, and a few in all.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns()
		take := func(name string) (func(), error) { return turns.acquire(t.Context(), holder{username: name}) }
		done, err := take("a")
		if err != nil {
			t.Fatal(err)
		}
		start, throttled := time.Now(), new(authn.ThrottledError)
		if _, err := take("a"); !errors.As(err, &throttled) || time.Since(start) != turnLimit || throttled.Limit != "catalogs" {
			t.Errorf("a second one of a: %v after %s", err, time.Since(start))
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := turns.acquire(gone, holder{username: "a"}); !errors.Is(err, context.Canceled) {
			t.Errorf("a client that leaves: %v", err)
		}
		go func() { time.Sleep(time.Second); done() }()
		done, err = take("a")
		if err != nil {
			t.Fatalf("its turn: %v", err)
		}
		var others []func()
		for i := range maxListings - 1 {
			one, err := take(fmt.Sprint("b", i))
			if err != nil {
				t.Fatalf("the turn of %d: %v", i, err)
			}
			others = append(others, one)
		}
		if _, err := take("c"); !errors.As(err, &throttled) {
			t.Errorf("one too many in all: %v", err)
		}
		done()
		if last, err := take("c"); err != nil {
			t.Errorf("after one has gone: %v", err)
		} else {
			last()
		}
		for _, one := range others {
			one()
		}
		if len(turns.people.keys) != 0 || len(turns.all) != 0 {
			t.Errorf("left: %v, %d", turns.people.keys, len(turns.all))
		}
	})
}

// TestCatalogOfNobody (row A6): who may pull nothing asks the upstream nothing.
func TestCatalogOfNobody(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Policy = mustPolicy(t) })
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"repositories":["secret/hidden"]}`) })
	if names, link := h.list(h.token("bob", "registry:catalog:*"), "?n=10", 200); len(names) != 0 || link != "" {
		t.Errorf("%v %q", names, link)
	}
	if seen := h.upstream.take(); len(seen) != 0 {
		t.Errorf("%d requests reached the upstream", len(seen))
	}
}

func mustPolicy(t *testing.T) *authz.Policy {
	t.Helper()
	p, err := authz.New(authz.Config{Directories: []string{"local"}, Rules: []authz.Rule{
		{Allow: []string{"pull"}, Repositories: []string{"team/**"}, To: []string{"user:alice"}},
		{Allow: []string{"push"}, Repositories: []string{"**"}, To: []string{"user:bob"}}}})
	if p == nil {
		t.Fatal(err)
	}
	return p
}

// TestCatalogsSideBySide (row A6): listings of one person are read one after the other.
func TestCatalogsSideBySide(t *testing.T) {
	h := newHouse(t, nil)
	var now, most atomic.Int64
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		time.Sleep(10 * time.Millisecond) // long enough for others to be beside it
		fmt.Fprint(w, `{"repositories":["team/a"]}`)
	})
	token := h.token("alice", "registry:catalog:*")
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			resp, body := h.do(h.request("GET", "/v2/_catalog", token, nil))
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
	all.Wait()
	if most.Load() != 1 {
		t.Errorf("%d at once", most.Load())
	}
}
