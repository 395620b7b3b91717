package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/authn"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens"
)

// TestAudit holds each kind of request against the record that it must leave, or
// that it must leave none.
func TestAudit(t *testing.T) {
	var out bytes.Buffer
	change := func(cfg *Config) {
		cfg.Audit = slog.New(slog.NewJSONHandler(&out, nil))
		cfg.Limits.UploadsPerUser, cfg.Listen.Basic, cfg.Upstream.BlobMount = 1, true, upstream.MountAlways
	}
	inBubble(t, change, func(b *bubble) {
		b.answer = func(w http.ResponseWriter, r *http.Request) {
			switch r.Method {
			case "PUT", "POST":
				w.Header().Set("Location", "/v2/a/blobs/uploads/u")
				w.Header().Set("Docker-Content-Digest", digestA)
				status := map[bool]int{true: 201, false: 202}[r.Method == "PUT" || r.URL.Query().Has("digest") || r.URL.Query().Has("from")]
				if tag, ok := strings.CutPrefix(r.URL.Path, "/v2/a/manifests/t"); ok {
					status, _ = strconv.Atoi(tag)
				}
				w.WriteHeader(status)
			case "DELETE":
				w.WriteHeader(202)
			}
		}
		revoked, forged := b.token("bob"), b.token("alice")
		forged = forged[:len(forged)-4] + "AAAA"
		basic := func(user, password string) func(*http.Request) {
			return func(r *http.Request) { r.SetBasicAuth(user, password) }
		}
		bearer := func(token string) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
		}
		alice := bearer(b.token("alice"))
		nothing := func(*http.Request) {}
		full := func(r *http.Request) {
			b.gateway.load.acquire(holding{holder{limit: "uploads_per_user", directory: "local", username: "alice"}, 1}, 1)
			alice(r)
		}
		for _, c := range []struct {
			name, method, path string
			as                 func(*http.Request)
			want               string
		}{
			{"a login", "GET", "/auth?scope=repository:a:pull", basic("alice", "good"), "login ok user=alice directory=local grant=basic token_id status=200"},
			{"a wrong password", "GET", "/auth", basic("alice", "canary"), "login refused user=alice directory=local grant=basic reason status=401"},
			{"an unknown name", "GET", "/auth", basic("canary", "x"), "login refused grant=basic reason status=401"},
			{"an empty password", "GET", "/auth", basic("canary", ""), "login refused grant=basic reason status=401"},
			{"a token for nobody", "GET", "/auth", nothing, ""},
			{"a bad refresh token", "POST", "/auth?canary", func(r *http.Request) {
				formOf(r, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"canary"}})
			}, "login refused grant=refresh reason status=401"},
			{"no token", "GET", "/v2/a/manifests/v1", nothing, ""},
			{"a forged token", "GET", "/v2/a/manifests/v1", bearer(forged), "token refused actions=pull repository=a reference=v1 reason status=401"},
			{"a pull", "GET", "/v2/a/manifests/v1", alice, ""},
			{"the base", "GET", "/v2/", alice, ""},
			{"junk", "GET", "/v2/a/../b", alice, ""},
			{"a push", "PUT", "/v2/a/manifests/v1", alice, "push ok user=alice directory=local token_id actions=push repository=a reference=v1 digest=" + digestA + " rule=c.yaml:1 status=201"},
			{"the end of an upload", "PUT", "/v2/a/blobs/uploads/u?digest=" + digestA, alice, "push ok user=alice directory=local token_id actions=push repository=a digest=" + digestA + " rule=c.yaml:1 status=201"},
			// Row A10: other registries' statuses, tags by the query, and where a mount is from.
			{"a push that is 200", "PUT", "/v2/a/manifests/t200", alice, "push ok user=alice directory=local token_id actions=push repository=a reference=t200 digest=" + digestA + " rule=c.yaml:1 status=200"},
			{"a push that is 202", "PUT", "/v2/a/manifests/t202", alice, "push ok user=alice directory=local token_id actions=push repository=a reference=t202 digest=" + digestA + " rule=c.yaml:1 status=202"},
			{"a push that is refused", "PUT", "/v2/a/manifests/t400", alice, ""},
			{"a push by digest with tags", "PUT", "/v2/a/manifests/" + digestA + "?tag=v1&tag=latest", alice, "push ok user=alice directory=local token_id actions=push repository=a reference=" + digestA + " tags=[v1 latest] digest=" + digestA + " rule=c.yaml:1 status=201"},
			{"a mount", "POST", "/v2/a/blobs/uploads/?mount=" + digestA + "&from=b", basic("alice", "good"), "push ok user=alice directory=local actions=push repository=a from=b digest=" + digestA + " rule=c.yaml:1 status=201"},
			{"the start of an upload", "POST", "/v2/a/blobs/uploads/", alice, ""},
			{"an upload in one", "POST", "/v2/a/blobs/uploads/?digest=" + digestA, alice, "push ok user=alice directory=local token_id actions=push repository=a digest=" + digestA + " rule=c.yaml:1 status=201"},
			{"an upload given up", "DELETE", "/v2/a/blobs/uploads/u", alice, ""},
			{"a delete without the scope", "DELETE", "/v2/a/manifests/v1", alice, ""},
			{"a delete", "DELETE", "/v2/a/manifests/v1", basic("alice", "good"), "delete ok user=alice directory=local actions=delete repository=a reference=v1 rule=c.yaml:1 status=202"},
			{"a denial", "DELETE", "/v2/locked/manifests/v1", alice, "denied refused user=alice directory=local token_id actions=delete repository=locked reference=v1 rule=c.yaml:2 reason status=403"},
			{"a pull with a password", "GET", "/v2/a/manifests/v1", basic("alice", "good"), "login ok user=alice directory=local actions=pull repository=a reference=v1 rule=c.yaml:1 status=200"},
			{"a pull with a wrong password", "GET", "/v2/a/manifests/v1", basic("alice", "canary"), "login refused user=alice directory=local actions=pull repository=a reference=v1 reason status=401"},
			{"too much at once", "POST", "/v2/a/blobs/uploads/", full, "throttle refused user=alice directory=local token_id actions=push repository=a rule=c.yaml:1 limit=uploads_per_user reason status=429"},
			{"a revoked token", "GET", "/v2/a/manifests/v1", bearer(revoked), "token refused user=bob directory=local token_id actions=pull repository=a reference=v1 reason status=401"},
			{"a revoked person's password", "GET", "/v2/a/manifests/v1", basic("bob", "good"), "login refused user=bob directory=local actions=pull repository=a reference=v1 reason status=401"},
		} {
			out.Reset()
			if c.name == "a revoked token" {
				b.revoke("bob")
			}
			r := httptest.NewRequest(c.method, "http://h"+c.path, nil)
			r.RemoteAddr = client
			c.as(r)
			b.gateway.ServeHTTP(httptest.NewRecorder(), r)
			if got := recorded(t, out.String()); got != c.want {
				t.Errorf("%s: %s", c.name, cmp.Diff(c.want, got))
			}
			if strings.Contains(out.String(), "canary") {
				t.Errorf("%s: a stranger's text: %s", c.name, out.String())
			}
		}
		b.gateway.load.give(holding{holder{limit: "uploads_per_user", directory: "local", username: "alice"}, 1})
	})
}

