//go:build browser

package browser

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// hostile are 60 texts that some page has once taken for more than text.
var hostile = []string{
	`<script>pwned()</script>`, `<ScRiPt>pwned()</sCrIpT>`, `<script src=//evil.example/x></script>`, `<img src=x onerror=pwned()>`, `<svg onload=pwned()>`, `<svg><script>pwned()</script></svg>`,
	`"><script>pwned()</script>`, `'><script>pwned()</script>`, `</title><script>pwned()</script>`, `</textarea><script>pwned()</script>`, `</style><script>pwned()</script>`, `--><script>pwned()</script>`,
	`" onmouseover="pwned()`, `' onfocus='pwned()' autofocus='`, `" autofocus onfocus=pwned() x="`, `javascript:pwned()`, `JaVaScRiPt:pwned()`, `data:text/html,<script>pwned()</script>`, `vbscript:pwned()`,
	`<a href="javascript:pwned()">click</a>`, `<iframe src="javascript:pwned()"></iframe>`, `<iframe srcdoc="<script>parent.pwned()</script>">`, `<object data="javascript:pwned()">`, `<embed src="javascript:pwned()">`,
	`<base href="//evil.example/">`, `<meta http-equiv="refresh" content="0;url=//evil.example/">`, `<link rel=stylesheet href=//evil.example/x>`, `<style>*{display:none}</style>`, `<form action=//evil.example><button>`,
	`<input autofocus onfocus=pwned()>`, `<details open ontoggle=pwned()>`, `<video><source onerror=pwned()>`, `<audio src onerror=pwned()>`, `<marquee onstart=pwned()>`, `<body onload=pwned()>`, `<math><mi xlink:href="javascript:pwned()">`,
	`{{.}}`, `{{printf "%s" .Content}}`, `${pwned()}`, "`${pwned()}`", `#{pwned()}`, `<%= pwned() %>`, `[[pwned()]]`, `{{constructor.constructor('pwned()')()}}`,
	`&lt;script&gt;pwned()&lt;/script&gt;`, `&#60;script&#62;pwned()`, `\u003cscript\u003epwned()`, `\x3cscript\x3epwned()`, `%3Cscript%3Epwned()`, `+ADw-script+AD4-pwned()`,
	"\u202egnp.exe", "\u2066abc\u2069", "a\u0000b", "a\u001b[31mb", "a\u200bb\ufeffc", "a\r\nSet-Cookie: x=y", strings.Repeat("x", 5000), "[link](javascript:pwned())", "![x](x \"onerror=pwned()\")", `<noscript><p title="</noscript><img src=x onerror=pwned()>">`,
}

// evil is a registry that holds nothing but hostile texts.
type evil struct{ content map[string][]byte }

func (e *evil) keep(v any) (digest string, size int) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(body)
	digest = "sha256:" + hex.EncodeToString(sum[:])
	e.content[digest] = body
	return digest, len(body)
}

type object = map[string]any

