package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// startTwins runs two processes of one registry.
func startTwins(t *testing.T) (one, two *registry) {
	t.Helper()
	s := registrySetup{Storage: t.TempDir(), HTTP: "secret: canary-twins"}
	return startRegistryLike(t, s), startRegistryLike(t, s)
}

// TestSeveralRegistries: two registries with two addresses each. One address dies under
// load: no pull fails, a push fails at most once, and what comes back is asked again.
func TestSeveralRegistries(t *testing.T) {
	one, two := startTwins(t)
	three, four := startTwins(t)
	g := startGateway(t, setup{Upstreams: fmt.Sprintf(`  - {name: team, repositories: ["team/**"], urls: [%q, %q]}
  - {name: rest, urls: [%q, %q]}`, one.url(), two.url(), three.url(), four.url())})
	var paths []string
	for _, repository := range []string{"team/app", "other/app"} {
		image := g.push(t, repository+":v1", "admin", adminPassword)
		digest := firstLayer(t, image)
		paths = append(paths, "/v2/"+repository+"/manifests/v1", "/v2/"+repository+"/blobs/"+digest.String(), "/v2/"+repository+"/tags/list")
	}
	var list struct{ Repositories []string }
	a := g.get("/v2/_catalog", g.token(t, "admin", adminPassword, "registry:catalog:*")).want(t, "the catalog", http.StatusOK)
	if err := json.Unmarshal(a.body, &list); err != nil || !slices.Equal(list.Repositories, []string{"other/app", "team/app"}) {
		t.Errorf("the catalog: %s", a.body)
	}
	l := startPullers(t, g, paths)
	l.await(t, 300)
	one.Kill()
	l.await(t, 1000)
	g.pushes(t, "team/app", 8)
	healthy := fmt.Sprintf(`gatehouse_upstream_healthy{address=%q,upstream="team"}`, one.url())
	if n := g.metric(t, healthy); n != 0 || g.status("/readyz") != http.StatusOK {
		t.Errorf("with one of two addresses dead: healthy %v, ready %d", n, g.status("/readyz"))
	}
	one.resume(t)
	eventually(t, 40*time.Second, "the address is healthy again", func() bool { return g.metric(t, healthy) == 1 })
	for _, line := range []string{`"an address of an upstream was put aside","upstream":"team"`, `"an address of an upstream is back","upstream":"team"`} {
		eventually(t, 5*time.Second, "a line of it", func() bool { return strings.Contains(g.Log(), line) })
	}
	two.Kill()
	l.await(t, 300)
	l.end(t)
	three.Kill()
	four.Kill()
	eventually(t, 10*time.Second, "no address of rest is left", func() bool { return g.status("/readyz") == http.StatusServiceUnavailable })
	g.get("/v2/_catalog", g.token(t, "admin", adminPassword, "registry:catalog:*")).refusal(t, http.StatusBadGateway, "UNAVAILABLE")
	g.get(paths[0], g.token(t, "admin", adminPassword, "repository:team/app:pull")).want(t, "a pull of the other upstream", http.StatusOK)
}

// pushes pushes images to a repository; each may fail once.
func (g *gateway) pushes(t *testing.T, repository string, n int) {
	t.Helper()
	for i := range n {
		image, err := random.Image(4096, 2)
		if err != nil {
			t.Fatal(err)
		}
		ref := g.reference(t, fmt.Sprintf("%s:n%d", repository, i))
		if err = remote.Write(ref, image, g.as("admin", adminPassword)...); err != nil {
			err = remote.Write(ref, image, g.as("admin", adminPassword)...)
		}
		if err != nil {
			t.Errorf("push %d, the second time: %v", i, err)
		}
	}
}

// pullingPeople is how many pull at once: no more answers can be cut when an address dies.
const pullingPeople = 8

// pullers are people who pull without a pause.
type pullers struct {
	pulls  atomic.Int64
	failed atomic.Int64
	cut    atomic.Int64           // answers that ended amid their bodies
	first  atomic.Pointer[string] // what the first that failed got
	stop   chan struct{}
	people sync.WaitGroup
}

func startPullers(t *testing.T, g *gateway, paths []string) *pullers {
	t.Helper()
	l := &pullers{stop: make(chan struct{})}
	token := g.token(t, "admin", adminPassword, "repository:team/app:pull", "repository:other/app:pull")
	for person := range pullingPeople {
		l.people.Go(func() {
			for i := person; ; i++ {
				select {
				case <-l.stop:
					return
				default:
				}
				path := paths[i%len(paths)]
				a := g.get(path, token)
				if a.status == 0 { // its address died amid the answer, which nobody can take back: clients ask again
					l.cut.Add(1)
					a = g.get(path, token)
				}
				if a.status != http.StatusOK {
					l.failed.Add(1)
					text := fmt.Sprintf("%s: %d %s", path, a.status, a.body)
					l.first.CompareAndSwap(nil, &text)
				}
				l.pulls.Add(1)
			}
		})
	}
	t.Cleanup(func() { l.end(t) })
	return l
}

// await waits for so many more pulls.
func (l *pullers) await(t *testing.T, more int64) {
	t.Helper()
	want := l.pulls.Load() + more
	eventually(t, time.Minute, fmt.Sprintf("%d more pulls", more), func() bool { return l.pulls.Load() >= want })
}

// end stops the load and judges it.
func (l *pullers) end(t *testing.T) {
	t.Helper()
	select {
	case <-l.stop:
		return
	default:
		close(l.stop)
	}
	l.people.Wait()
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d pulls failed, the first: %s", n, l.pulls.Load(), *l.first.Load())
	}
	if n := l.cut.Load(); n > 2*pullingPeople { // two addresses die under the load
		t.Errorf("%d answers were cut", n)
	}
}
