package browse

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/authn/authntest"
	"gatehouse/authz"
	"gatehouse/proxy/route"
)

// real is a registry of the world, behind a policy.
type real struct {
	*double
	base string
}

// Ask is Registry's.
func (r *real) Ask(ctx context.Context, c Caller, rt route.Route, header http.Header) (*Answer, error) {
	if found := r.policy.Decide(c.Identity, authz.Request{Repository: rt.Need.Repository, Action: rt.Need.Action, Tags: rt.Tags, Source: c.Source}); !found.Allowed {
		return nil, &Denied{found.Rule}
	}
	q, err := http.NewRequestWithContext(ctx, rt.Method, r.base+rt.Target(), nil)
	if err != nil {
		return nil, err
	}
	if header != nil {
		q.Header = header
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, err
	}
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: resp.Body}, nil
}

// startReal runs Debian's docker-registry, 2.8.2.
func startReal(t *testing.T, rules []authz.Rule, deletes bool) *real {
	t.Helper()
	authntest.Need(t, "docker-registry")
	address, config := authntest.FreeAddress(t), filepath.Join(t.TempDir(), "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage:\n  filesystem: {rootdirectory: %q}\n  delete: {enabled: %t}\nhttp: {addr: %q}\n",
		t.TempDir(), deletes, address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	registry := exec.Command(authntest.Program("docker-registry"), "serve", config)
	registry.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	if err := authntest.Start(t, registry).Await(20*time.Second, func() bool { return authntest.Listening(address) }); err != nil {
		t.Fatal(err)
	}
	return &real{newDouble(t, rules...), "http://" + address}
}

// fill pushes all that the double holds.
func (r *real) fill(t *testing.T) {
	t.Helper()
	for name, c := range r.repositories {
		for digest, b := range c.blobs {
			if b.mediaType == "application/octet-stream" {
				r.push(t, http.MethodPost, name+"/blobs/uploads/?digest="+digest, b)
			}
		}
		for tag, digest := range c.tags {
			r.push(t, http.MethodPut, name+"/manifests/"+tag, c.blobs[digest])
		}
	}
}

func (r *real) push(t *testing.T, method, path string, b blob) {
	t.Helper()
	target := r.base + "/v2/" + path
	if method == http.MethodPost { // as an upload in one piece, begun and ended
		resp, err := http.Post(r.base+"/v2/"+path[:bytes.IndexByte([]byte(path), '?')], "", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		method, target = http.MethodPut, resp.Header.Get("Location")+"&"+path[bytes.IndexByte([]byte(path), '?')+1:]
	}
	q, err := http.NewRequest(method, target, bytes.NewReader(b.body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", b.mediaType)
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s %s: %s", method, target, resp.Status)
	}
}

// small stores an image whose layer is there as well.
func (r *real) small(name, tag, platform string) string {
	layer := r.put(name, "application/octet-stream", []byte(platform+tag))
	config := r.put(name, "application/octet-stream", asJSON(object{"os": "linux", "architecture": platform, "created": someDay.Format(time.RFC3339)}))
	return r.tag(name, tag, r.put(name, typeManifest, asJSON(object{"schemaVersion": 2, "mediaType": typeManifest,
		"config": object{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": len(r.in(name).blobs[config].body)},
		"layers": []object{{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer, "size": len(platform + tag)}}})))
}

// TestReal: reading and deleting at docker-registry 2.8.2.
func TestReal(t *testing.T) {
	r := startReal(t, guarded, true)
	one := r.small("team/app", "a", "amd64")
	r.tag("team/app", "b", one)
	r.small("team/app", "c", "arm64")
	r.small("prod/app", "edge", "amd64")
	r.fill(t)
	l := r.library(t)
	visit := func() *Visit {
		v := r.visit(l, "alice")
		v.registry = r
		return v
	}
	list, err := visit().Tags(t.Context(), TagQuery{Repository: "team/app", Size: 9})
	if err != nil || tagsIn(list) != "a b c" || list.Rows[0].Digest != one || !list.Rows[0].Built.Equal(someDay) || len(list.Rows[0].Also) != 1 {
		t.Fatalf("%+v %v", list, err)
	}
	if found, err := visit().Referrers(t.Context(), "team/app", one); err != nil || len(found.List) != 0 || found.State != Ready {
		t.Errorf("%+v %v", found, err)
	}
	for _, c := range []struct {
		o    Order
		want Status
	}{
		{Order{Target{"team/app", "a"}, one, false}, Unsupported},
		{Order{Target{"team/app", "c"}, one, true}, Moved},
		{Order{Target{"prod/app", "edge"}, "", true}, Refused},
		{Order{Target{"team/app", "a"}, one, true}, Deleted},
		{Order{Target{"team/app", one}, one, true}, Missing},
		{Order{Target{"team/app", "b"}, one, true}, Missing},
	} {
		if got := visit().Delete(t.Context(), []Order{c.o})[0]; got.Status != c.want {
			t.Errorf("%+v, want %s", got, c.want)
		}
	}
	if list, err = visit().Tags(t.Context(), TagQuery{Repository: "team/app", Size: 9}); err != nil || tagsIn(list) != "c" {
		t.Errorf("%+v %v", list, err)
	}
}

// TestRealOff: a registry in which nothing can be deleted says so.
func TestRealOff(t *testing.T) {
	r := startReal(t, nil, false)
	one := r.small("team/app", "a", "amd64")
	r.fill(t)
	v := r.visit(r.library(t), "alice")
	v.registry = r
	if got := v.Delete(t.Context(), []Order{{Target{"team/app", "a"}, one, true}})[0]; got.Status != Off {
		t.Errorf("%+v", got)
	}
}
