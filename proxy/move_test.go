package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// movedBody is a body of an upstream that the kernel would move.
type movedBody struct {
	io.Reader
	moved bool
}

// Move gives all of it.
func (b *movedBody) Move(announce func(int) time.Time, to io.ReaderFrom) (bool, error) {
	b.moved = true
	announce(1)
	_, err := to.ReadFrom(b.Reader)
	return true, err
}

// TestMoved: what the kernel moves is whole and counted, and only HTTP/1.1 in clear text has
// it moved: TLS encrypts, and HTTP/2 has frames.
func TestMoved(t *testing.T) {
	content := bytes.Repeat([]byte("layer"), 100_000)
	for what, want := range map[string]bool{"HTTP/1.1": true, "TLS": false, "HTTP/2": false, "without a length": true} {
		t.Run(what, func(t *testing.T) {
			body, counted := &movedBody{Reader: bytes.NewReader(content)}, int64(0)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				rec := &recorder{ResponseWriter: w, body: &source{}}
				rec.body.watch(r)
				if what != "without a length" {
					w.Header().Set("Content-Length", fmt.Sprint(len(content)))
				}
				rec.WriteHeader(200)
				if err := newBuffers().stream(rec, body, 0); err != nil {
					t.Error(err)
				}
				counted = rec.bytes
			}))
			server.EnableHTTP2 = what == "HTTP/2"
			if what == "TLS" || what == "HTTP/2" {
				server.StartTLS()
			} else {
				server.Start()
			}
			resp, err := server.Client().Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			server.Close()
			if err != nil || !bytes.Equal(got, content) || counted != int64(len(content)) || body.moved != want {
				t.Errorf("%v, %d bytes, counted %d, moved %v", err, len(got), counted, body.moved)
			}
		})
	}
}

// TestLargeAnswer: a large blob comes whole through the gateway, and one that its registry
// cuts is cut, though the kernel moves them.
func TestLargeAnswer(t *testing.T) {
	h := newHouse(t, nil)
	content := bytes.Repeat([]byte("layer"), 500_000)
	for _, sends := range []int{len(content), len(content) / 2} {
		h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			w.Write(content[:sends])
		})
		resp, err := http.DefaultTransport.RoundTrip(h.request("GET", "/v2/team/a/blobs/"+digestA, h.token("alice", "repository:team/a:pull"), nil))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if whole := sends == len(content); whole != (err == nil) || whole != bytes.Equal(got, content) || !bytes.HasPrefix(content, got) {
			t.Errorf("%d of %d sent: %d bytes, %v", sends, len(content), len(got), err)
		}
	}
}
