//go:build policy

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/dockertest"
)

// policyRegistries are the programs before which the policy is held.
func policyRegistries(t *testing.T) map[string]string {
	return map[string]string{"docker-registry": "docker-registry", "distribution v3": distributionV3(t)}
}

// redisSection runs a Redis that keeps nothing, and returns the section store for it.
func redisSection(t *testing.T) string {
	t.Helper()
	address := authntest.FreeAddress(t)
	authntest.StartRedis(t, address)
	return "store: {redis: {url: \"redis://" + address + "\"}}"
}

// TestCreates: of two pushes of one new tag at once one is the create, each time, through
// one gateway and through two that share a Redis.
func TestCreates(t *testing.T) {
	for name, program := range policyRegistries(t) {
		t.Run(name, func(t *testing.T) {
			s := setup{Upstream: startRegistryLike(t, registrySetup{Program: program}).url(), Policy: releases}
			t.Run("one gateway", func(t *testing.T) {
				g := startGateway(t, s)
				creates(t, [2]*gateway{g, g})
			})
			t.Run("two that share a Redis", func(t *testing.T) {
				s := setup{Upstream: startRegistryLike(t, registrySetup{Program: program}).url(), Policy: releases, Sections: redisSection(t)}
				creates(t, [2]*gateway{startGateway(t, s), startGateway(t, s)})
			})
		})
	}
}

// TestStays: docker, skopeo and crane push a version, and the same once more; another image
// under its name is refused, and each prints the rule, the tag and the digest that stays.
func TestStays(t *testing.T) {
	authntest.Need(t, "skopeo")
	e := engine{dockertest.Start(t)}
	for name, program := range policyRegistries(t) {
		t.Run(name, func(t *testing.T) {
			g := startGateway(t, setup{Upstream: startRegistryLike(t, registrySetup{Program: program}).url(), Policy: releases})
			t.Run("docker", func(t *testing.T) {
				image := g.address + "/prod/app:v1"
				e.signIn(t, "test", testPassword, g.address)
				e.build(t, 10_000, image)
				e.Run(t, "push", image)
				e.Run(t, "push", image)
				e.build(t, 20_000, image)
				out, err := e.Output("push", image)
				g.printed(t, "v1", out, err)
			})
			t.Run("skopeo", func(t *testing.T) {
				push := func(folder string) (string, error) {
					return trySkopeo("copy", "--dest-creds=test:"+testPassword, "--dest-tls-verify=false", folder, "docker://"+g.address+"/prod/app:v2")
				}
				_, first := imageFolder(t, 1000)
				_, second := imageFolder(t, 1000)
				for range 2 {
					if out, err := push(first); err != nil {
						t.Fatal(err, out)
					}
				}
				out, err := push(second)
				g.printed(t, "v2", out, err)
			})
			t.Run("crane", func(t *testing.T) {
				home := t.TempDir()
				run := func(args ...string) (string, error) {
					cmd := exec.Command(goProgram(t, craneModule), append(args, "--insecure")...)
					cmd.Env = append(os.Environ(), "HOME="+home, "DOCKER_CONFIG="+home)
					out, err := cmd.CombinedOutput()
					return string(out), err
				}
				if out, err := run("auth", "login", "-u", "test", "-p", testPassword, g.address); err != nil {
					t.Fatal(err, out)
				}
				_, first := imageFolder(t, 1000)
				_, second := imageFolder(t, 1000)
				for range 2 {
					if out, err := run("push", strings.TrimPrefix(first, "oci:"), g.address+"/prod/app:v3"); err != nil {
						t.Fatal(err, out)
					}
				}
				out, err := run("push", strings.TrimPrefix(second, "oci:"), g.address+"/prod/app:v3")
				g.printed(t, "v3", out, err)
			})
		})
	}
}

// printed wants the refusal of a client that overwrites a tag.
func (g *gateway) printed(t *testing.T, tag, out string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(out, g.refused(t, tag)) {
		t.Errorf("%v, want %q in:\n%s", err, g.refused(t, tag), out)
	}
}

// collected is a registry with gateways before it, for a collection of garbage.
type collected struct {
	registry *registry
	gateways []*gateway
	kept     map[string]v1.Image // by reference, what has to be there
}

