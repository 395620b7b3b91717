//go:build replicas

package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/dockertest"
)

// replicaSet is three gateways behind HAProxy, with one Redis, before two registries that have
// one storage.
type replicaSet struct {
	t        *testing.T
	gateways []*gateway
	front    *gateway // HAProxy, as clients see it
	redis    *authntest.Process
	shared   string // Redis' host:port
	kept     string // and its folder
}

func startReplicas(t *testing.T) *replicaSet {
	t.Helper()
	authntest.Need(t, "haproxy", "skopeo")
	f := &replicaSet{t: t, kept: t.TempDir(), shared: authntest.FreeAddress(t)}
	f.startRedis()
	storage, registries := t.TempDir(), []string{}
	for range 2 {
		r := startRegistryLike(t, registrySetup{Program: distributionV3(t), Storage: storage, HTTP: "secret: of-both"})
		registries = append(registries, fmt.Sprintf("%q", r.url()))
	}
	key := signingKey(t)
	for range 3 {
		f.gateways = append(f.gateways, startGateway(t, setup{Upstreams: "  - {name: both, urls: [" + strings.Join(registries, ", ") + "]}",
			ListenKeys: "trusted_proxies: [127.0.0.0/8]\n  health_path: /healthz", Tokens: fmt.Sprintf("key_files: [%q]", key), Socket: "admin.sock",
			Sections: "store: {redis: {url: \"redis://" + f.shared + "\"}}\npersonal_tokens: {enabled: true}\ncache: {}\nui: {enabled: true}\n"}))
	}
	f.startProxy()
	return f
}

func (f *replicaSet) startRedis() {
	f.t.Helper()
	f.redis = authntest.StartRedis(f.t, f.shared, "--appendonly", "yes", "--dir", f.kept)
}

func (f *replicaSet) startProxy() {
	f.t.Helper()
	f.front = &gateway{address: authntest.FreeAddress(f.t), scheme: "http", client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	text := "defaults\n mode http\n timeout connect 2s\n timeout client 15m\n timeout server 15m\n option redispatch 1\n retries 5\n" +
		"frontend registry\n bind " + f.front.address + "\n option forwardfor\n http-request set-header X-Forwarded-Proto http\n default_backend gatehouse\n" +
		"backend gatehouse\n balance roundrobin\n option httpchk\n http-check send meth GET uri /healthz\n http-check expect status 200\n" +
		" default-server check inter 300ms fall 1 rise 1\n"
	for i, g := range f.gateways {
		text += fmt.Sprintf(" server g%d %s\n", i, g.address)
	}
	config := filepath.Join(f.t.TempDir(), "haproxy.cfg")
	write(f.t, config, text)
	start(f.t, "haproxy", "-db", "-f", config)
	eventually(f.t, 20*time.Second, "the gateways are behind the proxy", func() bool { return f.front.get("/v2/", "").status == http.StatusUnauthorized })
}

// mover is one kind of client: it pushes an image, or pulls it and returns its digest.
type mover struct {
	name string
	push func(image v1.Image, ref, user, password string) (digest string, err error)
	pull func(ref, user, password string) (digest string, err error)
}

// runProgram gives a program a minute. The error has not its arguments, as those have secrets.
func runProgram(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", filepath.Base(name), args[0], err, out)
	}
	return err
}

// layoutOf writes an image as an OCI layout.
func layoutOf(image v1.Image, dir string) error {
	folder, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = folder.AppendImage(image)
	}
	return err
}

// fresh is a folder for one command.
func (f *replicaSet) fresh() (dir string, remove func()) {
	dir, err := os.MkdirTemp(f.kept, "client")
	if err != nil {
		f.t.Error(err)
	}
	return dir, func() { os.RemoveAll(dir) }
}

func (f *replicaSet) skopeo() mover {
	program := authntest.Program("skopeo")
	return mover{"skopeo", func(image v1.Image, ref, user, password string) (string, error) {
		dir, remove := f.fresh()
		defer remove()
		if err := layoutOf(image, dir); err != nil {
			return "", err
		}
		err := runProgram(program, "--insecure-policy", "copy", "--preserve-digests", "--dest-tls-verify=false", "--dest-creds="+user+":"+password, "oci:"+dir, "docker://"+ref)
		d, _ := image.Digest()
		return d.String(), err
	}, func(ref, user, password string) (string, error) {
		dir, remove := f.fresh()
		defer remove()
		if err := runProgram(program, "--insecure-policy", "copy", "--src-tls-verify=false", "--src-creds="+user+":"+password, "docker://"+ref, "dir:"+dir); err != nil {
			return "", err
		}
		return digested(dir)
	}}
}

