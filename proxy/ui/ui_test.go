package ui

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/route"
	"gatehouse/proxy/ui/browse"
	"gatehouse/tokens"
	"gatehouse/tokens/personal"
)

// people are those of the house's directory; down makes it unable to answer.
type people struct {
	authn.Directory
	mu    sync.Mutex
	down  bool
	gone  string
	asked time.Time
}

// Asked is as of a cache before a directory.
func (p *people) Asked(authn.Identity) time.Time { return p.asked }

func (p *people) set(down bool, gone string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down, p.gone = down, gone
}

func (p *people) fault(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.down:
		return authn.ErrUnavailable
	case p.gone != "" && p.gone == name:
		return authn.ErrUnknownUser
	}
	return nil
}

func (p *people) Find(ctx context.Context, login string) (authn.Identity, error) {
	if err := p.fault(login); err != nil {
		return authn.Identity{}, err
	}
	return p.Directory.Find(ctx, login)
}

func (p *people) Lookup(ctx context.Context, ref authn.Ref) (authn.Identity, error) {
	if err := p.fault(ref.Username); err != nil {
		return authn.Identity{}, err
	}
	return p.Directory.Lookup(ctx, ref)
}

// shelf is a registry in memory that asks the policy first, as the gateway's does.
type shelf struct {
	policy  *authz.Policy
	handler http.Handler
	mu      sync.Mutex
	fault   error
	instead func(w http.ResponseWriter, rt route.Route) bool
	deleted []string
	refused []string // deletions that Ask did not hear of
}

func (s *shelf) set(fault error, instead func(http.ResponseWriter, route.Route) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.instead = fault, instead
}

func (s *shelf) Ask(ctx context.Context, c browse.Caller, asked route.Route, h http.Header) (*browse.Answer, error) {
	rt, err := route.Parse(asked.Method, asked.Target())
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	fault, instead := s.fault, s.instead
	s.mu.Unlock()
	d := s.policy.Decide(c.Identity, authz.Request{Repository: rt.Repository,
		Action: rt.Need.Action, Tags: rt.Tags, Source: c.Source})
	switch {
	case !d.Allowed:
		return nil, &browse.Denied{Rule: d.Rule}
	case fault != nil:
		return nil, fault
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(ctx, rt.Method, rt.Target(), nil)
	r.Header = h
	if instead == nil || !instead(w, rt) {
		s.handler.ServeHTTP(w, r)
	}
	if rt.Kind == route.Catalog {
		text := strings.NewReplacer(`{"repositories":[`, "", `]}`, "",
			`"`, "", ",", "\n").Replace(w.Body.String())
		return &browse.Answer{Status: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(strings.TrimSpace(text)))}, nil
	}
	if rt.Method == http.MethodDelete {
		s.mu.Lock()
		s.deleted = append(s.deleted, rt.Repository+" "+rt.Reference)
		s.mu.Unlock()
	}
	answer := w.Result()
	return &browse.Answer{Status: answer.StatusCode, Header: answer.Header, Body: answer.Body}, nil
}

func (s *shelf) Refused(_ context.Context, _ browse.Caller, rt route.Route, by authz.Decision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = append(s.refused, rt.Repository+" "+rt.Reference+" "+by.Rule)
}

// site is the pages before a shelf, with three people: alice of the team, root who may do
// all and is an admin, and carol who may do nothing.
type site struct {
	t      *testing.T
	ui     *UI
	people *people
	shelf  *shelf
	policy *authz.Policy
	now    time.Time
	key    authn.SecretFile
	memory *Memory
	// revoker ends what "sign out everywhere" ends.
	revoker *tokens.Revoker
	tokens  *personal.Desk
	last    *Call
	jar     map[string]string // cookies of the browser
	origin  listener.Origin
}

var rules = []authz.Rule{
	{Position: "c.yaml:1", Allow: []string{"*"}, Repositories: []string{"**"}, To: []string{"user:root"}},
	{Position: "c.yaml:2", Allow: []string{"pull", "push"}, Repositories: []string{"team/**"},
		To: []string{"group:team"}},
	{Position: "c.yaml:3", Allow: []string{"pull"}, Repositories: []string{"public/**"},
		To: []string{"everyone"}},
	{Position: "c.yaml:4", Allow: []string{"delete"}, Repositories: []string{"team/app"},
		To: []string{"group:team"}},
	{Position: "c.yaml:5", Deny: []string{"delete"}, Repositories: []string{"team/app"},
		Tags: []string{"stable"}, To: []string{"group:team"}},
	{Position: "c.yaml:6", Allow: []string{"delete"}, Repositories: []string{"team/tools/**"},
		To: []string{"group:team"}},
}

