package ui

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authz"
	"gatehouse/proxy/route"
	"gatehouse/proxy/ui/browse"
)

func sha(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(sum[:])
}

type object = map[string]any

const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// store puts something into the registry itself, past the pages.
func (s *site) store(method, target, media string, body []byte) *http.Response {
	s.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(string(body)))
	r.Header.Set("Content-Type", media)
	w := httptest.NewRecorder()
	s.shelf.handler.ServeHTTP(w, r)
	if w.Code >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
	return w.Result()
}

func (s *site) blob(repository string, body []byte) object {
	s.t.Helper()
	location := s.store("POST", "/v2/"+repository+"/blobs/uploads/", "", nil).Header.Get("Location")
	s.store("PUT", location+"?digest="+sha(body), "application/octet-stream", body)
	return object{"digest": sha(body), "size": len(body)}
}

// push stores an image under some tags, and returns its digest.
func (s *site) push(repository string, config, extra object, tags ...string) string {
	s.t.Helper()
	text, err := json.Marshal(config)
	if err != nil {
		s.t.Fatal(err)
	}
	c, layer := s.blob(repository, text), s.blob(repository, []byte("layer of "+string(text)))
	c["mediaType"], layer["mediaType"] = configType, layerType
	manifest := object{"schemaVersion": 2, "mediaType": manifestType, "config": c, "layers": []object{layer}}
	for key, value := range extra {
		manifest[key] = value
	}
	body, err := json.Marshal(manifest)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, tag := range append(tags, sha(body)) {
		s.store("PUT", "/v2/"+repository+"/manifests/"+tag, manifestType, body)
	}
	s.memory.Pushed("default", repository)
	return sha(body)
}

func configOf(text string) object {
	return object{"os": "linux", "architecture": "amd64", "created": time.Now().Add(-50 * time.Hour).UTC().Format(time.RFC3339),
		"author": text,
		"config": object{"Env": []string{"SECRET=" + text}, "Labels": object{"label": text},
			"User": text, "Entrypoint": []string{"/bin/x", "a b"}, "ExposedPorts": object{"80/tcp": object{}}},
		"history": []object{{"created_by": "RUN " + text}}, "rootfs": object{"type": "layers",
			"diff_ids": []string{sha([]byte("x"))}}}
}

// TestRepositories: what each visitor sees, and that a page that is not for them is the
// login to strangers and a 404 to others, whether it is there or not.
func TestRepositories(t *testing.T) {
	s := newSite(t, nil)
	for _, name := range []string{"team/app", "team/tools/lint", "public/base", "secret/plans"} {
		s.push(name, configOf("x"), nil, "1")
	}
	want(t, "a stranger", s.get("/ui/"), 200, "", `data-folder="public"`, "!team", "!secret", "Log in")
	want(t, "a stranger's level", s.get("/ui/r/public/"), 200, "", `<tr data-repository="public/base" data-rights="pull">`,
		`data-total="1"`, `data-page="folder"`)
	for _, target := range []string{"/ui/r/secret/plans", "/ui/r/not/there",
		"/ui/r/secret/", "/ui/r/secret/plans:1", "/ui/me2"} {
		status, to := 303, "/ui/login?next="+url.QueryEscape(target)
		if target == "/ui/me2" {
			status, to = 404, ""
		}
		want(t, "a stranger at "+target, s.get(target), status, to)
	}
	s.login("alice")
	want(t, "alice", s.get("/ui/"), 200, "", `data-folder="team"`, "2 repositories",
		`data-folder="public"`, "!secret", `data-total="2"`)
	want(t, "alice's level", s.get("/ui/r/team/"), 200, "", `data-repository="team/app" data-rights="pull,push"`,
		`data-folder="team/tools"`)
	want(t, "a search", s.get("/ui/?q=lin"), 200, "", `team/tools/<mark>lin</mark>t`,
		`data-total="1"`, `data-rights="pull,push,delete"`)
	want(t, "where she may delete", s.get("/ui/?rights=delete&q=t"),
		200, "", `!data-repository="team/app"`, "lint")
	want(t, "no hits", s.get("/ui/?q=%3Cb%3E"), 200, "", "“&lt;b&gt;”", "Show all", `data-total="0"`)
	absentPage := bodyOf(t, s.get("/ui/r/not/there"))
	if hidden := bodyOf(t, s.get("/ui/r/secret/plans")); strings.ReplaceAll(hidden, "secret%2Fplans", "not%2Fthere") != strings.ReplaceAll(absentPage, "x", "x") && !strings.Contains(hidden, absent) {
		t.Errorf("what is hidden looks otherwise than what is not there:\n%s\n%s", hidden, absentPage)
	}
	want(t, "hidden", s.get("/ui/r/secret/plans"), 404, "", absent)
	if s.last.Seen.Decision != "denied" || s.last.Seen.Action != "pull" || s.last.Seen.Repository != "secret/plans" {
		t.Errorf("%+v", s.last.Seen)
	}
	s.login("carol")
	want(t, "carol", s.get("/ui/"), 200, "", `data-folder="public"`, "!team")
}

