package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"gatehouse/authn/authntest"

	ggcr "github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// releases lets test push to prod, where a version stays what it is.
const releases = `
  - {allow: [pull, push], repositories: ["prod/**"], to: ["user:test"]}
  - {name: releases-stay, deny: [overwrite, delete], repositories: ["prod/**"], tags: ["v*"], to: [authenticated]}`

// refused is what a client has to print of the rule.
func (g *gateway) refused(t *testing.T, tag string) string {
	t.Helper()
	return fmt.Sprintf("(releases-stay)) denies overwrite of prod/app:%s to test; %s stays sha256:", tag, tag)
}

// TestReleasesStay: skopeo pushes a version once, and the same again, and nothing else
// under its name; the same of an index and of a tag that is not guarded.
func TestReleasesStay(t *testing.T) {
	authntest.Need(t, "skopeo")
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), Policy: releases})
	_, first := imageFolder(t, 1000)
	_, second := imageFolder(t, 1000)
	push := func(source, tag string) []string {
		return []string{"copy", "--dest-creds=test:" + testPassword, "--dest-tls-verify=false", source, "docker://" + g.address + "/prod/app:" + tag}
	}
	skopeo(t, push(first, "v1")...)
	skopeo(t, push(first, "v1")...)
	skopeoRefused(t, g.refused(t, "v1"), push(second, "v1")...)
	skopeo(t, push(second, "v2")...)
	skopeo(t, push(first, "latest")...)
	skopeo(t, push(second, "latest")...)
	if !g.logs(`(releases-stay)`) {
		t.Error("the log does not name the rule")
	}

	index, err := random.Index(100, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, as := g.tag(t, "prod/app:v3")
	for _, again := range []string{"new", "again"} {
		if err := remote.WriteIndex(ref, index, as...); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	}
	other := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image})
	for what, err := range map[string]error{"an index": remote.WriteIndex(ref, other, as...), "an image": remote.Write(ref, image, as...)} {
		if err == nil || !strings.Contains(err.Error(), g.refused(t, "v3")) {
			t.Errorf("%s over an index: %v", what, err)
		}
	}
}

// tag is a reference through the gateway, and how test writes to it.
func (g *gateway) tag(t *testing.T, text string) (name.Reference, []remote.Option) {
	t.Helper()
	ref, err := name.ParseReference(g.address+"/"+text, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return ref, []remote.Option{remote.WithAuth(&ggcr.Basic{Username: "test", Password: testPassword}), remote.WithJobs(1)}
}

// TestOneOfTwoCreates: two clients push a new tag at once, many times: one of them
// creates it, the other is refused, and the tag is what the first pushed.
func TestOneOfTwoCreates(t *testing.T) {
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), Policy: releases})
	creates(t, [2]*gateway{g, g})
}

// creates is 200 races of two clients, one through each gateway.
func creates(t *testing.T, gateways [2]*gateway) {
	t.Helper()
	var images [2]v1.Image
	var digests [2]string
	for i := range images {
		image, err := random.Image(100, 1)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		images[i], digests[i] = image, digest.String()
	}
	var pushers [2]*remote.Pusher
	for i, g := range gateways {
		ref, as := g.tag(t, fmt.Sprintf("prod/app:image-%d", i))
		pusher, err := remote.NewPusher(as...)
		if err == nil {
			err = pusher.Push(t.Context(), ref, images[i]) // the blobs are there before the race
		}
		if err != nil {
			t.Fatal(err)
		}
		pushers[i] = pusher
	}
	wins := [2]int{}
	for round := range 200 {
		var errs [2]error
		var wg sync.WaitGroup
		for i, g := range gateways {
			ref, _ := g.tag(t, fmt.Sprintf("prod/app:v%d", round))
			wg.Go(func() { errs[i] = pushers[i].Push(t.Context(), ref, images[i]) })
		}
		wg.Wait()
		won := 0
		if errs[0] != nil {
			won = 1
		}
		wins[won]++
		ref, as := gateways[1-won].tag(t, fmt.Sprintf("prod/app:v%d", round))
		lost := errs[1-won]
		if errs[won] != nil || lost == nil || !strings.Contains(lost.Error(), gateways[0].refused(t, ref.Identifier())+strings.TrimPrefix(digests[won], "sha256:")) {
			t.Fatalf("round %d: %v", round, errs)
		}
		if d, err := remote.Head(ref, as...); err != nil || d.Digest.String() != digests[won] {
			t.Fatalf("round %d: %v %v, want %s", round, d, err, digests[won])
		}
	}
	t.Logf("200 races, one create each: the first client won %d, the second %d", wins[0], wins[1])
}