func newSite(t *testing.T, change func(*Config)) *site {
	t.Helper()
	static, err := authn.NewStatic(authn.StaticConfig{Name: "local", Users: []authn.StaticUser{
		{Username: "alice", PasswordFile: authn.SecretFile{Secret: "alice-secret"}, Groups: []string{"team"}},
		{Username: "root", PasswordFile: authn.SecretFile{Secret: "root-secret"}, Groups: []string{"admins"}},
		{Username: "carol", PasswordFile: authn.SecretFile{Secret: "carol-secret"}},
		{Username: "mary&ann;id", PasswordFile: authn.SecretFile{Secret: "mary&ann;id-secret"}}}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := tokens.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, people: &people{Directory: static}, now: time.Now(),
		key: key, jar: map[string]string{}, origin: listener.Origin{Scheme: "https",
			Host: "registry.example.com"}}
	if s.policy, err = authz.New(authz.Config{Directories: []string{"local"}, Rules: rules}); s.policy == nil {
		t.Fatal(err)
	}
	s.shelf = &shelf{policy: s.policy, handler: registry.New(registry.Logger(log.New(io.Discard,
		"", 0)), registry.WithReferrersSupport(true))}
	s.reload(change)
	return s
}

// reload makes the pages of another config, with the same memory.
func (s *site) reload(change func(*Config)) {
	s.t.Helper()
	var cfg Config
	cfg.Defaults()
	cfg.Admins = []string{"group:admins"}
	if change != nil {
		change(&cfg)
	}
	if s.revoker == nil {
		s.revoker = tokens.NewRevoker(nil, func() time.Time { return s.now })
	}
	keyring, err := tokens.NewKeyring(tokens.Config{Revoker: s.revoker,
		Issuer: "gatehouse", Service: "gatehouse", Lifetime: time.Minute,
		KeyFiles: []authn.SecretFile{s.key}, Now: func() time.Time { return s.now }})
	admins, adminsErr := authz.NewAudience(cfg.Admins, []string{"local"}, nil)
	if err := errors.Join(err, adminsErr); err != nil {
		s.t.Fatal(err)
	}
	if s.memory == nil {
		s.memory = NewMemory(cfg, nil)
	}
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{s.people},
		Throttle: authn.NewThrottle(authn.ThrottleConfig{Failures: 3,
			Window: time.Minute, UsersPerSource: 50})})
	s.ui = New(Options{Config: cfg, Admins: admins, Version: "1.2.3",
		Keyring: keyring, Chain: chain, Policy: s.policy, Registry: s.shelf,
		Memory:  s.memory,
		Metrics: metrics.New(metrics.BuildInfo{}), Revoker: s.revoker, Tokens: s.tokens, Lasting: tokens.MaxSession, Now: func() time.Time { return s.now }})
}

// faultOf is how the gateway's table tells errors.
func faultOf(err error) *Fault {
	var fault *Fault
	var throttled *authn.ThrottledError
	switch {
	case errors.As(err, &fault):
		return fault
	case errors.As(err, &throttled):
		return Told(http.StatusTooManyRequests, "TOOMANYREQUESTS", throttled.RetryAfter, err)
	case errors.Is(err, authn.ErrInvalidCredentials), errors.Is(err, authn.ErrBadToken), errors.Is(err, authn.ErrUnknownUser):
		return Told(http.StatusUnauthorized, "UNAUTHORIZED", 0, err)
	case errors.Is(err, authn.ErrUnavailable):
		return Told(http.StatusServiceUnavailable, "UNAVAILABLE", 5*time.Second, err)
	}
	return Told(http.StatusBadGateway, "UNAVAILABLE", 0, err)
}

// ask sends a request with the browser's cookies, and takes those of the answer.
func (s *site) ask(r *http.Request) *http.Response {
	s.t.Helper()
	r.RequestURI = cmp.Or(r.RequestURI, r.URL.RequestURI())
	for name, value := range s.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	c := &Call{Client: netip.MustParseAddr("192.0.2.1"), Origin: s.origin,
		Place: "default", RequestID: "REQUEST1"}
	w := httptest.NewRecorder()
	if err := s.ui.Serve(w, r, c); err != nil {
		s.ui.Refuse(w, r, c, faultOf(err))
	}
	s.last = c
	answer := w.Result()
	for _, cookie := range answer.Cookies() {
		s.jar[cookie.Name] = cookie.Value
		if cookie.MaxAge < 0 {
			delete(s.jar, cookie.Name)
		}
	}
	return answer
}

func (s *site) get(target string) *http.Response {
	s.t.Helper()
	return s.ask(httptest.NewRequest("GET", target, nil))
}

// post sends a form as a browser does from one of our pages.
func (s *site) post(target string, pairs ...string) *http.Response {
	s.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	r := httptest.NewRequest("POST", target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", formType)
	r.Header.Set("Origin", s.origin.String())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return s.ask(r)
}

func (s *site) login(name string) {
	s.t.Helper()
	if got := s.post("/ui/login", "login", name, "password", name+"-secret"); got.StatusCode != 303 {
		s.t.Fatalf("the login of %s: %d", name, got.StatusCode)
	}
}

func bodyOf(t *testing.T, r *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// want holds an answer against a status, a Location, and texts; those with a ! in front are
// not to be there.
func want(t *testing.T, what string, r *http.Response, status int, location string, texts ...string) {
	t.Helper()
	body := bodyOf(t, r)
	if r.StatusCode != status || r.Header.Get("Location") != location {
		t.Errorf("%s: %d %q, want %d %q", what, r.StatusCode, r.Header.Get("Location"), status, location)
	}
	for _, text := range texts {
		absent, ok := strings.CutPrefix(text, "!")
		if ok && strings.Contains(body, absent) || !ok && !strings.Contains(body, text) {
			t.Errorf("%s: %q\n%s", what, text, body)
		}
	}
}
