package probe_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/gatehouse/probe"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens/store"
)

// open is a probe of a registry that answers as change says, where it says anything.
func open(t *testing.T, change func(*http.Request) int) *probe.Probe {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := change(r); status != 0 {
			w.WriteHeader(status)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	u, err := upstream.New(upstream.Config{URL: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return probe.New(u, 5*time.Second)
}

// foreign reports whether a request wants a blob of the repository that must not reach it.
func foreign(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/v2/"+probe.Other+"/blobs/sha256:") && r.Method != http.MethodDelete
}

// TestResults: what was reached, what was not, and what says nothing of either.
func TestResults(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*http.Request) int
		reached bool
		fault   string
	}{
		"shared":     {func(*http.Request) int { return 0 }, true, ""},
		"apart":      {answer(http.StatusNotFound), false, ""},
		"refused":    {answer(http.StatusForbidden), false, "status 403"},
		"a login":    {answer(http.StatusUnauthorized), false, "401"},
		"too many":   {answer(http.StatusTooManyRequests), false, "status 429"},
		"at fault":   {answer(http.StatusInternalServerError), false, "status 500"},
		"overloaded": {answer(http.StatusServiceUnavailable), false, "status 503"},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, test.change)
			if err := p.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := p.Read(t.Context(), http.MethodGet, "")
			if got.Reached != test.reached || (got.Err == nil) != (test.fault == "") || got.Err != nil && !strings.Contains(got.Err.Error(), test.fault) {
				t.Errorf("got %+v", got)
			}
			if resp, err := p.Own(t.Context()); probe.StatusOf(resp, err) != http.StatusOK {
				t.Errorf("its own blob: %v", err)
			}
		})
	}
}

// answer answers what is asked of the wrong repository.
func answer(status int) func(*http.Request) int {
	return func(r *http.Request) int {
		if foreign(r) {
			return status
		}
		return 0
	}
}

// TestClean: what was pushed is deleted, each blob where it was put.
func TestClean(t *testing.T) {
	deleted := map[string]int{} // by repository
	var mu sync.Mutex
	p := open(t, func(r *http.Request) int {
		if r.Method != http.MethodDelete {
			return 0
		}
		mu.Lock()
		defer mu.Unlock()
		repository, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/blobs/")
		deleted[repository]++
		return http.StatusAccepted
	})
	if err := p.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.Clean(t.Context()) {
		t.Error("something is left")
	}
	if want := map[string]int{probe.Owner: 1, probe.Other: 2, probe.Empty: 1}; !maps.Equal(deleted, want) {
		t.Errorf("deleted %v, want %v", deleted, want)
	}
}

// TestLeft: an upstream that deletes nothing keeps what was pushed, and that is told.
func TestLeft(t *testing.T) {
	p := open(t, func(r *http.Request) int {
		if r.Method == http.MethodDelete {
			return http.StatusMethodNotAllowed
		}
		return 0
	})
	if err := p.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !p.Clean(t.Context()) {
		t.Error("nothing is said to be left")
	}
}

// TestStatusOf: an answer that may not pass has its status, no answer has none.
func TestStatusOf(t *testing.T) {
	for want, c := range map[int]struct {
		resp *upstream.Response
		err  error
	}{
		200: {&upstream.Response{Status: 200}, nil}, 301: {nil, &upstream.Error{Status: 301}}, 0: {nil, errors.New("refused")},
	} {
		if got := probe.StatusOf(c.resp, c.err); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}

// TestStore: Redis that answers, and one that has gone; a file is opened by nobody here.
func TestStore(t *testing.T) {
	ask := func(cfg store.Config) (said string) {
		probe.Store(t.Context(), time.Minute, &cfg, func(ok bool, subject, format string, args ...any) {
			said += fmt.Sprint(ok, " ", subject, ": ", fmt.Sprintf(format, args...))
		})
		return said
	}
	address := authntest.FreeAddress(t)
	redis := store.Config{Redis: store.Redis{URL: "redis://" + address, Prefix: "p:"}}
	if said := ask(redis); !strings.HasPrefix(said, "false store: store unavailable") || !strings.Contains(said, "is Redis running") {
		t.Errorf("nobody there: %s", said)
	}
	authntest.StartRedis(t, address)
	if said := ask(redis); said != "true store: Redis answers" {
		t.Error(said)
	}
	if said := ask(store.Config{File: "nowhere.db"}); said != "" {
		t.Errorf("a file: %s", said)
	}
}