// TestAuditOfUnseenChanges: what the registry may have stored or deleted is recorded
// though its answer never reached the client, who may have left early to be in no
// record; what cannot have reached the registry whole is not.
func TestAuditOfUnseenChanges(t *testing.T) {
	var out bytes.Buffer
	h := newHouse(t, func(c *Config) {
		c.Audit, c.Upstream.Timeout = slog.New(slog.NewJSONHandler(&out, nil)), 50*time.Millisecond
	})
	token := h.token("root", "repository:a:pull,push,delete")
	var leave context.CancelFunc
	gone := func(_ http.ResponseWriter, r *http.Request) { leave(); <-r.Context().Done() }
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	elsewhere := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://evil.example/?canary")
		w.WriteHeader(http.StatusCreated)
	}
	push, session := "push unknown status=499", "/v2/a/blobs/uploads/u?digest="+digestA
	for _, c := range []struct {
		name, method, path string
		body               io.Reader
		answer             http.HandlerFunc
		want               string
	}{
		{"the client leaves a manifest", "PUT", "/v2/a/manifests/v1", strings.NewReader("{}"), gone, push},
		{"the client leaves a blob", "PUT", session, strings.NewReader("x"), gone, push},
		{"the client leaves a blob in one", "POST", "/v2/a/blobs/uploads/?digest=" + digestA, strings.NewReader("x"), gone, push},
		{"the client leaves a mount", "POST", "/v2/a/blobs/uploads/?from=b&mount=" + digestA, nil, gone, push},
		{"the client leaves a delete", "DELETE", "/v2/a/manifests/v1", nil, gone, "delete unknown status=499"},
		{"a silent registry", "DELETE", "/v2/a/manifests/v1", nil, silent, "delete unknown status=504"},
		{"an answer that may not pass", "PUT", "/v2/a/manifests/v1", strings.NewReader("{}"), elsewhere, "push ok status=502"},
		{"the client leaves the start of an upload", "POST", "/v2/a/blobs/uploads/", nil, gone, ""},
		{"the client leaves a part", "PATCH", "/v2/a/blobs/uploads/u", strings.NewReader("x"), gone, ""},
		{"the client leaves a pull", "GET", "/v2/a/manifests/v1", nil, gone, ""},
		{"a broken blob", "PUT", session, io.MultiReader(strings.NewReader("x"), iotest.ErrReader(io.ErrUnexpectedEOF)), silent, ""},
		{"nothing there", "DELETE", "/v2/a/manifests/v1", nil, nil, ""},
	} {
		out.Reset()
		h.upstream.answers(c.answer)
		if c.answer == nil {
			h.upstream.Close()
		}
		r := httptest.NewRequest(c.method, h.URL+c.path, c.body)
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("Authorization", "Bearer "+token)
		var ctx context.Context
		ctx, leave = context.WithCancel(t.Context())
		h.gateway.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
		leave()
		var got struct {
			Msg, Result string
			Status      int
		}
		text := ""
		if out.Len() > 0 {
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			text = fmt.Sprintf("%s %s status=%d", got.Msg, got.Result, got.Status)
		}
		if text != c.want || strings.Contains(out.String(), "canary") {
			t.Errorf("%s: %s, want %q", c.name, out.String(), c.want)
		}
	}
}

