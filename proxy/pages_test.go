package proxy

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"gatehouse/authn"
	"gatehouse/metrics"
	"gatehouse/proxy/audit"
	"gatehouse/proxy/route"
	"gatehouse/proxy/ui"
	"gatehouse/proxy/ui/browse"
)

// pagesHouse is a house with pages, and what its records and its audit stream get.
func pagesHouse(t *testing.T, records, events *bytes.Buffer) (*house, *metrics.Metrics) {
	m := metrics.New(metrics.BuildInfo{})
	h := newHouse(t, func(c *Config) {
		var cfg ui.Config
		cfg.Defaults()
		c.UI, c.Metrics = &cfg, m
		if records != nil {
			c.Access = slog.New(slog.NewJSONHandler(records, nil))
		}
		if events != nil {
			c.Audit = slog.New(slog.NewJSONHandler(events, nil))
		}
	})
	h.gateway.Take()
	return h, m
}

// page asks for one without following redirects.
func (h *house) page(method, target, cookie string, form url.Values) *http.Response {
	h.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(h.t.Context(),
		method, h.URL+target, body)
	if err != nil {
		h.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", formType)
		r.Header.Set("Origin", h.URL)
	}
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	answer, err := (&http.Client{CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}).Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { answer.Body.Close() })
	return answer
}

// session logs in, and returns the cookie.
func (h *house) session(name string) string {
	h.t.Helper()
	answer := h.page("POST", "/ui/login", "",
		url.Values{"login": {name},
			"password": {name + "-secret"}})
	if answer.StatusCode != http.StatusSeeOther || len(answer.Cookies()) != 1 {
		h.t.Fatalf("the login of %s: %s", name, answer.Status)
	}
	return "gatehouse=" + answer.Cookies()[0].Value
}

// identity is who a name is.
func (h *house) identity(name string) authn.Identity {
	h.t.Helper()
	id, err := h.gateway.identifier.chain.Find(h.t.Context(), name)
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

// exposition is what Prometheus gets.
func exposition(m *metrics.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET",
		"/metrics", nil))
	return w.Body.String()
}

// TestPagesOff: without the section everything is as it was.
func TestPagesOff(t *testing.T) {
	h := newHouse(t, nil)
	for _, path := range []string{"/", "/ui/", "/ui/login", "/ui"} {
		if got := h.page("GET", path, "", nil); got.StatusCode != http.StatusNotFound || got.Header.Get("Docker-Distribution-Api-Version") == "" {
			t.Errorf("%s: %s", path, got.Status)
		}
	}
}

