package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/proxy/content"
)

// TestCacheLooks: a HEAD by tag is forwarded; while the registry cannot be asked who may not push has
// the answer that a GET would have, and who may has the registry's.
func TestCacheLooks(t *testing.T) {
	faults := map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"500":     func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(500); return true },
		"503":     func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(503); return true },
		"nothing": func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
		"silence": func(http.ResponseWriter, *http.Request) bool { time.Sleep(minute); return true },
		"404":     func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(404); return true },
		"403":     func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(403); return true },
		"429":     func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(429); return true },
	}
	own := map[string]int{"500": 500, "503": 503, "nothing": 502, "silence": 504, "404": 404, "403": 403, "429": 429}
	const tag = "/v2/team/a/manifests/v1"
	for fault, hook := range faults {
		for what, c := range map[string]struct {
			user, path string
			header     map[string]string
			before     time.Duration
			stale      int // 0: the registry's own answer
		}{
			"who may not push":          {"alice", tag, nil, 2 * minute, 200},
			"within fresh_for":          {"alice", tag, nil, time.Second, 200},
			"a condition":               {"alice", tag, map[string]string{"If-None-Match": `"` + theManifest + `"`}, 2 * minute, 304},
			"who may push":              {"root", tag, nil, 2 * minute, 0},
			"past stale_for":            {"alice", tag, nil, 11 * minute, 0},
			"a type they do not take":   {"alice", tag, map[string]string{"Accept": "*/*"}, 2 * minute, 0},
			"a part":                    {"alice", tag, map[string]string{"Range": "bytes=0-1"}, 2 * minute, 0},
			"by time":                   {"alice", tag, map[string]string{"If-Modified-Since": "Mon, 02 Jan 2006 15:04:05 GMT"}, 2 * minute, 0},
			"a tag that was never seen": {"alice", strings.Replace(tag, "v1", "v9", 1), nil, 2 * minute, 0},
			"a blob":                    {"alice", "/v2/team/a/blobs/" + theBlob, nil, 2 * minute, 0},
		} {
			t.Run(fault+", "+what, func(t *testing.T) {
				inCacheHouse(t, content.Config{FreshFor: minute, StaleFor: 10 * minute}, func(t *testing.T, h *cacheHouse) {
					h.pull("alice", tag).expect(t, "before", 200, "")
					h.pull("alice", "/v2/team/a/blobs/"+theBlob).expect(t, "before", 200, "")
					h.registry.hook(nil, hook)
					time.Sleep(c.before)
					h.outcomes()
					h.registry.take()
					a := ask{method: "HEAD", path: c.path, user: c.user, header: map[string]string{"Accept": ociManifest}}
					for k, v := range c.header {
						a.header[k] = v
					}
					want, outcome := own[fault], "pass"
					if c.stale != 0 && want >= 500 {
						want, outcome = c.stale, "stale"
					}
					answer := h.do(h.cached, a)
					answer.expect(t, "away", want, "")
					h.became(outcome)
					if hit := answer.header.Get("Cache-Status") == "gatehouse; hit"; hit != (outcome == "stale") || hit && answer.header.Get("Docker-Content-Digest") != theManifest {
						t.Errorf("%v", answer.header)
					}
					if length := answer.header.Get("Content-Length"); answer.status == 200 && length != fmt.Sprint(len(manifestBody)) {
						t.Errorf("Content-Length %q", length)
					}
					time.Sleep(minute) // what is silent ends
				})
			})
		}
	}
	inCacheHouse(t, content.Config{FreshFor: minute}, func(t *testing.T, h *cacheHouse) {
		h.pull("alice", tag)
		h.registry.hook(nil, faults["503"])
		h.do(h.cached, ask{method: "HEAD", path: tag, user: "alice", header: map[string]string{"Accept": ociManifest}}).expect(t, "stale_for: 0s", 503, "")
	})
}