// TestTagsPage: the table and what stands around it.
func TestTagsPage(t *testing.T) {
	s := newSite(t, func(c *Config) { c.PageSize = 10 })
	first := s.push("team/app", configOf("one"), nil, "1.2", "stable")
	for _, tag := range []string{"1.9", "1.10", "1.10-rc1", "sha256-abc.sig"} {
		s.push("team/app", configOf(tag), nil, tag)
	}
	s.login("alice")
	page := bodyOf(t, s.get("/ui/r/team/app"))
	for _, text := range []string{`data-page="repository"`, `data-tag="1.2" data-digest="` + first + `"`,
		"c.yaml:2", `data-command="docker" data-by="tag"`, `value="docker pull registry.example.com/team/app:1.10"`,
		"Show 1 signature tag", "linux/amd64", "2 days ago", `title="` + first + `"`, `value="team/app:1.10"`, `data-total="5"`, `aria-sort="descending"`, "also <a"} {
		if !strings.Contains(page, text) {
			t.Errorf("no %s", text)
		}
	}
	if strings.Contains(page, "sha256-abc") || strings.Contains(page, `value="team/app:stable"`) {
		t.Error("a signature's tag is shown, or a protected tag can be chosen")
	}
	if order := tagsOf(page); strings.Join(order, " ") != "stable 1.10 1.10-rc1 1.9 1.2" {
		t.Error(order)
	}
	want(t, "all", s.get("/ui/r/team/app?show=all"), 200, "", `data-tag="sha256-abc.sig"`,
		"Hide 1 signature tag")
	if order := tagsOf(bodyOf(t, s.get("/ui/r/team/app?sort=name&order=asc"))); strings.Join(order, " ") != "1.10 1.10-rc1 1.2 1.9 stable" {
		t.Error(order)
	}
	want(t, "by a part", s.get("/ui/r/team/app?q=rc"), 200, "", `data-total="1"`, "1.10-rc1")
	r := httptest.NewRequest("GET", "/ui/r/team/app", nil)
	r.Header.Set("Accept", "application/json")
	want(t, "as JSON", s.ask(r), 200, "", `"tag":"1.10","state":"ready","platforms":"linux/amd64"`,
		`"built":"2 days ago"`)
	for i := range 10 {
		s.push("team/app", configOf(fmt.Sprint(i)), nil, fmt.Sprintf("0.%d", i))
	}
	want(t, "the second page", s.get("/ui/r/team/app?page=2"), 200,
		"", "11 to 15 of 15", `href="/ui/r/team/app" rel="prev"`, "Page 2 of 2")
	s.reload(func(c *Config) { c.Delete = false })
	want(t, "delete is off", s.get("/ui/r/team/app"), 200, "", "!type=\"checkbox\"")
}

// TestSignaturesAlone: a repository that holds nothing but signatures says so, and leads to them.
func TestSignaturesAlone(t *testing.T) {
	s := newSite(t, nil)
	s.push("team/app", configOf("one"), nil, "sha256-abc.sig")
	s.login("alice")
	want(t, "the page", s.get("/ui/r/team/app"), 200, "", "There are only signature tags here.", `<a class="button" href="/ui/r/team/app?show=all">Show all</a>`, `data-total="0"`, "!in its name", "!data-tag=")
	want(t, "all", s.get("/ui/r/team/app?show=all"), 200, "", `data-tag="sha256-abc.sig"`, "!There are only signature tags here.")
	want(t, "a search", s.get("/ui/r/team/app?q=x"), 200, "", "No tag has “x” in its name.", `href="/ui/r/team/app">Show all`)
}