// TestPagesRecords: what the log, the audit stream and the metrics have of a visit.
func TestPagesRecords(t *testing.T) {
	var records, events bytes.Buffer
	h, m := pagesHouse(t, &records, &events)
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"repositories":["team/app"]}`)
	})
	h.page("POST", "/ui/login", "", url.Values{"login": {"alice"},
		"password": {"wrong"}})
	cookie := h.session("alice")
	if got := h.page("GET", "/ui/?q=secret-word",
		cookie, nil); got.StatusCode != http.StatusOK {
		t.Error(got.Status)
	}
	h.page("POST", "/ui/logout", cookie, url.Values{})
	h.Close()
	log, stream := records.String(), events.String()
	for _, want := range []string{`"route":"ui"`, `"grant":"ui"`,
		`"path":"/ui/"`, `"user":"alice"`, `"status":303`} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in %s", want, log)
		}
	}
	for _, secret := range []string{"secret-word",
		"alice-secret", cookie} {
		if strings.Contains(log+stream, secret) {
			t.Errorf("%s is in the log", secret)
		}
	}
	for _, want := range []string{`"msg":"login","result":"refused"`,
		`"msg":"login","result":"ok"`, `"grant":"ui"`, `"msg":"logout","result":"ok"`} {
		if !strings.Contains(stream, want) {
			t.Errorf("no %s in %s", want, stream)
		}
	}
	text := exposition(m)
	for _, want := range []string{`gatehouse_ui_logins_total{result="ok"} 1`,
		`gatehouse_ui_logins_total{result="refused"} 1`, `gatehouse_http_requests_total{code="200",method="GET",route="ui"} 1`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}

// TestCookiesAndTokensApart: a session opens nothing under /v2/ and /auth, and a token no page.
func TestCookiesAndTokensApart(t *testing.T) {
	h, _ := pagesHouse(t, nil, nil)
	cookie := h.session("root")
	text := strings.TrimPrefix(cookie, "gatehouse=")
	for _, header := range []http.Header{{"Cookie": {cookie}},
		{"Authorization": {"Bearer " + text}}} {
		r, err := http.NewRequestWithContext(t.Context(), "GET",
			h.URL+"/v2/team/app/tags/list", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		got, err := http.DefaultClient.Do(r)
		if err != nil || got.StatusCode != http.StatusUnauthorized {
			t.Errorf("%v: %v %v", header, got, err)
		}
		got.Body.Close()
	}
	access := h.token("root", "repository:team/app:pull")
	if got := h.page("GET", "/ui/r/team/", "gatehouse="+access,
		nil); got.StatusCode != http.StatusSeeOther {
		t.Errorf("an access token as a session: %s", got.Status)
	}
	if asked := h.upstream.take(); len(asked) > 0 {
		t.Errorf("the upstream was asked %d times", len(asked))
	}
}

// TestAsk: the pages' way to the registry asks the policy first, and knows few questions.
func TestAsk(t *testing.T) {
	var events bytes.Buffer
	h, _ := pagesHouse(t, nil, &events)
	g := h.gateway
	reader := &reader{g.upstreams, &g.decider,
		g.forwarder.watcher, &g.records, g.frozen, g.tell}
	alice := h.identity("alice")
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, test := range []struct {
		method, target string
		anonymous      bool
		asked          bool
		rule           string // of a refusal
	}{
		{"GET", "/v2/team/app/tags/list", false, true, ""},
		{"GET",
			"/v2/team/app/tags/list", true, false, "none"}, {"GET",
			"/v2/other/app/manifests/v1", false, false, "none"},
		{"HEAD", "/v2/public/app/manifests/v1", true, true, ""},
		{"GET",
			"/v2/team/app/blobs/" + digest, false, true, ""}, {"GET",
			"/v2/team/app/referrers/" + digest, false, true, ""},
		{"DELETE", "/v2/team/app/manifests/v1", false, false,
			"c.yaml:4"}, {"DELETE", "/v2/team/app/manifests/other",
			false, false, "none"}, {"DELETE", "/v2/team/app/blobs/" + digest,
			false, false, ""},
		{"PUT", "/v2/team/app/manifests/v1", false, false, ""},
		{"POST",
			"/v2/team/app/blobs/uploads/", false, false, ""},
	} {
		rt, err := route.Parse(test.method, test.target)
		if err != nil {
			t.Fatal(err)
		}
		c := browse.Caller{Identity: alice}
		if test.anonymous {
			c = browse.Caller{}
		}
		answer, err := reader.Ask(t.Context(), c, rt, nil)
		if answer != nil {
			answer.Body.Close()
		}
		seen := h.upstream.take()
		denied, refused := err.(*browse.Denied)
		if (err == nil) != test.asked || len(seen) > 0 != test.asked || refused != (test.rule != "") || refused && denied.Rule != strings.TrimPrefix(test.rule, "none") {
			t.Errorf("%s %s: %v, %d requests",
				test.method, test.target, err, len(seen))
		}
	}
	if text := events.String(); strings.Count(text, `"msg":"denied"`) != 2 || strings.Count(text, `"via":"ui"`) != 2 {
		t.Error(text)
	}
}

// TestDeleteByPage: a deletion leaves its record in the audit stream.
func TestDeleteByPage(t *testing.T) {
	var events bytes.Buffer
	h, _ := pagesHouse(t, nil, &events)
	h.upstream.answers(func(w http.ResponseWriter,
		r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
	})
	root := h.identity("root")
	rt, err := route.Parse("DELETE", "/v2/team/app/manifests/v1")
	if err != nil {
		t.Fatal(err)
	}
	g := h.gateway
	answer, err := (&reader{g.upstreams, &g.decider,
		g.forwarder.watcher,
		&g.records, g.frozen, g.tell}).Ask(t.Context(), browse.Caller{Identity: root,
		RequestID: "PAGE1"}, rt, nil)
	if err != nil || answer.Status != http.StatusAccepted {
		t.Fatalf("%+v %v", answer, err)
	}
	for _, want := range []string{`"msg":"` + string(audit.Delete) + `"`,
		`"via":"ui"`, `"user":"root"`, `"request_id":"PAGE1"`,
		`"reference":"v1"`, `"rule":"c.yaml:1"`} {
		if !strings.Contains(events.String(), want) {
			t.Errorf("no %s in %s", want, events.String())
		}
	}
}

// TestRefusedByPage: a page that is refused, and a deletion that the pages refuse themselves,
// leave the record that they would under /v2/.
func TestRefusedByPage(t *testing.T) {
	var events bytes.Buffer
	h, _ := pagesHouse(t, nil, &events)
	cookie := h.session("alice")
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Content-Digest", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
	})
	if got := h.page("GET", "/ui/r/other/app:v1", cookie, nil); got.StatusCode != http.StatusNotFound {
		t.Error(got.Status)
	}
	if got := h.page("POST", "/ui/delete?ref=team/app:v1", cookie, url.Values{"what": {"tag"}, "confirm": {"team/app"}}); got.StatusCode != http.StatusOK {
		t.Error(got.Status)
	}
	h.Close()
	for _, want := range []string{`"actions":"pull","repository":"other/app","reference":"v1"`, `"via":"ui","actions":"delete","repository":"team/app","reference":"v1","rule":"c.yaml:4","reason":"`, `"status":403`} {
		if !strings.Contains(events.String(), want) {
			t.Errorf("no %s in %s", want, events.String())
		}
	}
	if n := strings.Count(events.String(), `"msg":"denied"`); n != 2 {
		t.Errorf("%d refusals in %s", n, events.String())
	}
}