func newEvil() *evil {
	e := &evil{content: map[string][]byte{}}
	marks, ports, history, layers, env := object{}, object{}, []object{}, []object{}, []string{}
	for i, text := range hostile {
		marks[fmt.Sprintf("%02d%s", i, text)] = text
		ports[text] = object{}
		env = append(env, text)
		history = append(history, object{"created_by": text})
		layers = append(layers, object{"mediaType": text, "digest": "sha256:" + strings.Repeat(fmt.Sprintf("%02x", i), 32), "size": 7, "annotations": object{"org.opencontainers.image.title": text}})
	}
	all := strings.Join(hostile[:50], " ")
	config, size := e.keep(object{"os": all, "architecture": all, "created": all, "author": all, "history": history,
		"config": object{"User": all, "Env": env, "Entrypoint": env, "Cmd": env, "WorkingDir": all, "ExposedPorts": ports, "Volumes": ports, "Labels": marks}})
	image, _ := e.keep(object{"mediaType": ociManifest, "annotations": marks, "layers": layers, "config": object{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": size}})
	artifact, _ := e.keep(object{"mediaType": ociManifest, "artifactType": all, "annotations": marks, "layers": layers})
	index := []object{}
	for _, text := range hostile {
		index = append(index, object{"mediaType": ociManifest, "digest": image, "size": 7, "platform": object{"os": text, "architecture": text, "variant": text}})
	}
	list, _ := e.keep(object{"mediaType": ociIndex, "manifests": index})
	e.content["image"], e.content["artifact"], e.content["index"] = e.content[image], e.content[artifact], e.content[list]
	e.content["foreign"], _ = json.Marshal(object{"mediaType": hostile[0], "text": hostile})
	return e
}

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
)

func (e *evil) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reference := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	body, found := e.content[reference]
	switch {
	case r.URL.Path == "/v2/":
	case r.URL.Path == "/v2/_catalog":
		json.NewEncoder(w).Encode(object{"repositories": append([]string{"team/evil"}, hostile...)})
	case strings.HasSuffix(r.URL.Path, "/tags/list"):
		json.NewEncoder(w).Encode(object{"name": hostile[0], "tags": append([]string{"image", "artifact", "index", "foreign"}, hostile...)})
	case strings.Contains(r.URL.Path, "/referrers/"):
		var list []object
		for i, text := range hostile {
			list = append(list, object{"mediaType": ociManifest, "digest": "sha256:" + strings.Repeat(fmt.Sprintf("%02x", i), 32), "size": 7, "artifactType": text})
		}
		json.NewEncoder(w).Encode(object{"manifests": list})
	case !found:
		w.WriteHeader(http.StatusNotFound)
		json.NewEncoder(w).Encode(object{"errors": []object{{"code": hostile[0], "message": strings.Join(hostile, " ")}}})
	default:
		w.Header().Set("Content-Type", ociManifest)
		if reference == "index" {
			w.Header().Set("Content-Type", ociIndex)
		} else if reference == "foreign" {
			w.Header().Set("Content-Type", "text/x-foreign")
		}
		w.Write(body)
	}
}

// TestHostileTexts: what people push and say is shown as text, and is nothing else.
func TestHostileTexts(t *testing.T) {
	if len(hostile) < 60 {
		t.Fatalf("%d texts", len(hostile))
	}
	b := newTab(t, siteBefore(t, newEvil(), false))
	dialogs := make(chan string, 100)
	if err := chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*page.EventJavascriptDialogOpening); ok {
			dialogs <- e.Message
		}
	}); err != nil {
		t.Fatal(err)
	}
	b.login("root")
	scripts := eval[int](b, `document.scripts.length`)
	for path, shows := range map[string]bool{"/ui/": false, "/ui/?q=%3Cscript%3Epwned()%3C/script%3E": false, "/ui/r/team/evil?sort=name": true, "/ui/r/team/evil?q=%22%3E%3Cscript%3Epwned()": false, "/ui/r/team/evil:image": true,
		"/ui/r/team/evil:artifact": true, "/ui/r/team/evil:index": true, "/ui/r/team/evil:foreign": false, "/ui/r/team/evil:none": false, "/ui/delete?ref=team/evil:image": false, "/ui/r/team/evil:image?raw=manifest": false} {
		b.open(path)
		if got := eval[string](b, `typeof pwned + (location.origin === `+quote(b.site.url)+` ? "" : location.href)`); got != "undefined" {
			t.Errorf("%s: %s", path, got)
		}
		if !strings.Contains(path, "raw=") {
			if got := eval[int](b, `document.scripts.length`); got != scripts {
				t.Errorf("%s: %d scripts", path, got)
			}
			if got := eval[int](b, `document.querySelectorAll("iframe, object, embed, base, video, audio, marquee, math, style, [onload], [onerror], [onfocus], [ontoggle], [onmouseover], a[href^='javascript:' i]").length`); got != 0 {
				t.Errorf("%s: %d elements that nobody wrote", path, got)
			}
		}
		if shows {
			text := eval[string](b, `document.body.textContent`)
			if strings.Contains(path, "sort=name") { // which has two pages
				b.open(path + "&page=2")
				text += eval[string](b, `document.body.textContent`)
			}
			for _, one := range hostile {
				if printable(one) && !strings.Contains(text, one) {
					t.Errorf("%s does not show %s", path, one)
				}
				if !printable(one) && strings.Contains(text, one) {
					t.Errorf("%s shows %q as it is", path, one)
				}
			}
		}
		b.quiet(path)
	}
	select {
	case text := <-dialogs:
		t.Errorf("a dialog: %s", text)
	default:
	}
}

// printable reports whether a text is shown whole and as it is: one that is longer is cut, and
// what changes how other text looks is escaped.
func printable(text string) bool {
	return len(text) < 4<<10 && !strings.ContainsFunc(text, func(c rune) bool { return c != ' ' && !unicode.IsPrint(c) })
}
