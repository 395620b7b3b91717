package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"gatehouse/proxy/upstream"
)

// TestMountAuto (row H2): a mount goes on where HEAD shows the blob in its source; any
// other is a plain upload start, and the record says why.
func TestMountAuto(t *testing.T) {
	var log bytes.Buffer
	const plain, mounted = "POST /v2/team/app/blobs/uploads/", "POST /v2/team/app/blobs/uploads/?mount=D&from=team/lib"
	const head = "HEAD /v2/team/lib/blobs/D, "
	both := []string{"repository:team/app:pull,push", "repository:team/lib:pull"}
	for _, c := range []struct {
		name   string
		mount  upstream.BlobMount
		scopes []string
		query  string
		answer int // to HEAD; 0: the connection ends
		seen   string
		note   string // of the record
	}{
		{"there", upstream.MountAuto, both, "?mount=D&from=team/lib", 200, head + mounted, ""},
		{"no value is auto", "", both, "?mount=D&from=team/lib", 200, head + mounted, ""},
		{"in the other order, with a hint", upstream.MountAuto, both, "?from=team/lib&origin=x&mount=D", 200, head + mounted, ""},
		{"missing", upstream.MountAuto, both, "?mount=D&from=team/lib", 404, head + plain, "mount not passed on: the upstream answers 404 to HEAD of the blob in team/lib"},
		{"redirected away", upstream.MountAuto, both, "?mount=D&from=team/lib", 307, head + plain, "answers 307 to HEAD"},
		{"redirected to a listed host", upstream.MountAuto, both, "?mount=D&from=team/lib", 302, head + plain, "answers 302 to HEAD"},
		{"no content", upstream.MountAuto, both, "?mount=D&from=team/lib", 204, head + plain, "answers 204 to HEAD"},
		{"no HEAD there", upstream.MountAuto, both, "?mount=D&from=team/lib", 405, head + plain, "answers 405 to HEAD"},
		{"a login", upstream.MountAuto, both, "?mount=D&from=team/lib", 401, head + plain, "answers 401 to HEAD"},
		{"forbidden", upstream.MountAuto, both, "?mount=D&from=team/lib", 403, head + plain, "answers 403 to HEAD"},
		{"at fault", upstream.MountAuto, both, "?mount=D&from=team/lib", 500, head + plain, "answers 500 to HEAD"},
		{"silent", upstream.MountAuto, both, "?mount=D&from=team/lib", 0, head + plain, "the upstream cannot be reached"},
		{"no source", upstream.MountAuto, both, "?mount=D", 200, plain, "it names no source"},
		{"a source beyond the token", upstream.MountAuto, both[:1], "?mount=D&from=team/lib", 200, plain, "the token does not carry pull of team/lib"},
		{"a source beyond the policy", upstream.MountAuto, append(both, "repository:secret/x:pull"), "?mount=D&from=secret/x", 200, plain, "mount not passed on: the token does not carry pull of secret/x"},
		{"without asking", upstream.MountAlways, both, "?mount=D&from=team/lib", 404, mounted, ""},
		{"without asking, no source", upstream.MountAlways, both, "?mount=D", 404, plain, "it names no source"},
		{"never", upstream.MountNever, both, "?mount=D&from=team/lib", 200, plain, "upstream.blob_mount is false"},
		{"no mount", upstream.MountAuto, both, "", 200, plain, ""},
		{"brings its bytes", upstream.MountAuto, both, "?mount=D&from=team/lib&digest=D", 200, plain + "?digest=D", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			log.Reset()
			h := newHouse(t, func(cfg *Config) {
				cfg.Upstream.BlobMount, cfg.Access = c.mount, slog.New(slog.NewJSONHandler(&log, nil))
				cfg.Upstream.RedirectHosts = []string{"store.example"}
			})
			h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method != http.MethodHead:
					w.Header().Set("Location", "/v2/team/app/blobs/uploads/u")
					w.WriteHeader(http.StatusAccepted)
					return
				case c.answer == 0:
					panic(http.ErrAbortHandler)
				case c.answer == 307:
					w.Header().Set("Location", "https://evil.example/x?sig=canary")
				case c.answer == 302:
					w.Header().Set("Location", "https://store.example/x?sig=canary")
				}
				w.WriteHeader(c.answer)
			})
			token := h.token("alice", c.scopes...)
			log.Reset()
			var body io.Reader
			if strings.Contains(c.query, "digest=") {
				body = strings.NewReader("x")
			}
			h.expect(h.request("POST", "/v2/team/app/blobs/uploads/"+strings.ReplaceAll(c.query, "D", digestA), token, body), 202, "")
			var seen []string
			for _, r := range h.upstream.take() {
				seen = append(seen, r.Method+" "+strings.ReplaceAll(r.URL.RequestURI(), digestA, "D"))
			}
			got := strings.ReplaceAll(strings.Join(seen, ", "), "%2F", "/")
			if got != c.seen {
				t.Errorf("the upstream saw %q, want %q", got, c.seen)
			}
			var record struct{ Note string }
			if err := json.Unmarshal(log.Bytes(), &record); err != nil || !strings.Contains(record.Note, c.note) || c.note == "" && record.Note != "" || strings.Contains(log.String(), "canary") {
				t.Errorf("the record says %q, want %q: %v", record.Note, c.note, err)
			}
		})
	}
}
