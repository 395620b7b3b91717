package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestPagesDelete: deleting by the pages at docker-registry 2.8.2, which removes no tag alone.
func TestPagesDelete(t *testing.T) { testPagesDelete(t, "docker-registry", false) }

// remover is an administrator of a gateway who deletes by the pages.
type remover struct {
	*visitor
	g *gateway
}

func testPagesDelete(t *testing.T, program string, alone bool) {
	upstream := startRegistryLike(t, registrySetup{Program: program})
	g := startGateway(t, setup{Upstream: upstream.url(), Sections: "ui: {enabled: true}\naudit: {file: audit.log}",
		Policy: `  - {name: releases-stay, deny: [delete], repositories: ["prod/**"], tags: ["v*"], to: [authenticated]}
  - {name: unseen, deny: [pull], repositories: ["hidden/**"], to: ["user:test"]}`})
	r := remover{g.visit(t, "admin", adminPassword), g}
	shared, other := r.push("team/app:a", "team/app:b"), r.push("team/app:c")
	r.push("prod/app:v1", "prod/app:edge")
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	if err := remote.WriteIndex(g.reference(t, "team/app:all"), index, g.as("admin", adminPassword)...); err != nil {
		t.Fatal(err)
	}
	r.tags("team/app", "a all b c")

	what := "unsupported"
	if alone {
		what = "deleted"
	}
	for _, form := range []url.Values{{"what": {"tag"}}, {"what": {"tag"}, "confirm": {"team/apps"}}, {"what": {"all"}, "confirm": {"team/app"}}} {
		if p := r.post("/ui/delete?ref=team/app:a", form); p.status != http.StatusUnprocessableEntity {
			t.Errorf("%v: %d", form, p.status)
		}
	}
	if page := r.get("/ui/delete?ref=team/app:c"); !strings.Contains(page.body, "4 of 4 tags checked") || !strings.Contains(page.body, "<code>all</code>") {
		t.Errorf("of what would go: %s", page.body)
	}
	r.delete("tag", digestOf(t, shared), what, "team/app:a")
	r.delete("image", digestOf(t, shared), "moved", "team/app:c")
	r.delete("image", "", "denied", "prod/app:edge")
	r.delete("image", "", "denied", "prod/app@"+r.digest("prod/app:v1"))
	if alone {
		r.delete("tag", "", "denied", "prod/app:v1")
		r.tags("team/app", "all b c")
	}
	r.delete("image", digestOf(t, shared), "deleted", "team/app:b")
	r.tags("team/app", "all c")
	r.tags("prod/app", "edge v1")
	r.push("team/app:x", "team/app:y")
	r.push("team/app:z")
	r.delete("image", "", "deleted along deleted", "team/app:x", "team/app:y", "team/app:z")
	gone := r.push("team/app:x", "team/app:y")
	r.delete("image", "", "deleted along absent", "team/app@"+digestOf(t, gone), "team/app:y", "team/app:none")
	r.delete("image", "", "deleted", "team/app@"+digestOf(t, other))

	reader := remover{g.visit(t, "test", testPassword), g}
	reader.delete("image", "", "denied", "prod/app:edge")
	if p := g.visit(t, "", "").post("/ui/delete?ref=prod/app:edge", url.Values{"what": {"image"}, "confirm": {"prod/app"}}); p.status != http.StatusSeeOther {
		t.Errorf("of nobody: %d", p.status)
	}
	r.tags("prod/app", "edge v1")
	r.push("hidden/app:1")
	for _, ref := range []string{"hidden/app:1", "hidden/app@" + r.digest("hidden/app:1"), "hidden/none:1"} {
		if p := reader.post("/ui/delete?ref="+ref, url.Values{"what": {"image"}, "confirm": {ref[:strings.IndexAny(ref, ":@")]}}); p.status != http.StatusNotFound || len(p.all("data-status")) > 0 || strings.Contains(p.body, "unseen") {
			t.Errorf("%s, which its reader may not see: %d %s", ref, p.status, p.body)
		}
	}
	reader.delete("tag", "", "absent denied", "hidden/app:1", "prod/app:edge")
	r.tags("hidden/app", "1")
	audit, err := os.ReadFile(filepath.Join(filepath.Dir(g.config), "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	deletions := regexp.MustCompile(`"event":"delete"[^\n]*"via":"ui"`).FindAll(audit, -1)
	if want := map[bool]int{true: 6, false: 5}[alone]; len(deletions) != want || !strings.Contains(string(audit), "(releases-stay)") {
		t.Errorf("%d deletions in the audit stream, want %d: %s", len(deletions), want, audit)
	}
	upstream.Stop(10 * time.Second)
	for _, refs := range []string{"ref=prod/app:edge", "ref=prod/app:edge&ref=team/app:c"} {
		if p := r.do(r.request(http.MethodGet, "/ui/delete?"+refs, nil)); p.status != http.StatusBadGateway || strings.Join(p.all("data-error"), " ") != "UNAVAILABLE" || strings.Join(p.all("data-page"), " ") != "error" {
			t.Errorf("%s of a registry that is down: %d %s", refs, p.status, p.body)
		}
	}
	r.delete("image", "", "failed", "team/app:c")
}

// push pushes one new image under some tags.
func (r *remover) push(tags ...string) v1.Image {
	r.t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, tag := range tags {
		if err := remote.Write(r.g.reference(r.t.(*testing.T), tag), image, r.g.as("admin", adminPassword)...); err != nil {
			r.t.Fatal(err)
		}
	}
	return image
}

func digestOf(t testing.TB, i v1.Image) string {
	t.Helper()
	d, err := i.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// digest is what a tag names at the registry.
func (r *remover) digest(tag string) string {
	r.t.Helper()
	d, err := remote.Head(r.g.reference(r.t.(*testing.T), tag), r.g.as("admin", adminPassword)...)
	if err != nil {
		r.t.Fatal(err)
	}
	return d.Digest.String()
}

// tags wants a repository to have these, as its page lists them by name.
func (r *remover) tags(repository, want string) {
	r.t.Helper()
	if got := strings.Join(r.get("/ui/r/"+repository+"?sort=name&order=asc").all("data-tag"), " "); got != want {
		r.t.Errorf("%s has the tags %q, want %q", repository, got, want)
	}
}

// delete sends the form for some references, of which a digest was shown, and wants what
// becomes of each.
func (r *remover) delete(what, shown, statuses string, refs ...string) {
	r.t.Helper()
	form := url.Values{"what": {what}, "confirm": {refs[0][:strings.IndexAny(refs[0], ":@")]}}
	if len(refs) > 1 {
		form.Set("confirm", fmt.Sprint(len(refs)))
	}
	if shown != "" {
		form.Set("digest", shown)
	}
	p := r.post("/ui/delete?"+url.Values{"ref": refs}.Encode(), form)
	if got := strings.Join(p.all("data-status"), " "); p.status != http.StatusOK || got != statuses {
		r.t.Errorf("%s of %v: %d %q, want %q: %s", what, refs, p.status, got, statuses, p.body)
	}
}
