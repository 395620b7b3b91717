package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/cmd/gatehouse/config"
)

// TestCacheOverReloads: what the cache knows is asked for again after a reload, ends with
// another upstream, and with its section.
func TestCacheOverReloads(t *testing.T) {
	const body = "a blob"
	path := fmt.Sprintf("/v2/team/a/blobs/sha256:%x", sha256.Sum256([]byte(body)))
	var mu sync.Mutex
	var asked []string
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Method)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		io.WriteString(w, body)
	})
	first, second := httptest.NewServer(answer), httptest.NewServer(answer)
	defer first.Close()
	defer second.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := func(upstream, cache string) string {
		return "upstream: {url: \"" + upstream + "\"}\n" + cache + "listen: {basic: true}\n" +
			"directories: [{name: local, static: [{username: ann, password_file: \"" + secret + "\"}]}]\n" +
			"policy: [{allow: [pull], repositories: [\"**\"], to: [everyone]}]\n"
	}
	const on = "cache: {}\n"
	s, write := newTestServer(t, text(first.URL, ""))
	defer func() { s.current.Load().Release() }()
	pull := func(what string, want ...string) {
		t.Helper()
		asked = nil
		r := httptest.NewRequest("GET", path, nil)
		r.RemoteAddr = "127.0.0.1:1"
		r.SetBasicAuth("ann", "secret")
		w := httptest.NewRecorder()
		s.serveHTTP(w, r)
		if w.Code != 200 || w.Body.String() != body || !slices.Equal(asked, want) {
			t.Errorf("%s: %d %q, having asked %v, want %v", what, w.Code, w.Body, asked, want)
		}
	}
	reload := func(text string) {
		write(text)
		s.reload()
	}
	for range 2 {
		pull("without a cache", "GET")
	}
	reload(text(first.URL, on))
	pull("the first", "GET")
	pull("a hit")
	s.reload()
	pull("after a reload", "HEAD")
	pull("a hit")
	reload(text(second.URL, on))
	pull("at another upstream", "GET")
	reload(text(first.URL, on))
	pull("back at the first", "GET")
	reload(text(first.URL, "cache: {memory: nonsense}\n"))
	pull("after a reload that was refused")
	reload(text(first.URL, "cache: {fresh_for: 0s}\n"))
	for range 2 {
		pull("fresh_for: 0s", "HEAD")
	}
	reload(text(first.URL, "cache: {small: 1B}\n"))
	pull("what is here stays", "HEAD")
	reload(text(first.URL, ""))
	pull("without a cache", "GET")
	reload(text(first.URL, on))
	pull("with a new one", "GET")
}

// TestCacheConfig: each fault of the section has its place and its key.
func TestCacheConfig(t *testing.T) {
	for text, want := range map[string]string{
		"cache: {}":                               "",
		"cache: {memory: 1GiB, small: 0}":         "",
		"cache:":                                  "2:1: cache: is empty",
		"cache: {memory: -1}":                     "2:17: cache.memory: must be a size such as",
		"cache: {memory: 64MB}":                   "2:17: cache.memory: must be a size such as",
		"cache: {memory: 1KiB}":                   "2:9: cache.memory: must be at least 1MiB, not 1KiB",
		"cache: {small: 1GiB}":                    "2:9: cache.small: must be from 0 to 16MiB, not 1GiB",
		"cache: {memory: 1MiB, small: 2MiB}":      "2:23: cache.small: 2MiB is above memory (1MiB)",
		"cache: {memory: 1KiB, small: 2MiB}":      "2:9: cache.memory: must be at least 1MiB, not 1KiB",
		"cache: {memory: 1MiB, small: 1MiB}":      "",
		"cache: {fresh_for: -1s}":                 "2:20: cache.fresh_for: must not be negative",
		"cache: {stale_for: 5}":                   "2:20: cache.stale_for: must be a time with its unit",
		`cache: {dir: ""}`:                        "",
		"cache: {disk: 20GiB}":                    "2:9: cache.disk: needs cache.dir beside it",
		"cache: {free: 20%}":                      "2:9: cache.free: needs cache.dir beside it",
		"cache: {dir: own, disk: -1}":             "2:25: cache.disk: must be a size such as",
		"cache: {dir: own, disk: 1KiB}":           "2:19: cache.disk: must be at least 1MiB, not 1KiB",
		"cache: {dir: own, free: -1%}":            "2:25: cache.free: must be a part of the file system from 0% to 90%",
		"cache: {dir: own, free: 91%}":            "2:25: cache.free: must be a part",
		"cache: {dir: own, free: 10}":             "2:25: cache.free: must be a part",
		"cache: {dir: own, disk: 1GiB, free: 0%}": "",
		"cache: {dir: not/there}":                 "2:9: cache.dir: not/there cannot be made: its folder does not exist",
		"cache: {dir: gatehouse.yaml}":            "2:9: cache.dir: gatehouse.yaml is no folder",
		"cache: {dir: open}":                      "2:9: cache.dir: open can be written by others (mode 0777); chmod go-w it",
		"cache: {dir: open/below}":                "2:9: cache.dir: open/below can be replaced by others",
	} {
		file := filepath.Join(t.TempDir(), "gatehouse.yaml")
		open := filepath.Join(filepath.Dir(file), "open")
		if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(minimal+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var faults []string
		for _, f := range config.Load(file).Faults() {
			faults = append(faults, f.String())
		}
		if got := strings.Join(faults, "\n"); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