// TestCollection: the registry's garbage is collected under a freeze, while clients knock and
// pull and an upload runs. Nothing that a tag names is lost, the upload ends, a gateway that is
// killed amid comes back frozen, and after the thaw every push that knocked succeeds, of images
// too whose layers were garbage.
func TestCollection(t *testing.T) {
	for name, program := range policyRegistries(t) {
		for store, n := range map[string]int{"file": 1, "redis": 2} {
			t.Run(name+" "+store, func(t *testing.T) {
				s := setup{Policy: releases + "\n  - {allow: [push], repositories: [\"team/**\"], to: [\"user:test\"]}", Socket: "admin.sock", Sections: "store: {file: store.db}"}
				if store == "redis" {
					s.Sections = redisSection(t)
				}
				w := &collected{registry: startRegistryLike(t, registrySetup{Program: program}), kept: map[string]v1.Image{}}
				s.Upstream = w.registry.url()
				for range n {
					w.gateways = append(w.gateways, startGateway(t, s))
				}
				w.collection(t)
			})
		}
	}
}

func (w *collected) collection(t *testing.T) {
	g := w.gateways[0]
	for i := range 5 {
		w.push(t, fmt.Sprintf("team/kept-%d:v1", i), randomImage(t))
	}
	garbage := w.garbage(t)
	upload := w.begin(t)
	readers, stop := w.pullers(t)

	order := exec.Command(binary, "freeze", "-c", g.config, "--reason", "collecting garbage")
	if out, err := order.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, g := range w.gateways {
		eventually(t, 5*time.Second, "frozen", func() bool { return g.frozen(t) })
	}
	knocking := w.knock(t, garbage)
	eventually(t, 20*time.Second, "everybody has knocked", func() bool { return knocking.refused.Load() > 20 })
	upload.end(t)
	taken := w.collect(t)
	if taken < 5 {
		t.Errorf("only %d blobs were garbage", taken)
	}
	last := w.gateways[len(w.gateways)-1]
	last.Kill()
	last.serve(t)
	for _, g := range w.gateways {
		if !g.frozen(t) {
			t.Error("a restart ends the freeze")
		}
	}
	w.collect(t)
	w.check(t)
	if n := knocking.done.Load(); n > 0 {
		t.Errorf("%d pushes succeeded under the freeze", n)
	}
	eventually(t, 20*time.Second, "everybody knocks on", func() bool { return knocking.refused.Load() > 60 })

	if out, err := exec.Command(binary, "thaw", "-c", g.config).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	knocking.wait(t)
	stop()
	maps.Copy(w.kept, knocking.images)
	w.check(t)
	t.Logf("%d blobs collected, %d pushes refused under the freeze, %d succeeded after it, %d pulls meanwhile, %d images whole", taken, knocking.refused.Load(), knocking.done.Load(), readers.Load(), len(w.kept))
}

// frozen asks the metric.
func (g *gateway) frozen(t *testing.T) bool { return g.metric(t, "gatehouse_frozen") == 1 }

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(5000, 3)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// push has test push an image, which has to be there from then on.
func (w *collected) push(t *testing.T, name string, image v1.Image) {
	t.Helper()
	ref, as := w.gateways[0].tag(t, name)
	if err := remote.Write(ref, image, as...); err != nil {
		t.Fatal(err)
	}
	w.kept[name] = image
}

// garbage pushes an image and deletes its manifest: the blobs are nobody's.
func (w *collected) garbage(t *testing.T) v1.Image {
	t.Helper()
	g, image := w.gateways[0], randomImage(t)
	ref, as := g.tag(t, "team/garbage:v1")
	if err := remote.Write(ref, image, as...); err != nil {
		t.Fatal(err)
	}
	admin := g.token(t, "admin", adminPassword, "repository:team/garbage:delete")
	g.send(http.MethodDelete, "/v2/team/garbage/manifests/"+digestOf(t, image), bearer(admin), nil).want(t, "the delete", http.StatusAccepted)
	return image
}

// begunUpload is one that has begun.
type begunUpload struct {
	g       *gateway
	token   string
	session string
	content []byte
}

// begin starts one and sends a half.
func (w *collected) begin(t *testing.T) *begunUpload {
	t.Helper()
	g := w.gateways[len(w.gateways)-1]
	u := &begunUpload{g: g, token: g.token(t, "test", testPassword, "repository:team/running:pull,push"), content: layerTar(t, 50_000)}
	a := g.send(http.MethodPost, "/v2/team/running/blobs/uploads/", bearer(u.token), nil).want(t, "the upload's start", http.StatusAccepted)
	u.session = a.path(t)
	u.patch(t, u.content[:len(u.content)/2])
	return u
}