// TestIndexOfParts: what an index holds beside images for platforms is listed by its digest.
func TestIndexOfParts(t *testing.T) {
	s := newSite(t, nil)
	one := s.push("team/app", configOf("one"), nil, "1")
	index := func(tag string, manifests ...object) {
		if manifests == nil {
			manifests = []object{}
		}
		body, err := json.Marshal(object{"schemaVersion": 2, "mediaType": indexType, "manifests": manifests})
		if err != nil {
			t.Fatal(err)
		}
		s.store("PUT", "/v2/team/app/manifests/"+tag, indexType, body)
	}
	bare := object{"mediaType": manifestType, "digest": one, "size": 400}
	index("bare", bare)
	index("empty")
	index("mixed", bare, object{"mediaType": manifestType, "digest": one, "size": 400, "platform": object{"os": "linux", "architecture": "arm64"}})
	index("odd", object{"mediaType": manifestType, "digest": one, "size": 9,
		"platform": object{"os": "unknown", "architecture": "unknown"}, "annotations": object{"vnd.docker.reference.type": "attestation-manifest"}})
	s.memory.Pushed("default", "team/app")
	s.login("alice")
	const part, none = `<li data-part="`, "This index names no platform"
	want(t, "no platform", s.get("/ui/r/team/app:bare"), 200, "", none+": each part is pulled by its digest", part+one+`"`, `href="/ui/r/team/app@`+one+`"`, "400 B", "vnd.oci.image.manifest.v1", "What it holds", "!data-platform")
	want(t, "nothing", s.get("/ui/r/team/app:empty"), 200, "", none+".", "!"+part)
	want(t, "both", s.get("/ui/r/team/app:mixed"), 200, "", "Also in it", part+one+`"`, `data-platform="linux/arm64"`, "!"+none)
	want(t, "an attestation alone", s.get("/ui/r/team/app:odd"), 200, "", none+". It has 1 attestation.", "!"+part, "!unknown/unknown")
	want(t, "no index", s.get("/ui/r/team/app:1"), 200, "", "!"+none, "!What it holds")
}

// TestNamesInCommands: a name that a shell would read otherwise is quoted where it is to be copied.
func TestNamesInCommands(t *testing.T) {
	s, desk := newTokenSite(t)
	var err error
	if desk.Makers, err = authz.NewAudience([]string{"directory:local"}, []string{"local"}, nil); err != nil {
		t.Fatal(err)
	}
	s.reload(nil)
	s.login("mary&ann;id")
	quoted := html.EscapeString("docker login -u 'mary&ann;id' registry.example.com")
	want(t, "help", s.get("/ui/help"), 200, "", `value="`+quoted+`"`, html.EscapeString("crane auth login -u 'mary&ann;id' --password-stdin"), html.EscapeString("--docker-username='mary&ann;id'"), "!-u mary", "!username=mary")
	want(t, "beside a token", s.post("/ui/me/tokens", "name", "x", "pull", "on"), 200, "", `value="`+quoted+`"`)
}

// TestManyRows: no more are chosen with one click than can be deleted at once.
func TestManyRows(t *testing.T) {
	s := newSite(t, func(c *Config) { c.PageSize = 200 })
	var tags []string
	for i := range 101 {
		tags = append(tags, "Build-"+fmt.Sprint(i))
	}
	s.push("team/app", configOf("one"), nil, tags[:100:100]...)
	s.login("root")
	want(t, "a hundred", s.get("/ui/r/team/app"), 200, "", "choose all on this page", "!at once at most")
	s.push("team/app", configOf("one"), nil, tags[100])
	want(t, "one more", s.get("/ui/r/team/app"), 200, "", "choose the first 100", "100 at once at most", "!choose all on")
	want(t, "small for capital", s.get("/ui/r/team/app?q=build-10"), 200, "", `data-total="2"`, `data-tag="Build-100"`)
	want(t, "a folder's count stands with its name", s.get("/ui/"), 200, "", `team/</a> <small class="soft">1 repository</small></td>`)
	digest := s.push("team/app", configOf("two"), nil, "two")
	want(t, "the tag of a digest", s.post("/ui/delete?ref=team/app@"+digest, "what", "tag", "confirm", "team/app", "digest", digest), 200, "",
		`data-status="unsupported"`, "a digest is the image itself", "!cannot remove a tag alone")
}

