package proxy

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/proxy/freeze"
)

// TestFrozen: what changes a repository is refused with the reason, but for the sessions
// that have begun, and for whoever may not do it anyway; all else goes on.
func TestFrozen(t *testing.T) {
	h := newHouse(t, nil)
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) })
	order := &freeze.Order{Reason: "collecting garbage", Repositories: []string{"team/**"}}
	if err := order.Check(time.Now()); err != nil {
		t.Fatal(err)
	}
	h.gateway.load.Freeze().Set(order)
	root, alice := h.token("root", "repository:team/a:pull,push,delete", "repository:free/a:pull,push,delete"), h.token("alice", "repository:team/a:pull,push")
	session := "/v2/team/a/blobs/uploads/7a1c?_state=x"
	for _, c := range []struct {
		method, path, token string
		status              int
	}{
		{"PUT", "/v2/team/a/manifests/x", root, 503}, {"PUT", "/v2/team/a/manifests/" + sha("{}"), root, 503}, {"PUT", "/v2/team/a/manifests/x", alice, 503},
		{"POST", "/v2/team/a/blobs/uploads/", root, 503}, {"POST", "/v2/team/a/blobs/uploads/?mount=" + sha("x") + "&from=free/a", root, 503}, {"POST", "/v2/team/a/blobs/uploads/?digest=" + sha("{}"), root, 503},
		{"DELETE", "/v2/team/a/manifests/" + sha("x"), root, 503}, {"DELETE", "/v2/team/a/manifests/x", root, 503}, {"DELETE", "/v2/team/a/blobs/" + sha("x"), root, 503},
		{"PATCH", session, root, 202}, {"PUT", session + "&digest=" + sha("{}"), root, 202}, {"DELETE", session, root, 202}, {"GET", session, root, 202},
		{"GET", "/v2/team/a/manifests/x", root, 202}, {"HEAD", "/v2/team/a/blobs/" + sha("x"), root, 202}, {"GET", "/v2/team/a/tags/list", alice, 202},
		{"PUT", "/v2/free/a/manifests/x", root, 202}, {"DELETE", "/v2/free/a/manifests/x", root, 202}, {"POST", "/v2/free/a/blobs/uploads/?mount=" + sha("x") + "&from=team/a", root, 202},
		{"PUT", "/v2/team/a/manifests/v1", alice, 403}, {"PUT", "/v2/team/a/manifests/x", "", 401}, {"GET", "/v2/", alice, 200},
	} {
		h.upstream.take()
		body := ""
		if c.method == "PUT" || c.method == "PATCH" {
			body = "{}"
		}
		resp, text := h.do(h.request(c.method, c.path, c.token, strings.NewReader(body)))
		if resp.StatusCode != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, resp.StatusCode, text, c.status)
		}
		if sent := h.upstream.take(); c.status == 503 && (len(sent) > 0 || resp.Header.Get("Retry-After") != "60" ||
			!strings.Contains(text, `"code":"UNAVAILABLE"`) || !strings.Contains(text, "pushes and deletes are stopped here for now: collecting garbage")) {
			t.Errorf("%s %s: %v %s, and the upstream got %v", c.method, c.path, resp.Header, text, sent)
		}
	}
	h.gateway.load.Freeze().Set(nil)
	h.expect(h.request("PUT", "/v2/team/a/manifests/x", root, strings.NewReader("{}")), 202, "")
}

// TestFrozenUntil: a client is told when it may come back.
func TestFrozenUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(90 * time.Second)
		g := &Gateway{load: NewLoad()}
		g.load.freeze.Set(&freeze.Order{Reason: "x", Until: &end})
		x := &exchange{}
		x.route.Need.Action = "push"
		for _, want := range []time.Duration{90 * time.Second, time.Second} {
			if err, _ := g.frozen(x).(*apiError); err == nil || err.retry != want {
				t.Errorf("%+v, want %s", err, want)
			}
			time.Sleep(89*time.Second + time.Second/2)
		}
		time.Sleep(time.Second)
		if err := g.frozen(x); err != nil {
			t.Errorf("it does not end: %v", err)
		}
	})
}

// TestFrozenQuiet: whoever freezes can wait for the manifests that were let through before,
// and for nothing else.
func TestFrozenQuiet(t *testing.T) {
	h := newHouse(t, nil)
	begun, goOn := make(chan string), make(chan struct{})
	h.upstream.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- r.Method
		<-goOn
		w.WriteHeader(http.StatusCreated)
	})
	root := h.token("root", "repository:team/a:pull,push,delete")
	state := h.gateway.load.Freeze()
	var all sync.WaitGroup
	send := func(method, path string, status int) {
		all.Go(func() {
			body := map[string]string{"PUT": "{}"}[method]
			if resp, text := h.do(h.request(method, path, root, strings.NewReader(body))); resp.StatusCode != status {
				t.Errorf("%s: %d %s", method, resp.StatusCode, text)
			}
		})
		<-begun
	}
	send("GET", "/v2/team/a/manifests/x", http.StatusCreated)
	send("POST", "/v2/team/a/blobs/uploads/", http.StatusCreated)
	if !state.Quiet(t.Context()) {
		t.Error("a pull and an upload are waited for")
	}
	send("PUT", "/v2/team/a/manifests/x", http.StatusCreated)
	state.Set(&freeze.Order{Reason: "x"})
	quiet := make(chan bool)
	go func() { quiet <- state.Quiet(t.Context()) }()
	select {
	case <-quiet:
		t.Error("the push that runs is not waited for")
	case <-time.After(20 * time.Millisecond):
	}
	h.expect(h.request("PUT", "/v2/team/a/manifests/y", root, strings.NewReader("{}")), 503, "UNAVAILABLE")
	close(goOn)
	if !<-quiet {
		t.Error("its end is not seen")
	}
	all.Wait()
	state.Begin()
	gone, cancel := context.WithCancel(t.Context())
	if cancel(); state.Quiet(gone) {
		t.Error("quiet while one runs")
	}
}

// TestRuleCounts: requests are counted for the rule that decided them, those of a token
// that is too narrow and those that no rule decided are not.
func TestRuleCounts(t *testing.T) {
	h := newHouse(t, nil)
	h.gateway.Take()
	root, alice := h.token("root", "repository:team/a:pull,push"), h.token("alice", "repository:team/a:pull,push")
	for _, c := range []struct{ method, path, token string }{
		{"GET", "/v2/team/a/manifests/x", root}, {"PUT", "/v2/team/a/manifests/v1", root}, {"GET", "/v2/team/b/manifests/x", root},
		{"GET", "/v2/team/a/manifests/x", alice}, {"PUT", "/v2/team/a/manifests/v1", alice}, {"PUT", "/v2/team/a/manifests/v2", alice}, {"GET", "/v2/elsewhere/manifests/x", alice},
		{"GET", "/v2/public/a/manifests/x", h.token("", "repository:public/a:pull")}, {"GET", "/v2/", root},
	} {
		body := strings.NewReader("{}")
		if c.method == "GET" {
			body = strings.NewReader("")
		}
		h.do(h.request(c.method, c.path, c.token, body))
	}
	want := map[string][2]int64{"c.yaml:1": {2, 0}, "c.yaml:2": {1, 0}, "c.yaml:3": {1, 0}, "c.yaml:4": {0, 2}}
	for _, r := range h.gateway.Rules() {
		if got := [2]int64{r.Allowed, r.Denied}; got != want[r.Position] || r.Last == nil || r.Since.IsZero() {
			t.Errorf("%+v, want %v", r, want[r.Position])
		}
	}
}
