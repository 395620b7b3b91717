package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// TestIdleConnections (row H4): nginx in front of the registry ends idle connections
// after a second. What goes out on one at that very moment is sent once more.
func TestIdleConnections(t *testing.T) {
	reg, address := startRegistry(t), authntest.FreeAddress(t)
	startNginx(t, fmt.Sprintf("server { listen %s; keepalive_timeout 1s; client_max_body_size 0; location / { proxy_pass %s; proxy_set_header Host $http_host; } }", address, reg.url()))
	eventually(t, 10*time.Second, "nginx answers", func() bool { return authntest.Listening(address) })
	g := startGateway(t, setup{Upstream: "http://" + address})
	token := g.token(t, "admin", adminPassword, "repository:team/app:pull,push,delete")
	const many = 24
	start := func(wait time.Duration) answer {
		time.Sleep(wait) // the race is with nginx' own clock
		return g.send(http.MethodPost, "/v2/team/app/blobs/uploads/", bearer(token), nil)
	}
	for round := range 3 {
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() {
				wait := time.Duration(0)
				if round > 0 {
					wait = time.Second + time.Duration(i-many/2)*time.Millisecond
				}
				if a := start(wait); a.status != http.StatusAccepted {
					t.Errorf("round %d: an upload's start is %d: %s", round, a.status, a.body)
				}
			})
		}
		all.Wait()
	}
}

// TestMountFromElsewhere (row H2): with blob_mount: auto a real registry mounts what the
// source has, and what it lacks becomes an upload; the log says why.
func TestMountFromElsewhere(t *testing.T) {
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), BlobMount: "auto"})
	layer := firstLayer(t, g.push(t, "team/lib:x", "admin", adminPassword))
	token := g.token(t, "admin", adminPassword, "repository:team/app:pull,push", "repository:team/lib:pull", "repository:team/none:pull")
	for _, c := range []struct {
		from string
		want int
	}{{"team/lib", http.StatusCreated}, {"team/none", http.StatusAccepted}} {
		if a := g.send(http.MethodPost, "/v2/team/app/blobs/uploads/?mount="+layer.String()+"&from="+c.from, bearer(token), nil); a.status != c.want {
			t.Errorf("from %s: %d %s", c.from, a.status, a.body)
		}
	}
	eventually(t, 10*time.Second, "the record says why", func() bool {
		return strings.Contains(g.Log(), `"note":"mount not passed on: the upstream answers 404 to HEAD of the blob in team/none"`)
	})
}