// TestHiddenDeletedByPage: who may not see what they want to delete hears what they would if it
// did not exist, and the audit stream has what they wanted.
func TestHiddenDeletedByPage(t *testing.T) {
	var events bytes.Buffer
	h, m := pagesHouse(t, nil, &events)
	cookie := h.session("alice")
	form := url.Values{"what": {"image"}, "confirm": {"other/app"}}
	for _, target := range []string{"/ui/delete?ref=other/app:v1", "/ui/delete?ref=none/app:v1"} {
		if got := h.page("POST", target, cookie, form); got.StatusCode != http.StatusNotFound {
			t.Errorf("POST %s: %s", target, got.Status)
		}
		if got := h.page("GET", target, cookie, nil); got.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s", target, got.Status)
		}
	}
	h.page("POST", "/ui/delete?ref=team/app:v1", cookie, url.Values{"what": {"tag"}, "confirm": {"team/app"}})
	if asked := h.upstream.take(); len(asked) > 0 {
		t.Errorf("the upstream was asked %d times", len(asked))
	}
	h.Close()
	if n := strings.Count(events.String(), `"actions":"pull","repository":"other/app","reference":"v1","reason":"Not there, or not for you.: NOT_FOUND: no rule of the policy allows it"`); n != 2 {
		t.Errorf("%d refusals in %s", n, events.String())
	}
	if text := exposition(m); !strings.Contains(text, `gatehouse_decisions_total{action="delete",result="denied"} 1`) {
		t.Error("the metric has not the deletion that the pages refused")
	}
	counted := map[string]int64{}
	for _, r := range h.gateway.load.Counts().Rules(h.gateway.decider.policy) {
		counted[r.Position] = r.Denied
	}
	if counted["c.yaml:4"] != 1 {
		t.Errorf("denied: %v", counted)
	}
}

// TestCatalogOfPlace: each name from the upstream that serves it, and no name that cannot be.
func TestCatalogOfPlace(t *testing.T) {
	h, _ := pagesHouse(t, nil, nil)
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"repositories":["team/app","NO/such","b","x\ny"]}`)
	})
	g := h.gateway
	root := h.identity("root")
	rt, err := route.Parse("GET", "/v2/_catalog")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&reader{g.upstreams, &g.decider,
		g.forwarder.watcher,
		&g.records, g.frozen, g.tell}).Ask(t.Context(), browse.Caller{Identity: root}, rt, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || string(text) != "team/app\nb\n" {
		t.Errorf("%q %v", text, err)
	}
}

// TestAskBehindRedirects: pages read what a store of the list has, and change nothing there.
func TestAskBehindRedirects(t *testing.T) {
	asked := 0
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		_, _ = io.WriteString(w, r.Method+" of the store")
	}))
	t.Cleanup(store.Close)
	h := newHouse(t, func(c *Config) { c.Upstream.RedirectHosts = []string{strings.TrimPrefix(store.URL, "http://")} })
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", store.URL+"/x")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	g := h.gateway
	pages := &reader{g.upstreams, &g.decider, g.forwarder.watcher, &g.records, g.frozen, g.tell}
	for target, want := range map[string]string{"GET /v2/team/app/manifests/v1": "GET of the store", "DELETE /v2/team/app/manifests/v1": "", "GET /v2/team/app/tags/list": ""} {
		method, path, _ := strings.Cut(target, " ")
		rt, err := route.Parse(method, path)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := pages.Ask(t.Context(), browse.Caller{Identity: h.identity("root")}, rt, nil)
		if want == "" {
			if err == nil || asked > 1 {
				t.Errorf("%s: %+v, the store was asked %d times", target, answer, asked)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		if body, err := io.ReadAll(answer.Body); err != nil || string(body) != want || answer.Status != http.StatusOK {
			t.Errorf("%s: %d %q %v", target, answer.Status, body, err)
		}
		answer.Body.Close()
	}
}
