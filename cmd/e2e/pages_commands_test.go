//go:build clients

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gatehouse/authn/authntest"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// shownCommand is a command as a page shows it.
type shownCommand struct{ client, by, text string }

// commands are those of a page, for one reference.
func (p page) commands() (list []shownCommand) {
	for _, input := range regexp.MustCompile(`<[^>]*data-command="[^>]*>`).FindAllString(p.body, -1) {
		one := page{body: input}
		list = append(list, shownCommand{one.all("data-command")[0], one.all("data-by")[0], one.all("value")[0]})
	}
	return list
}

// TestClientPages: every command on the pages of an image, an artifact and a chart, as it
// is shown, pulls what the page is about.
func TestClientPages(t *testing.T) {
	authntest.Need(t, "podman")
	pair := newKeyPair(t)
	programs := map[string]program{"docker": dockerProgram(t), "podman": podmanProgram(), "crane": craneProgram(t), "oras": orasProgram(t), "helm": helmProgram(t)}
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), TLS: pair, Sections: "ui: {enabled: true}",
		Policy: `  - {allow: [pull], repositories: ["public/**"], to: [everyone]}`})
	v, made := g.visit(t, "test", testPassword), makeGoods(t)
	config, err := made.image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(g.reference(t, "public/app:0.1.0"), made.image, g.as("admin", adminPassword)...); err != nil {
		t.Fatal(err)
	}
	for name, push := range map[string]string{"oras": "push {image} hello.txt", "helm": programs["helm"].push} {
		s := open(t, programs[name], place{g.address, "admin", adminPassword}, pair, "public/"+name, made)
		s.settle(t, "hello.txt", "hello")
		for _, step := range []string{s.login, push} {
			if out, err := s.run(step); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
	}
	for reference, clients := range map[string]string{"public/app:0.1.0": "crane docker oras podman", "public/oras/thing:0.1.0": "oras", "public/helm/thing:0.1.0": "helm oras"} {
		page := v.get("/ui/r/" + reference)
		wants := append(page.all("data-layer"), regexp.MustCompile(`sha256:[0-9a-f]{64}`).FindString(page.body), config.String())
		seen := map[string]bool{}
		for _, c := range page.commands() {
			t.Run(c.text, func(t *testing.T) {
				seen[c.client] = true
				s := open(t, programs[c.client], place{host: g.address}, pair, "public/none", made)
				if out, err := s.run(strings.TrimPrefix(c.text, s.name+" ")); err != nil || !s.has(out, wants) {
					t.Errorf("%v: it pulls none of %s\n%s", err, wants, out)
				}
			})
		}
		for _, client := range strings.Fields(clients) {
			if !seen[client] {
				t.Errorf("%s: no command for %s", reference, client)
			}
		}
	}
}

// has reports whether one of some digests is in what a program says, or in the index or the
// archive that it left behind.
func (s *session) has(said string, digests []string) bool {
	for _, pattern := range []string{"*/index.json", "*.tar"} {
		files, _ := filepath.Glob(filepath.Join(s.vars["home"], pattern)) // fails for bad patterns alone
		for _, file := range files {
			if content, err := os.ReadFile(file); err == nil {
				said += string(content)
			}
		}
	}
	return slices.ContainsFunc(digests, func(d string) bool { return strings.Contains(said, strings.TrimPrefix(d, "sha256:")) })
}
