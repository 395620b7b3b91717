package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// restarts is how many there are; GATEHOUSE_RESTARTS is for the slow suite.
func restarts() int {
	if n, err := strconv.Atoi(os.Getenv("GATEHOUSE_RESTARTS")); err == nil {
		return n
	}
	return 3
}

// TestRestarts: a gateway is restarted under logins and pushes, by a socket that the
// service manager keeps and by a second process that shares the port. No connection is
// refused, and no request is lost, none that could not be sent again either.
func TestRestarts(t *testing.T) {
	registry := startRegistry(t)
	t.Run("socket activation", func(t *testing.T) {
		held, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		socket, err := held.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		s := setup{Upstream: registry.url(), Listen: authntest.FreeAddress(t), Admin: authntest.FreeAddress(t), Tokens: "key_files: [" + signingKey(t) + "]"}
		config := writeConfig(t, s)
		run := func() *authntest.Process {
			cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", binary, "serve", "-c", config)
			cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=public")
			cmd.ExtraFiles = []*os.File{socket}
			return serving(t, cmd)
		}
		now := run()
		restartUnderLoad(t, held.Addr().String(), func() {
			stop(t, now)
			now = run()
		})
	})
	t.Run("reuse_port", func(t *testing.T) {
		s := setup{Upstream: registry.url(), Listen: authntest.FreeAddress(t), Admin: authntest.FreeAddress(t), Tokens: "key_files: [" + signingKey(t) + "]",
			ListenKeys: "reuse_port: true"}
		config := writeConfig(t, s)
		run := func() *authntest.Process { return serving(t, exec.Command(binary, "serve", "-c", config)) }
		now := run()
		restartUnderLoad(t, s.Listen, func() {
			next := run()
			stop(t, now)
			now = next
		})
	})
}

// serving starts a gateway and waits until it serves.
func serving(t *testing.T, cmd *exec.Cmd) *authntest.Process {
	t.Helper()
	p := authntest.Start(t, cmd)
	if err := p.Await(20*time.Second, func() bool { return strings.Contains(p.Log(), `"msg":"serving"`) }); err != nil {
		t.Fatal(err)
	}
	return p
}

func stop(t *testing.T, p *authntest.Process) {
	t.Helper()
	if err := p.Finish(30 * time.Second); err != nil {
		t.Fatalf("the gateway did not end well on TERM: %v", err)
	}
}

// load is clients that never send a request twice.
type load struct {
	t       *testing.T
	address string
	done    atomic.Int64
	ended   chan struct{}
}

// restartUnderLoad restarts again and again while clients log in and push.
func restartUnderLoad(t *testing.T, address string, restart func()) {
	l := &load{t: t, address: address, ended: make(chan struct{})}
	var clients sync.WaitGroup
	for i := range 6 {
		clients.Go(func() { l.repeat(l.login) })
		if i%2 == 0 {
			clients.Go(func() { l.repeat(l.upload) })
		}
	}
	for range restarts() {
		before := l.done.Load()
		restart()
		eventually(t, 20*time.Second, "clients go on", func() bool { return l.done.Load() > before+20 || t.Failed() })
	}
	close(l.ended)
	clients.Wait()
	t.Logf("%d requests over %d restarts", l.done.Load(), restarts())
}

func (l *load) repeat(once func(*http.Client) error) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for {
		select {
		case <-l.ended:
			return
		default:
		}
		if err := once(client); err != nil {
			l.t.Errorf("after %d requests: %v", l.done.Load(), err)
			return
		}
	}
}

// send sends a request whose body cannot be read again, and wants a status.
func (l *load) send(client *http.Client, method, target string, want int, header http.Header, body io.Reader) (*http.Response, error) {
	if strings.HasPrefix(target, "/") {
		target = "http://" + l.address + target
	}
	if body != http.NoBody {
		body = struct{ io.Reader }{body}
	}
	request, err := http.NewRequest(method, target, body)
	if err != nil {
		return nil, err
	}
	request.Header = header
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || response.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %d %.200s %w", method, target, response.StatusCode, text, err)
	}
	l.done.Add(1)
	response.Body = io.NopCloser(strings.NewReader(string(text)))
	return response, nil
}

func (l *load) login(client *http.Client) error {
	form := url.Values{"grant_type": {"password"}, "service": {"gatehouse"}, "username": {"admin"}, "password": {"badmin"}, "client_id": {"e2e"}}
	_, err := l.send(client, "POST", "/auth", http.StatusOK, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, strings.NewReader(form.Encode()))
	return err
}

// upload sends a blob slowly, in one part.
func (l *load) upload(client *http.Client) error {
	g := &gateway{address: l.address, scheme: "http", client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	header := http.Header{"Authorization": {"Bearer " + g.token(l.t, "admin", "badmin", "repository:restart/x:pull,push")}}
	started, err := l.send(client, "POST", "/v2/restart/x/blobs/uploads/", http.StatusAccepted, header.Clone(), http.NoBody)
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	go func() {
		for range 20 {
			time.Sleep(10 * time.Millisecond) // the pace of a slow client
			io.WriteString(w, strings.Repeat("x", 1000))
		}
		w.Close()
	}()
	header.Set("Content-Type", "application/octet-stream")
	_, err = l.send(client, "PATCH", started.Header.Get("Location"), http.StatusAccepted, header, r)
	return err
}
