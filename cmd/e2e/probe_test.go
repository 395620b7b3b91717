package e2e

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// TestProbe: `check --probe-writes` says of a real registry that it keeps blobs
// apart, and leaves no blob behind.
func TestProbe(t *testing.T) { testProbe(t, "docker-registry") }

func testProbe(t *testing.T, program string) {
	for _, tt := range []struct {
		name     string
		registry registrySetup
		behind   string
		prefix   string
	}{
		{name: "plain"},
		{name: "prefix", registry: registrySetup{HTTP: `prefix: /registry/, host: "https://inner.invalid"`}, prefix: "/registry/"},
		{name: "login", registry: registrySetup{Auth: htpasswd(t, "gateway", upstreamPassword)}, behind: "username: gateway, password_file: " + secretFile(t, upstreamPassword)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.registry.Program = program
			reg := startRegistryLike(t, tt.registry)
			rec := startRecorder(t, reg.url())
			config := writeConfig(t, setup{Upstream: rec.url() + tt.prefix, UpstreamKeys: tt.behind, Listen: "127.0.0.1:0", Admin: `""`})
			for range 2 { // a second time in the same repositories
				out, err := exec.Command(binary, "check", "-c", config, "--online", "--probe-writes").CombinedOutput()
				text := string(out)
				if err != nil {
					t.Fatalf("check: %v\n%s", err, text)
				}
				for _, want := range []string{"blob by GET: kept apart", "blob by GET of a part: kept apart", "blob by HEAD: kept apart", "manifest that names it: kept apart",
					"mount with from: works; upstream.blob_mount: auto would save pushes", "mount without from: not supported", "this upstream keeps blobs apart"} {
					if !strings.Contains(text, want) {
						t.Errorf("no %q in\n%s", want, text)
					}
				}
				if strings.Contains(text, "warning: probe") || strings.Contains(text, upstreamPassword) {
					t.Errorf("check printed\n%s", text)
				}
			}
			if tt.behind == "" {
				nothingLeft(t, reg.url()+strings.TrimSuffix(tt.prefix, "/"), rec.sights())
			}
		})
	}
}

// nothingLeft wants the scratch repositories without the manifest and without each
// blob that the registry was seen to take.
func nothingLeft(t *testing.T, url string, seen []sight) {
	t.Helper()
	paths := []string{"/manifests/probe"}
	for _, s := range seen {
		if s.method == http.MethodPut && s.status == http.StatusCreated && s.query.Has("digest") {
			paths = append(paths, "/blobs/"+s.query.Get("digest"))
		}
	}
	if len(paths) != 1+2*3 { // twice: the blob of its owner, and one that each of the others has
		t.Errorf("the registry took %q", paths[1:])
	}
	for _, repository := range []string{"owner", "other", "empty"} {
		for _, path := range paths {
			resp, err := http.Head(url + "/v2/gatehouse-probe/" + repository + path)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusNotFound {
				t.Errorf("%s%s is still there: %d", repository, path, resp.StatusCode)
			}
		}
	}
}
