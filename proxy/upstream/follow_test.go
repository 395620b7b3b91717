package upstream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/proxy/route"
)

const followed = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// follow asks a registry for a blob and reads behind its redirects.
func follow(t *testing.T, r *Registry, method string) (*Response, error) {
	t.Helper()
	rt, err := route.Parse(method, "/v2/team/app/blobs/"+followed)
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"X-Forwarded-For": {"192.0.2.1"}, "Accept": {"a/b"}}
	resp, err := r.Do(t.Context(), Request{Route: rt, Header: header.Clone()})
	if err == nil {
		resp, err = r.Follow(t.Context(), rt, header, resp)
	}
	if err == nil {
		t.Cleanup(func() { resp.Body.Close() })
	}
	return resp, err
}

// credentialed is a registry that we are known to by a name and a password.
func credentialed(t *testing.T, at string, hosts ...string) *Registry {
	t.Helper()
	r, err := NewRegistry(Entry{Name: "a", URLs: []string{at}, Config: Config{Username: "us", PasswordFile: authn.SecretFile{Secret: "secret"}, RedirectHosts: hosts, Timeout: time.Second}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

// TestFollow: behind a redirect to a listed host stands what it says, and that host is told
// nothing of us and of who asks.
func TestFollow(t *testing.T) {
	registry, store := newPlace(t), newPlace(t)
	var seen atomic.Pointer[http.Request]
	store.answers(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r)
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Set-Cookie", "a=b")
		_, _ = io.WriteString(w, "content")
	})
	registry.answers(redirect(store.URL + "/bucket/x?signature=1"))
	host := strings.TrimPrefix(store.URL, "http://")
	for _, method := range []string{"GET", "HEAD"} {
		resp, err := follow(t, credentialed(t, registry.URL, host), method)
		if err != nil || resp.Status != 200 || resp.Header.Get("Content-Type") != "text/plain" || resp.Header.Get("Set-Cookie") != "" {
			t.Fatalf("%s: %+v %v", method, resp, err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || method == "GET" && string(body) != "content" {
			t.Errorf("%s: %q %v", method, body, err)
		}
		r := seen.Load()
		if r.Method != method || r.RequestURI != "/bucket/x?signature=1" || r.Host != host {
			t.Errorf("the store was asked %s %s at %s", r.Method, r.RequestURI, r.Host)
		}
		if len(r.Header) != 0 {
			t.Errorf("the store was told %v", r.Header)
		}
	}
}

// TestFollowNot: what may not go to a client is not followed either, and no host beside those
// of the list is asked.
func TestFollowNot(t *testing.T) {
	registry, store, attacker := newPlace(t), newPlace(t), newPlace(t)
	attacker.answers(status(200))
	host := strings.TrimPrefix(store.URL, "http://")
	for name, test := range map[string]struct {
		registry, store http.HandlerFunc
		want            int // requests to the store
	}{
		"a host that is not listed":     {redirect(attacker.URL + "/x"), nil, 0},
		"a redirect of the store":       {redirect(store.URL + "/x"), redirect(attacker.URL + "/x"), 1},
		"one to itself":                 {redirect(store.URL + "/x"), redirect(store.URL + "/x"), 1},
		"a store that asks for a login": {redirect(store.URL + "/x"), status(401), 1},
		"a link that has expired":       {redirect(store.URL + "/x"), status(403), 1},
		"a store that breaks":           {redirect(store.URL + "/x"), hangUp, 1},
		"no store":                      {redirect("http://user@" + host + "/x"), nil, 0},
		"round and round": {func(w http.ResponseWriter, r *http.Request) {
			redirect("/v2/team/app/blobs/"+strings.Replace(followed, "e3", map[bool]string{true: "f3", false: "e3"}[strings.Contains(r.URL.Path, "e3")], 1))(w, r)
		}, nil, 0},
		"something else": {redirect("/v2/team/app/manifests/latest"), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			registry.answers(test.registry)
			if test.store != nil {
				store.answers(test.store)
			}
			before, asked := store.asked.Load(), registry.asked.Load()
			resp, err := follow(t, credentialed(t, registry.URL, host), "GET")
			if failed := new(Error); !errors.As(err, &failed) || strings.Contains(err.Error(), "/x") && !strings.Contains(err.Error(), "redirect_hosts") {
				t.Errorf("%+v %v", resp, err)
			}
			if n := store.asked.Load() - before; n != int64(test.want) && name != "a store that breaks" { // net/http asks once more
				t.Errorf("the store was asked %d times", n)
			}
			if n := registry.asked.Load() - asked; n > mostHops+1 {
				t.Errorf("the registry was asked %d times", n)
			}
			if n := attacker.asked.Load(); n != 0 {
				t.Errorf("a stranger was asked %d times", n)
			}
		})
	}
}

// TestFollowWithin: a redirect within the repository is asked as the first request was.
func TestFollowWithin(t *testing.T) {
	registry := newPlace(t)
	registry.answers(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case user != "us" || password != "secret" || r.Header.Get("X-Forwarded-For") == "" || r.Header.Get("Accept") != "a/b":
			w.WriteHeader(http.StatusBadRequest)
		case strings.HasSuffix(r.URL.Path, followed):
			redirect("/v2/team/app/blobs/"+strings.Replace(followed, "e3", "f3", 1))(w, r)
		}
	})
	if resp, err := follow(t, credentialed(t, registry.URL), "GET"); err != nil || resp.Status != 200 {
		t.Errorf("%+v %v", resp, err)
	}
	registry.answers(status(http.StatusNotModified))
	if resp, err := follow(t, credentialed(t, registry.URL), "GET"); err != nil || resp.Status != http.StatusNotModified {
		t.Errorf("%+v %v", resp, err)
	}
}

// TestStoreSilent: a store that says nothing is waited for no longer than the registry.
func TestStoreSilent(t *testing.T) {
	registry, store := newPlace(t), newPlace(t)
	release := make(chan struct{})
	defer close(release)
	store.answers(func(http.ResponseWriter, *http.Request) { <-release })
	registry.answers(redirect(store.URL))
	if _, err := follow(t, credentialed(t, registry.URL, strings.TrimPrefix(store.URL, "http://")), "GET"); !errors.Is(err, ErrSilent) {
		t.Error(err)
	}
}

// TestStoreCertificate: a store is not shown the certificate that is for the registry.
func TestStoreCertificate(t *testing.T) {
	own := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{{1}}}}}
	if tr := storesOf(own); len(tr.Certificates) != 0 || len(own.Certificates) != 1 {
		t.Errorf("%d certificates", len(tr.Certificates))
	}
}

// TestFollowHops: as many redirects are followed as may be, the last of them too, and a
// registry that has one more is not asked again.
func TestFollowHops(t *testing.T) {
	registry := newPlace(t)
	for hops := range mostHops + 2 {
		var asked atomic.Int32
		registry.answers(func(w http.ResponseWriter, _ *http.Request) {
			if n := int(asked.Add(1)); n <= hops {
				redirect(fmt.Sprintf("/v2/team/app/blobs/%s%d", strings.TrimSuffix(followed, "5"), n))(w, nil)
			}
		})
		resp, err := follow(t, credentialed(t, registry.URL), "GET")
		if good := hops <= mostHops; good != (err == nil) || good && resp.Status != 200 || !good && !errors.Is(err, errHops) {
			t.Errorf("%d redirects: %+v %v", hops, resp, err)
		}
		if n := int(asked.Load()); n != min(hops, mostHops)+1 {
			t.Errorf("%d redirects: asked %d times", hops, n)
		}
	}
}
