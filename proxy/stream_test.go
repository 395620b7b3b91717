package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// deadlines is a connection's read deadline, for a requestBody.
type deadlines struct {
	http.ResponseWriter
	at time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error { d.at = t; return nil }

// drip gives n bytes each interval, or a time-out where the deadline comes first.
type drip struct {
	*deadlines
	n        int
	interval time.Duration
}

func (d drip) Close() error { return nil }

func (d drip) Read(p []byte) (int, error) {
	if next := time.Now().Add(d.interval); next.After(d.at) {
		time.Sleep(time.Until(d.at))
		return 0, &net.OpError{Op: "read", Err: context.DeadlineExceeded}
	}
	time.Sleep(d.interval)
	return min(d.n, len(p)), nil
}

// TestProgress: a byte a second is cut within two windows, 2 KiB a second never is.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadlines{ResponseWriter: httptest.NewRecorder()}
		b := newRequestBody(d, drip{d, 1, time.Second})
		start := time.Now()
		_, err := io.Copy(io.Discard, b)
		if took := time.Since(start); err == nil || took > 2*progressWindow {
			t.Errorf("a byte a second: %v after %s", err, took)
		}
		b = newRequestBody(d, drip{d, 2 << 10, time.Second})
		if n, err := io.CopyN(io.Discard, b, 2<<20); err != nil {
			t.Errorf("2 KiB a second: cut after %d bytes: %v", n, err)
		}
		b.finish()
		if left := time.Until(d.at); left != abandonLimit {
			t.Errorf("the rest of a body is waited for for %s", left)
		}
		b = newRequestBody(d, io.NopCloser(strings.NewReader("x")))
		io.Copy(io.Discard, b)
		if b.finish(); !d.at.IsZero() {
			t.Error("the deadline stayed on the connection")
		}
	})
}

// TestSlowUpload runs the real thing once: the body arrives whole, and bytes are counted.
func TestSlowUpload(t *testing.T) {
	h := newHouse(t, nil)
	token := h.token("alice", "repository:team/app:pull,push")
	body := strings.Repeat("x", 300<<10)
	h.expect(h.request("PATCH", "/v2/team/app/blobs/uploads/u", token, io.MultiReader(strings.NewReader(body[:7]), strings.NewReader(body[7:]))), 200, "")
	if got := h.upstream.bodies; len(got) != 1 || got[0] != body {
		t.Errorf("%d bodies reached the upstream", len(got))
	}
}

// TestRefusedBody: a client that sends its whole body before it reads gets the
// refusal and no reset, and one that never sends its body gets it too.
func TestRefusedBody(t *testing.T) {
	h := newHouse(t, nil)
	head := "PUT /v2/team/app/manifests/dev HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n"
	whole := strings.Repeat("x", 8<<20)
	for _, c := range []struct{ name, request, want string }{
		{"manifest too large", head + "Authorization: Bearer " + h.token("alice", "repository:team/app:push") + "\r\n\r\n" + whole, "413"},
		{"no token", head + "\r\n" + whole, "401"},
		{"no token and no body", "PUT /v2/team/app/manifests/dev HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", "401"},
		{"a form that does not come", "POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", "415"},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(h.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, c.request); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if body, err := io.ReadAll(resp.Body); err != nil || !strings.HasPrefix(resp.Status, c.want) || !resp.Close {
			t.Errorf("%s: %s %s %v, want %s and a close", c.name, resp.Status, body, err, c.want)
		}
		conn.Close()
	}
}