// TestUnreadable: what is of a known type and cannot be read is not said to be of an unknown one.
func TestUnreadable(t *testing.T) {
	s := newSite(t, nil)
	s.push("team/app", configOf("one"), nil, "1")
	for media, text := range map[string]string{manifestType: "It cannot be read here, so", "application/x-odd": "so this is all that is known of it"} {
		broken := []byte("[1]")
		s.shelf.set(nil, func(w http.ResponseWriter, rt route.Route) bool {
			if rt.Repository != "team/app" || rt.Kind != route.Manifest {
				return false
			}
			w.Header().Set("Content-Type", media)
			w.Header().Set("Docker-Content-Digest", sha(broken))
			_, _ = w.Write(broken)
			return true
		})
		s.memory.Pushed("default", "team/app")
		s.login("alice")
		want(t, media, s.get("/ui/r/team/app:1"), 200, "", text, "!Its type is not known here, so")
	}
}

// TestTagsOfKinds: the commands of a repository's page are those of the client that can pull it.
func TestTagsOfKinds(t *testing.T) {
	s := newSite(t, nil)
	chart := s.blob("team/chart", []byte(`{"name":"chart"}`))
	chart["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
	s.push("team/chart", object{}, object{"config": chart}, "1.0")
	s.push("team/report", object{}, object{"artifactType": "application/spdx+json"}, "1.0")
	s.login("alice")
	want(t, "a chart's raw views", s.get("/ui/r/team/chart:1.0"), 200, "", "?raw=manifest", "?raw=config")
	if raw := s.get("/ui/r/team/chart:1.0?raw=config"); raw.Header.Get("Content-Security-Policy") != sandbox || bodyOf(t, raw) != `{"name":"chart"}` {
		t.Errorf("a chart's own words: %v", raw)
	}
	want(t, "a chart", s.get("/ui/r/team/chart"), 200, "", `value="helm pull oci://registry.example.com/team/chart --version 1.0" data-command="helm"`,
		`data-copy="helm pull oci://registry.example.com/team/chart --version 1.0" aria-label="Copy: helm`, "!docker pull")
	want(t, "an artifact", s.get("/ui/r/team/report"), 200, "", `value="oras pull registry.example.com/team/report:1.0" data-command="oras"`, `data-copy="oras pull registry.example.com/team/report:1.0"`,
		"!docker pull")
}

var dataTag = regexp.MustCompile(`data-tag="([^"]+)"`)

func tagsOf(page string) (tags []string) {
	for _, m := range dataTag.FindAllStringSubmatch(page, -1) {
		tags = append(tags, m[1])
	}
	return tags
}

// TestImagePage: what one image shows, and its documents as they are.
func TestImagePage(t *testing.T) {
	s := newSite(t, nil)
	digest := s.push("team/app", configOf("words"), object{"annotations": object{"note": "by hand"}}, "1.0")
	s.push("team/app", object{}, object{"artifactType": "application/spdx+json",
		"subject": object{"mediaType": manifestType, "digest": digest,
			"size": 10}})
	s.login("alice")
	ref := "registry.example.com/team/app"
	want(t, "by tag", s.get("/ui/r/team/app:1.0"), 200, "", `data-page="image"`,
		`value="docker pull `+ref+`:1.0" data-command="docker" data-by="tag"`,
		`value="podman pull `+ref+`@`+digest+`" data-command="podman" data-by="digest"`,
		`data-command="crane"`, `data-command="oras"`, "compressed", "Author", "&#39;a b&#39;", "80/tcp", `<li data-layer="sha256:`, "RUN words", "may hold secrets", "SECRET=words", "by hand", `data-referrer=`, `data-artifact-type="application/vnd.oci.image.config`)
	want(t, "by digest", s.get("/ui/r/team/app@"+digest), 200, "", `data-by="digest"`, `!data-by="tag"`)
	want(t, "absent", s.get("/ui/r/team/app:2.0"), 404, "", absent)
	want(t, "another platform", s.get("/ui/r/team/app:1.0?platform=windows/amd64"), 404, "", absent)
	raw := s.get("/ui/r/team/app:1.0?raw=manifest")
	if raw.Header.Get("Content-Security-Policy") != sandbox || raw.Header.Get("Content-Type") != "text/plain; charset=utf-8" || raw.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", raw.Header)
	}
	want(t, "raw", raw, 200, "", `"mediaType":"`+manifestType+`"`)
	want(t, "raw config", s.get("/ui/r/team/app:1.0?raw=config"), 200, "", `"author":"words"`)
}