// digested reads all of an image in skopeo's folder, where each blob has its digest for a
// name, and returns the manifest's.
func digested(dir string) (digest string, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			return "", err
		}
		sum := fmt.Sprintf("%x", sha256.Sum256(text))
		switch file.Name() {
		case "manifest.json":
			digest = "sha256:" + sum
		case "version", sum:
		default:
			return "wrong", nil // which no client pushed
		}
	}
	return digest, nil
}

// validated reads all of the one image of a layout.
func validated(dir string) (string, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return "", err
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		return "", fmt.Errorf("no layout of one image: %w", err)
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err == nil {
		err = validate.Image(image)
	}
	return manifest.Manifests[0].Digest.String(), err
}

func (f *replicaSet) crane() mover {
	program := goProgram(f.t, craneModule)
	with := func(user, password string, args ...string) error {
		dir, remove := f.fresh()
		defer remove()
		if err := os.WriteFile(dir+"/config.json", []byte(fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, f.front.address, basic(user, password))), 0o600); err != nil {
			return err
		}
		return runProgram("/usr/bin/env", append([]string{"DOCKER_CONFIG=" + dir, program}, args...)...)
	}
	return mover{"crane", func(image v1.Image, ref, user, password string) (string, error) {
		dir, remove := f.fresh()
		defer remove()
		if err := layoutOf(image, dir); err != nil {
			return "", err
		}
		d, _ := image.Digest()
		return d.String(), with(user, password, "push", dir, ref)
	}, func(ref, user, password string) (string, error) {
		dir, remove := f.fresh()
		defer remove()
		if err := with(user, password, "pull", "--format=oci", ref, dir); err != nil {
			return "", err
		}
		return validated(dir)
	}}
}

var dockerDigest = regexp.MustCompile(`(?i)digest: (sha256:[0-9a-f]{64})`)

func (f *replicaSet) docker() mover {
	e := engine{dockertest.Start(f.t)}
	do := func(args ...string) (string, error) {
		out, err := e.docker(nil, args...)
		if err != nil {
			err = fmt.Errorf("docker %q: %w: %s", args, err, out)
		}
		return out, err
	}
	digest := func(out string, err error) (string, error) {
		found := dockerDigest.FindStringSubmatch(out)
		if err != nil || found == nil {
			return "", fmt.Errorf("%w: %s", err, out)
		}
		return found[1], nil
	}
	return mover{"docker", func(image v1.Image, ref, user, password string) (string, error) {
		dir, remove := f.fresh()
		defer remove()
		tag, err := name.NewTag(ref)
		if err == nil {
			err = tarball.WriteToFile(dir+"/image.tar", tag, image)
		}
		if err == nil {
			_, err = e.login(user, password, f.front.address)
		}
		if err == nil {
			_, err = do("load", "-i", dir+"/image.tar")
		}
		if err != nil {
			return "", err
		}
		return digest(do("push", ref))
	}, func(ref, user, password string) (string, error) {
		_, _ = e.docker(nil, "image", "rm", ref)
		if out, err := e.login(user, password, f.front.address); err != nil {
			return "", fmt.Errorf("%w: %s", err, out)
		}
		return digest(do("pull", ref))
	}}
}

// patience is how long a client tries one push or pull again; Redis is away for 30 s of it.
const patience = 100 * time.Second

// endings is what the clients did.
type endings struct {
	mu       sync.Mutex
	done     map[string]int
	attempts map[string]int
	longest  time.Duration
}

// until tries again until it succeeds.
func (n *endings) until(t *testing.T, what string, do func() error) bool {
	began := time.Now()
	for {
		err := do()
		took := time.Since(began)
		n.mu.Lock()
		n.attempts[what]++
		if err == nil {
			n.done[what]++
			n.longest = max(n.longest, took)
		}
		n.mu.Unlock()
		if err == nil {
			return true
		}
		if took > patience {
			t.Errorf("%s did not succeed within %s: %v", what, took, err)
			return false
		}
		time.Sleep(time.Second) // as a CI job waits before it tries again
	}
}

