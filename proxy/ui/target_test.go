package ui

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// TestParse: each route, and what is held to the grammar of /v2/ before anything is looked up.
func TestParse(t *testing.T) {
	for _, test := range []struct {
		method, target string
		status         int // 0: it has a route
		place          place
	}{
		{"GET", "/", 0, atRoot},
		{"GET", "/ui", 0, atRoot},
		{"GET", "/ui/", 0, atHome},
		{"HEAD", "/ui/?q=a&rights=push&page=2&other=1", 0, atHome},
		{"GET", "/ui/?rights=&q=", 0, atHome},
		{"GET", "/ui/r/a/b/", 0, atFolder},
		{"GET", "/ui/r/a/b?sort=built&order=asc&show=all", 0, atRepository},
		{"GET", "/ui/r/a:v1?platform=linux/arm64/v8&raw=config", 0, atImage},
		{"GET", "/ui/r/a@" + digest, 0, atImage},
		{"GET", "/ui/r/a/b@" + strings.Replace(digest, ":", "%3A", 1), 0, atImage},
		{"GET", "/ui/r/a@" + strings.Replace(digest, ":", "%3a", 1) + "?raw=config", 0, atImage},
		{"GET", "/ui/r/a%3Av1", 400, ""},
		{"GET", "/ui/delete?ref=a:1&ref=b:2", 0, atDelete},
		{"POST", "/ui/login", 0, atLogin},
		{"POST", "/ui/logout", 0, atLogout},
		{"POST", "/ui/theme", 0, atTheme},
		{"GET", "/ui/static/x", 0, atStatic},
		{"POST", "/ui/", 405, ""},
		{"GET", "/ui/logout", 405, ""},
		{"PUT", "/ui/login", 405, ""},
		{"DELETE", "/ui/r/a", 405, ""},
		{"GET", "/ui/theme", 405, ""},
		{"GET", "/ui/nothing", 404, ""},
		{"GET", "/ui/r/", 400, ""},
		{"GET", "/ui/r/A", 400, ""},
		{"GET", "/ui/r/a//b", 400, ""},
		{"GET", "/ui/r/../x", 400, ""},
		{"GET", "/ui/r/a%2Fb", 400, ""},
		{"GET", "/ui/r/a:", 404, ""},
		{"GET", "/ui/r/a:-x", 404, ""},
		{"GET", "/ui/r/a@sha256:1", 404, ""},
		{"GET", "/ui/r/a:b/c", 404, ""},
		{"GET", "/ui/r/a#b", 400, ""},
		{"GET", "/ui/\\", 400, ""},
		{"GET", "/ui/?q=1&q=2", 400, ""},
		{"GET", "/ui/?q=" + strings.Repeat("a", 256), 0, atHome},
		{"GET", "/ui/?q=" + strings.Repeat("a", 257), 400, ""},
		{"GET", "/ui/?q=%ff", 400, ""},
		{"GET", "/ui/?q=%zz", 400, ""},
		{"GET", "/ui/?page=0", 400, ""},
		{"GET", "/ui/?page=x", 400, ""},
		{"GET", "/ui/?rights=pull", 400, ""},
		{"GET", "/ui/r/a?sort=size", 400, ""},
		{"GET", "/ui/delete?" + strings.Repeat("ref=a:1&", 101), 400, ""},
		{"GET", "/ui/?x=1&x=2", 0, atHome},
	} {
		got, err := parse(test.method, test.target)
		var fault *Fault
		if errors.As(err, &fault) != (test.status != 0) || fault != nil && fault.Status != test.status || fault == nil && got.place != test.place {
			t.Errorf("%s %s: %q %v", test.method, test.target, got.place, err)
		}
		if fault != nil && fault.Status == 405 && len(fault.Allow) == 0 {
			t.Errorf("%s %s: 405 without Allow", test.method, test.target)
		}
	}
}

// TestNext: only what is one of our own pages, its path byte for byte as we write it, with any
// query that it takes (I10).
func TestNext(t *testing.T) {
	for _, good := range []string{
		"/",
		"/ui/",
		"/ui/?q=a",
		"/ui/r/a/b/",
		"/ui/r/a:v1?platform=linux%2Famd64",
		"/ui/help",
		"/ui/me?action=pull&ref=a%3A1",
		"/ui/delete?ref=a%3A1&ref=b%3A2",
		"/ui/delete?ref=b:2&ref=a:1",
		"/ui/r/a/b?sort=name&order=asc",
		"/ui/r/a/b?show=all&page=2&q=1.2",
		"/ui/r/a:v1?raw=manifest&platform=linux/arm64/v8",
		"/ui/?x=1",
		"/ui/?q=a%20b",
		"/ui/?q=a+b&rights=",
		"/ui/?page=1&q=",
		"/ui/?",
		"/ui/?q=//e&q2=https://e/?x",
		"/ui/admin/explain?user=-&ip=::1&ref=a&action=pull",
	} {
		if to, ok := nextOf(good); !ok || to != good {
			t.Errorf("%s leads to %q", good, to)
		}
	}
	for _, bad := range []string{
		"",
		"//e",
		`/\e`,
		"https:e",
		"https://e/ui/",
		"%2f%2fe",
		"/%2f/e",
		"/ui/static/x",
		"/ui/login",
		"/ui/logout",
		"/v2/",
		"/auth",
		"/ui/../v2/",
		"ui/",
		"/ui/?q=a&q=b",
		"/ui/?q=a b",
		"/ui/?q=a\r\nLocation:+//e",
		"/ui/?q=a%zz",
		"/ui/?q=\u00e4",
		`/ui/?q=\`,
		"/ui/?page=0",
		"/ui/r/a?sort=size",
		"/ui?next=//e",
		"/?\t",
		"//e?/ui/",
		"/ui/help/../?q=a",
		"/ui/?q=a#x",
		"/ui/login?next=/ui/",
		"/ui/\n",
		"/ui/#x",
		"http://registry.example.com/ui/",
		" /ui/",
		"/ui",
		"/ui/r/a@" + strings.Replace(digest,
			":",
			"%3A", 1),
		"/ui/help?" + strings.Repeat("a", 5000),
	} {
		if got, ok := nextOf(bad); ok {
			t.Errorf("%q leads to %q", bad, got)
		}
	}
}

// TestErrors: pages of errors have the request id, and what one may do.
func TestErrors(t *testing.T) {
	s := newSite(t, nil)
	s.login("alice")
	want(t, "nowhere", s.get("/ui/nothing"), 404, "", absent, `data-page="error"`,
		`data-error="NOT_FOUND"`, `data-request-id="REQUEST1"`)
	got := s.ask(httptest.NewRequest("DELETE", "/ui/help", nil))
	if want(t, "a method", got, 405, "", `data-error="UNSUPPORTED"`); got.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow %q", got.Header.Get("Allow"))
	}
	want(t, "a name", s.get("/ui/r/UPPER"), 400, "", `data-error="NAME_INVALID"`)
	want(t, "a folder that is not there", s.get("/ui/r/none/"), 404, "", absent)
	s.shelf.set(errors.New("down"), nil)
	s.memory = nil
	s.reload(nil)
	want(t, "the registry is down", s.get("/ui/"), 502, "", `data-error="UNAVAILABLE"`, "REQUEST1")
	head := s.ask(httptest.NewRequest("HEAD", "/ui/help", nil))
	if body := bodyOf(t, head); head.StatusCode != http.StatusOK || body != "" || head.Header.Get("Content-Length") == "0" {
		t.Errorf("HEAD: %d %q", head.StatusCode, body)
	}
}