func formOf(r *http.Request, values url.Values) {
	*r = *httptest.NewRequest("POST", "http://h/auth", strings.NewReader(values.Encode()))
	r.RemoteAddr = client
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
}

// revoke ends a person's tokens, as a reload would.
func (b *bubble) revoke(user string) {
	k, err := tokens.NewKeyring(tokens.Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: time.Hour, KeyFiles: []authn.SecretFile{b.key}, Revoked: []tokens.Revocation{{User: user}}})
	if err != nil {
		b.Fatal(err)
	}
	b.gateway.identifier.keyring = k
}

// recorded is a record as the table writes it: what differs from run to run is
// there by its name alone.
func recorded(t *testing.T, line string) string {
	t.Helper()
	if line == "" {
		return ""
	}
	var r map[string]any
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if r["request_id"] == nil || r["client_ip"] != "203.0.113.7" {
		t.Errorf("%s", line)
	}
	text := fmt.Sprint(r["msg"], " ", r["result"])
	for _, key := range []string{"user", "directory", "grant", "token_id", "refresh_token_id", "actions", "repository", "reference", "tags", "from", "digest", "rule", "limit", "reason", "status"} {
		switch v := r[key]; {
		case v == nil:
		case key == "token_id" || key == "reason":
			text += " " + key
		default:
			text += fmt.Sprint(" ", key, "=", v)
		}
	}
	return text
}
