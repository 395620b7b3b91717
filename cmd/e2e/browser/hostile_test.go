//go:build browser

package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// texts are what must not be more than a text, each in four dresses.
var texts = []string{`<script>document.title="owned"</script>`,
	`<img src=x onerror='document.title="owned"'>`, `"><svg onload=alert(1)>`,
	`' onfocus='alert(1)' autofocus '`, `javascript:alert(1)`,
	`<iframe src="javascript:alert(1)">`, `<style>body{display:none}</style>`, `<base href="//e.example/">`, `<meta http-equiv=refresh content="0;url=//e.example">`, `<form action="//e.example"><button>`,
	`{{.}}`, "</title></textarea></code></pre>", "\u202e\u2066txt.exe", "a\u0000b\u001b[31m", `&lt;b&gt;`}

// TestHostile: 60 texts of the registry stand on the pages as texts.
func TestHostile(t *testing.T) {
	s := newSite(t)
	b := newTab(t, s)
	b.login("root")
	for n, text := range texts {
		for dress, shown := range []string{text, text + text, strings.ToUpper(text), `"'` + text} {
			repository := fmt.Sprintf("hostile/n%d-%d", n, dress)
			image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux",
				Architecture: shown, Author: shown, RootFS: v1.RootFS{Type: "layers"},
				Config: v1.Config{Env: []string{"X=" + shown},
					Labels: map[string]string{shown: shown}, User: shown,
					Entrypoint: []string{shown}}})
			if err != nil {
				t.Fatal(err)
			}
			ref, err := name.ParseReference(s.registry+"/"+repository+":1", name.Insecure)
			if err != nil {
				t.Fatal(err)
			}
			if err := remote.Write(ref, image); err != nil {
				t.Fatal(err)
			}
			b.open("/ui/r/" + repository + ":1")
			if got := eval[string](b, `document.title + " " + document.querySelectorAll("main script, main img, main iframe, main style, main base, main meta").length`); got != repository+":1 · Orchestra Registry 0" {
				t.Errorf("%q: %q", shown, got)
			}
			b.quiet(repository)
		}
	}
}