// path is what Location names.
func (a answer) path(t *testing.T) string {
	t.Helper()
	at, err := http.NewRequest(http.MethodGet, a.header.Get("Location"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return at.URL.RequestURI()
}

func (u *begunUpload) patch(t *testing.T, part []byte) {
	t.Helper()
	u.session = u.g.send(http.MethodPatch, u.session, bearer(u.token), bytes.NewReader(part)).want(t, "a part", http.StatusAccepted).path(t)
}

// end sends the rest, which a freeze does not stop.
func (u *begunUpload) end(t *testing.T) {
	t.Helper()
	u.patch(t, u.content[len(u.content)/2:])
	query := "?"
	if strings.Contains(u.session, "?") {
		query = "&"
	}
	u.g.send(http.MethodPut, u.session+query+"digest="+fmt.Sprintf("sha256:%x", sha256.Sum256(u.content)), bearer(u.token), nil).want(t, "the upload's end", http.StatusCreated)
	u.g.send(http.MethodPost, "/v2/team/running/blobs/uploads/", bearer(u.token), nil).refusal(t, http.StatusServiceUnavailable, "UNAVAILABLE")
}

// pullers pull what is there until stop, which is whole each time.
func (w *collected) pullers(t *testing.T) (pulls *atomic.Int64, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	pulls = &atomic.Int64{}
	var all sync.WaitGroup
	g, kept := w.gateways[0], []string{}
	for name := range w.kept {
		kept = append(kept, name)
	}
	for i := range 2 {
		all.Go(func() {
			for ; ctx.Err() == nil; i++ {
				ref, as := g.tag(t, kept[i%len(kept)])
				_, err := pullWhole(ref, as...)
				if ctx.Err() != nil || gone(err) {
					continue
				}
				if err != nil {
					t.Errorf("a pull meanwhile: %v", err)
					return
				}
				pulls.Add(1)
			}
		})
	}
	return pulls, func() { cancel(); all.Wait() }
}

// knocking is pushes that are tried again and again.
type knocking struct {
	refused, done atomic.Int64
	all           sync.WaitGroup
	errs          chan error
	images        map[string]v1.Image // by reference, what is pushed
}

// knock has clients push new images, of which one has the layers of what is garbage.
func (w *collected) knock(t *testing.T, garbage v1.Image) *knocking {
	k := &knocking{errs: make(chan error, 8), images: map[string]v1.Image{}}
	layers, err := garbage.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		name, image := fmt.Sprintf("team/knock-%d:v1", i), randomImage(t)
		if i == 0 {
			name = "team/garbage:v2"
			if image, err = mutate.AppendLayers(empty.Image, layers...); err != nil {
				t.Fatal(err)
			}
		}
		k.images[name] = image
		ref, as := w.gateways[0].tag(t, name)
		as = append(as, remote.WithRetryStatusCodes(), remote.WithRetryBackoff(remote.Backoff{Steps: 1}))
		k.all.Go(func() {
			for {
				err := remote.Write(ref, image, as...)
				switch {
				case err == nil:
					k.done.Add(1)
					return
				case strings.Contains(err.Error(), "pushes and deletes are stopped here for now: collecting garbage"):
					k.refused.Add(1)
				case !gone(err):
					k.errs <- err
					return
				}
			}
		})
	}
	return k
}

// gone is the error of a gateway that is killed; the library makes a text of some.
func gone(err error) bool {
	var failed net.Error
	return errors.As(err, &failed) || err != nil && slices.ContainsFunc([]string{"EOF", "connection refused", "connection reset"}, func(text string) bool {
		return strings.Contains(err.Error(), text)
	})
}

func (k *knocking) wait(t *testing.T) {
	t.Helper()
	k.all.Wait()
	close(k.errs)
	for err := range k.errs {
		t.Errorf("a push after the freeze: %v", err)
	}
}

// collect runs the registry's own collection, and returns how many blobs it took.
func (w *collected) collect(t *testing.T) int {
	t.Helper()
	cmd := exec.Command(w.registry.program, "garbage-collect", w.registry.config)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the collection: %v\n%s", err, out)
	}
	return strings.Count(string(out), "blob eligible for deletion")
}

// check pulls all that has to be there, whole.
func (w *collected) check(t *testing.T) {
	t.Helper()
	for name, image := range w.kept {
		ref, as := w.gateways[0].tag(t, name)
		got, err := pullWhole(ref, as...)
		if err != nil {
			t.Errorf("%s is lost: %v", name, err)
		} else if digestOf(t, got) != digestOf(t, image) {
			t.Errorf("%s is another image", name)
		}
	}
}