// TestDeletePage: what would go, the confirmation, and what became of it.
func TestDeletePage(t *testing.T) {
	s := newSite(t, nil)
	digest := s.push("team/app", configOf("one"), nil, "1", "2")
	other := s.push("team/app", configOf("two"), nil, "3", "stable")
	want(t, "a stranger", s.get("/ui/delete?ref=team/app:1"), 303, "/ui/login?next=%2Fui%2Fdelete%3Fref%3Dteam%252Fapp%253A1")
	want(t, "a stranger's form", s.post("/ui/delete?ref=team/app:1",
		"what", "image", "confirm", "team/app"), 303, "/ui/login?next=%2Fui%2Fdelete%3Fref%3Dteam%252Fapp%253A1")
	s.login("alice")
	want(t, "the page", s.get("/ui/delete?ref=team/app:1"), 200, "",
		`data-page="delete"`, digest, "<code>1</code>, <code>2</code>",
		"4 of 4 tags checked", `name="what" value="tag"`, "garbage collection")
	want(t, "the tag alone", s.get("/ui/delete?ref=team/app:3"), 200, "", "Not the image</dt><dd>the rule <code>c.yaml:5</code> denies it; you may remove the tag alone", `!value="image"`)
	want(t, "a protected tag", s.get("/ui/delete?ref=team/app:stable"),
		200, "", "c.yaml:5", `!<form method="post" action="/ui/delete`)
	want(t, "another's", s.get("/ui/delete?ref=secret/app:1"), 404, "", absent)
	want(t, "another's form", s.post("/ui/delete?ref=secret/app:1", "what", "image", "confirm", "secret/app"), 404, "", absent, "!data-status", "!c.yaml")
	if seen := s.last.Seen; seen.Decision != "denied" || seen.Action != "pull" || seen.Repository != "secret/app" || seen.Reference != "1" || !seen.Tag {
		t.Errorf("seen of another's: %+v", seen)
	}
	want(t, "another's form, a wrong word", s.post("/ui/delete?ref=secret/app:1", "what", "image", "confirm", "x"), 404, "", absent)
	want(t, "others' forms", s.post("/ui/delete?ref=secret/app:1&ref=none@"+digest, "what", "tag", "confirm", "2"), 404, "", absent)
	want(t, "another's beside", s.post("/ui/delete?ref=secret/app:1&ref=team/app:9", "what", "tag", "confirm", "2"), 200, "",
		`data-ref="secret/app:1" data-status="absent"`, `data-ref="team/app:9" data-status="absent"`, "!c.yaml")
	want(t, "what is not there", s.get("/ui/delete?ref=team/app:9"), 404, "", absent)
	want(t, "nothing", s.get("/ui/delete"), 404, "", absent)
	want(t, "no reference", s.get("/ui/delete?ref=team/app"), 400, "")
	for _, confirm := range []string{"", "team", "team/app:1", "Team/App"} {
		want(t, "a wrong word", s.post("/ui/delete?ref=team/app:1",
			"what", "image", "confirm", confirm, "digest", digest),
			422, "", `data-error="UNSUPPORTED"`, "Nothing was deleted")
	}
	want(t, "no choice", s.post("/ui/delete?ref=team/app:1", "confirm",
		"team/app"), 422, "", "Nothing was deleted")
	want(t, "another number", s.post("/ui/delete?ref=team/app:1&ref=team/app:3",
		"what", "image", "confirm", "1"), 422, "")
	want(t, "the image with a protected repository", s.post("/ui/delete?ref=team/app:1",
		"what", "image", "confirm", "team/app", "digest", digest), 200,
		"", `data-status="denied"`, "c.yaml:5")
	if want := []string{"secret/app 1 ", "team/app 1 c.yaml:5"}; !slices.Equal(s.shelf.refused, want) {
		t.Errorf("noted as refused: %q", s.shelf.refused)
	}
	s.shelf.refused = nil
	s.login("root")
	want(t, "a moved tag", s.post("/ui/delete?ref=team/app:1", "what",
		"image", "confirm", "team/app", "digest", other), 200, "", `data-ref="team/app:1" data-status="moved"`)
	if len(s.shelf.deleted) > 0 {
		t.Errorf("deleted: %v", s.shelf.deleted)
	}
	s.shelf.set(nil, func(w http.ResponseWriter, rt route.Route) bool {
		if rt.Method == http.MethodDelete && rt.Tag {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return true
		}
		return false
	})
	want(t, "a registry that cannot", s.post("/ui/delete?ref=team/app:1",
		"what", "tag", "confirm", "team/app", "digest", digest), 200,
		"", `data-status="unsupported"`, "Delete the images instead",
		"/ui/delete?ref=team%2Fapp%3A1")
	s.shelf.set(nil, func(w http.ResponseWriter, rt route.Route) bool {
		if rt.Method == http.MethodDelete {
			w.WriteHeader(http.StatusAccepted)
		}
		return rt.Method == http.MethodDelete
	})
	s.login("root")
	want(t, "many", s.post("/ui/delete?ref=team/app:1&ref=team/app:2&ref=team/app:stable",
		"what", "image", "confirm", "3", "digest", digest, "digest",
		digest, "digest", other), 200, "",
		`data-ref="team/app:1" data-status="deleted"`, `data-ref="team/app:2" data-status="along"`, `data-ref="team/app:stable" data-status="deleted"`)
	s.reload(func(c *Config) { c.Delete = false })
	want(t, "off", s.get("/ui/delete?ref=team/app:1"), 404, "", absent)
	want(t, "off", s.post("/ui/delete?ref=team/app:1", "what", "image",
		"confirm", "team/app"), 404, "", absent)
}