// work pushes fresh images and pulls them, until ended.
func (f *replicaSet) work(n *endings, c mover, worker int, user, password string, ended <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-ended:
			return
		default:
		}
		image, err := random.Image(300_000, 3)
		if err != nil {
			f.t.Error(err)
			return
		}
		ref := fmt.Sprintf("%s/jobs/%s%d:v%d", f.front.address, c.name, worker, i)
		var pushed, pulled string
		ok := n.until(f.t, c.name+" push", func() (err error) { pushed, err = c.push(image, ref, user, password); return err }) &&
			n.until(f.t, c.name+" pull", func() (err error) { pulled, err = c.pull(ref, user, password); return err })
		if !ok {
			return
		}
		if pushed != pulled {
			f.t.Errorf("%s pushed %s as %s and pulled %s", c.name, ref, pushed, pulled)
		}
	}
}

// length is how long gateways are killed; GATEHOUSE_REPLICAS sets it.
func length(t *testing.T) time.Duration {
	text := os.Getenv("GATEHOUSE_REPLICAS")
	if text == "" {
		text = "2m"
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestReplicas: every 5 s one of three gateways is killed, or stopped, and started again,
// and in the midst Redis is stopped for 30 s, under pushes and pulls by real clients: each
// ends well, some at another try, and no digest is wrong.
func TestReplicas(t *testing.T) {
	f := startReplicas(t)
	made := f.front.personal(t, "admin", adminPassword, `{"name":"ci","actions":["pull","push"]}`)
	n := &endings{done: map[string]int{}, attempts: map[string]int{}}
	ended := make(chan struct{})
	var working sync.WaitGroup
	for _, c := range []mover{f.docker(), f.skopeo(), f.crane()} {
		working.Go(func() { f.work(n, c, 1, "admin", adminPassword, ended) })
		if c.name != "docker" { // whose logins are one for all
			working.Go(func() { f.work(n, c, 2, "x", made.Token, ended) })
		}
	}
	rounds := max(int(length(t)/(5*time.Second)), 8) // Redis is away for six of them, and comes back
	away, back := rounds/2-3, rounds/2+3
	for round := range rounds {
		next := time.Now().Add(5 * time.Second)
		switch round {
		case away:
			_ = f.redis.Stop(10 * time.Second)
		case back:
			f.startRedis()
		}
		g := f.gateways[round%3]
		if round%2 == 0 {
			g.Kill()
		} else if err := g.Stop(30 * time.Second); err != nil {
			t.Logf("round %d: %v", round, err) // it was killed instead
		}
		g.serve(t)
		time.Sleep(time.Until(next)) // the pace at which they are to be killed
	}
	close(ended)
	working.Wait()
	for _, what := range slices.Sorted(maps.Keys(n.attempts)) {
		t.Logf("%s: %d well, %d tries", what, n.done[what], n.attempts[what])
		if n.done[what] == 0 {
			t.Errorf("%s: none", what)
		}
	}
	t.Logf("%d gateways ended; the longest push or pull took %s", rounds, n.longest.Round(time.Millisecond))
}

// within is how long it takes until all gateways refuse, from before something is ended.
func (f *replicaSet) within(end func(), status func(*gateway) int) time.Duration {
	began := time.Now()
	end()
	for _, g := range f.gateways {
		eventually(f.t, 10*time.Second, "it is over everywhere", func() bool { return status(g) != http.StatusOK })
	}
	return time.Since(began)
}

// TestReplicasRevoke: a token, a person or a session that is ended at one gateway is refused
// by all within a second.
func TestReplicasRevoke(t *testing.T) {
	f := startReplicas(t)
	f.front.push(t, "jobs/app:v1", "admin", adminPassword)
	for _, g := range f.gateways {
		g.token(t, "admin", adminPassword)
	}
	var slowest time.Duration
	worst := func(what string, took time.Duration) {
		if slowest = max(slowest, took); took > time.Second {
			t.Errorf("%s was in force everywhere after %s", what, took)
		}
	}
	for i := range 10 {
		here, there := f.gateways[i%3], f.gateways[(i+1)%3]
		made := here.personal(t, "admin", adminPassword, fmt.Sprintf(`{"name":"n%d"}`, i))
		access := there.token(t, "x", made.Token, "repository:jobs/app:pull")
		use := func(g *gateway) int { return g.get("/v2/jobs/app/manifests/v1", access).status }
		for _, g := range f.gateways {
			if s := use(g); s != http.StatusOK {
				t.Fatalf("a token of another gateway: %d", s)
			}
		}
		worst("a personal token", f.within(func() {
			there.send(http.MethodDelete, "/auth/tokens/"+made.ID, func(r *http.Request) { r.SetBasicAuth("admin", adminPassword) }, nil).want(t, "its end", http.StatusNoContent)
		}, use))
	}
	access := f.gateways[0].token(t, "admin", adminPassword, "repository:jobs/app:pull")
	worst("token revoke --user", f.within(func() {
		if _, err := authntest.Run(exec.Command(binary, "token", "revoke", "-c", f.gateways[1].config, "--user", "admin")); err != nil {
			t.Error(err)
		}
	}, func(g *gateway) int { return g.get("/v2/jobs/app/manifests/v1", access).status }))
	v := f.gateways[0].visit(t, "admin", adminPassword)
	at := func(g *gateway) page {
		v.base = "http://" + g.address
		return v.do(v.request(http.MethodGet, "/ui/me", nil))
	}
	for _, g := range f.gateways {
		if p := at(g); p.status != http.StatusOK {
			t.Fatalf("a session of another gateway: %d", p.status)
		}
	}
	cookies := v.client.Jar.Cookies(&url.URL{Scheme: "http", Host: f.gateways[0].address})
	worst("a logout", f.within(func() {
		v.base = "http://" + f.gateways[2].address
		if p := v.post("/ui/logout", nil); p.status != http.StatusSeeOther {
			t.Errorf("logout: %d %s", p.status, p.body)
		}
	}, func(g *gateway) int {
		v.client.Jar.SetCookies(&url.URL{Scheme: "http", Host: g.address}, cookies)
		return at(g).status
	}))
	t.Logf("the slowest was in force everywhere after %s", slowest.Round(time.Millisecond))
}

// TestReplicasThrottle: six wrong passwords through the balancer are throttled as six on one
// gateway; while Redis is mute or gone each counts alone, and known tokens do not wait.
func TestReplicasThrottle(t *testing.T) {
	f := startReplicas(t)
	f.front.push(t, "jobs/app:v1", "admin", adminPassword)
	access := f.front.token(t, "test", testPassword, "repository:jobs/app:pull")
	statuses := func(user string, n int) (list []int) {
		for i := range n {
			list = append(list, f.front.realm(user, fmt.Sprint("wrong", i)).status)
		}
		return list
	}
	if got := statuses("guest", 8); !slices.Equal(got, []int{401, 401, 401, 401, 401, 429, 429, 429}) {
		t.Errorf("wrong passwords over three gateways: %v", got)
	}
	for _, g := range f.gateways {
		g.realm("guest", guestPassword).want(t, "the right one afterwards", http.StatusTooManyRequests)
		g.get("/v2/jobs/app/manifests/v1", access).want(t, "a known token", http.StatusOK)
	}
	pace := func(what string) {
		var slowest time.Duration
		for i := range 300 {
			began := time.Now()
			f.gateways[i%3].get("/v2/jobs/app/manifests/v1", access).want(t, what, http.StatusOK)
			slowest = max(slowest, time.Since(began))
		}
		if t.Logf("%s: the slowest of 300 pulls with a known token took %s", what, slowest.Round(time.Millisecond)); slowest > 900*time.Millisecond {
			t.Errorf("%s: a known token waited", what)
		}
	}
	pace("with Redis")
	if err := f.redis.Cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	pace("with a mute Redis")
	began := time.Now()
	f.front.realm("test", testPassword).want(t, "a login", http.StatusOK)
	t.Logf("with a mute Redis a login took %s", time.Since(began).Round(time.Millisecond))
	_ = f.redis.Cmd.Process.Signal(syscall.SIGCONT)
	_ = f.redis.Stop(10 * time.Second)
	pace("without Redis")
	refused := 0
	for _, status := range statuses("test", 24) {
		if status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused < 24-15 {
		t.Errorf("without Redis %d of 24 wrong passwords were checked, want 15 at most", 24-refused)
	}
	for _, g := range f.gateways {
		if body := g.admins(t, "/readyz?verbose"); !strings.Contains(body, "store") || g.status("/readyz") != http.StatusOK {
			t.Errorf("/readyz without Redis: %s", body)
		}
	}
}