// TestDeleteBroken: where the registry shows nothing of what is to go the page is an error; where
// it shows a part, the rest is said beside it.
func TestDeleteBroken(t *testing.T) {
	s := newSite(t, nil)
	s.push("team/app", configOf("one"), nil, "1", "2")
	s.login("root")
	const page, both = "/ui/delete?ref=team/app:1", "/ui/delete?ref=team/app:1&ref=team/app:2"
	for _, c := range []struct {
		what, target string
		fault        error
		status       int // of the registry's answers; 0: its own
		of           string
		want         int
		texts        []string
	}{
		{"no connection", page, errors.New("refused"), 0, "", 502, []string{`data-error="UNAVAILABLE"`, `data-page="error"`}},
		{"no connection, of two", both, errors.New("refused"), 0, "", 502, []string{`data-error="UNAVAILABLE"`}},
		{"no answer in time", page, browse.ErrSlow, 0, "", 504, []string{`data-error="UNAVAILABLE"`, "takes too long"}},
		{"a fault of its own", page, nil, 500, "", 502, []string{`data-error="UNAVAILABLE"`, "cannot be read"}},
		{"a login wanted", both, nil, 401, "", 502, []string{`data-error="UNAVAILABLE"`}},
		{"of one of two", both, nil, 500, "2", 200, []string{`data-ref="team/app:1" data-state="ready"`, `data-ref="team/app:2" data-state="failed"`, "cannot be deleted now"}},
		{"gone", both, nil, 404, "", 404, []string{absent}},
	} {
		s.shelf.set(c.fault, func(w http.ResponseWriter, rt route.Route) bool {
			if c.status == 0 || c.of != "" && rt.Reference != c.of {
				return false
			}
			w.WriteHeader(c.status)
			return true
		})
		want(t, c.what, s.get(c.target), c.want, "", c.texts...)
		if c.want >= 500 {
			want(t, c.what+", a wrong word", s.post(c.target, "what", "image", "confirm", "no"), 422, "", "Nothing was deleted", `data-error="UNSUPPORTED"`)
			want(t, c.what+", the form", s.post(page, "what", "image", "confirm", "team/app"), 200, "", `data-status="failed"`, "is not known")
		}
	}
}

// TestDeleteNotShown: what the page could not show is not deleted by its form, once the registry is
// well again; a form without digests, which shows nothing, deletes what it names.
func TestDeleteNotShown(t *testing.T) {
	s := newSite(t, nil)
	one := s.push("team/app", configOf("one"), nil, "1")
	two := s.push("team/app", configOf("two"), nil, "2")
	s.login("root")
	const both = "/ui/delete?ref=team/app:1&ref=team/app:2"
	s.shelf.set(nil, func(w http.ResponseWriter, rt route.Route) bool {
		if rt.Reference == "1" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		return rt.Reference == "1"
	})
	want(t, "the page", s.get(both), 200, "", "cannot be deleted now", `name="digest" value=""`, `name="digest" value="`+two+`"`)
	s.shelf.set(nil, func(w http.ResponseWriter, rt route.Route) bool {
		if rt.Method == http.MethodDelete {
			w.WriteHeader(http.StatusAccepted)
		}
		return rt.Method == http.MethodDelete
	})
	for _, what := range []string{"image", "tag"} {
		s.shelf.deleted = nil
		want(t, what, s.post(both, "what", what, "confirm", "2", "digest", "", "digest", two), 200, "", `data-ref="team/app:1" data-status="moved"`,
			"did not say which image it is", `data-ref="team/app:2" data-status="deleted"`)
		if len(s.shelf.deleted) != 1 || strings.HasSuffix(s.shelf.deleted[0], " 1") || strings.HasSuffix(s.shelf.deleted[0], one) {
			t.Errorf("%s: deleted %q", what, s.shelf.deleted)
		}
	}
	want(t, "one alone", s.post("/ui/delete?ref=team/app@"+one, "what", "image", "confirm", "team/app", "digest", ""), 200, "", `data-status="moved"`)
	want(t, "no digest", s.post("/ui/delete?ref=team/app:1", "what", "image", "confirm", "team/app"), 200, "", `data-status="deleted"`)
}

// hostile are texts that must not be more than texts (I7).
var hostile = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`'><svg onload=alert(1)>`,
	`javascript:alert(1)`,
	`{{.}}`,
	`<!--`,
	`-->`,
	`]]>`,
	`</textarea><script>`,
	`</title><script>`,
	`" autofocus onfocus=alert(1) x="`,
	`' onmouseover='alert(1)`,
	"`${alert(1)}`",
	`&lt;script&gt;`,
	`&#60;script&#62;`,
	`<iframe srcdoc="x">`,
	`<a href="javascript:alert(1)">x</a>`,
	`<base href="//e">`,
	`<meta http-equiv=refresh content="0;url=//e">`,
	`<style>*{display:none}</style>`,
	"\u202eabc",
	"\u2066abc\u2069",
	"a\x00b",
	"a\x1bb",
	"a\u200bb",
	"<\u0000script>",
	"\ufeffx",
	"a\r\nSet-Cookie: x=y",
	"%3Cscript%3E",
	`\u003cscript\u003e`,
}

// TestHostileTexts: from the registry and from the form they are shown as texts.
func TestHostileTexts(t *testing.T) {
	s := newSite(t, nil)
	s.login("alice")
	for i, text := range hostile {
		name := fmt.Sprintf("team/h%d", i)
		config := configOf(text)
		config["os"] = text
		s.push(name, config, object{"annotations": object{text: text}, "artifactType": text}, "t")
		pages := map[string]string{"image": bodyOf(t, s.get("/ui/r/"+name+":t")),
			"tags": bodyOf(t, s.get("/ui/r/"+name))}
		if !strings.ContainsAny(text, "\x00\r\x1b") {
			pages["search"] = bodyOf(t, s.get("/ui/?q="+url.QueryEscape(text)))
		}
		for where, page := range pages {
			if strings.ContainsAny(text, `<"'`) && strings.Contains(strings.TrimPrefix(page, "<!doctype html>"), text) {
				t.Errorf("%s: %q stands there as it is", where, text)
			}
			if strings.ContainsAny(page, "\u202e\u2066\u2069\x00\x1b\u200b\ufeff") && where != "search" {
				t.Errorf("%s: %q can hide or turn around what stands there", where, text)
			}
		}
		if shown := html.EscapeString(plain(text)); !strings.Contains(strings.ReplaceAll(pages["image"], "&#43;", "+"), shown) && !strings.ContainsAny(text, "\r`") {
			t.Errorf("the image's page does not show %q", shown)
		}
	}
}
