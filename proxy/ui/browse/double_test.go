package browse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/proxy/route"
)

// double is a registry in memory behind a policy, as Registry wants it.
type double struct {
	refused []string // deletions that Ask did not hear of
	policy  *authz.Policy
	delay   time.Duration // of each answer

	mu           sync.Mutex
	repositories map[string]*holdings
	extra        []string         // names in the catalog beside
	asked        []string         // method and path of what came through
	headers      []http.Header    // what went along
	answers      map[string]reply // by method and path, in the place of its own
	wait         map[string]chan struct{}
	tagsPage     int // names on a page of tags; 0: all
	oldDeletes   bool
	inFlight     int
	most         int // that were in flight
}

// holdings are a repository's.
type holdings struct {
	tags  map[string]string // to digests
	blobs map[string]blob   // manifests among them
}

type blob struct {
	mediaType string
	body      []byte
}

func newDouble(t testing.TB, rules ...authz.Rule) *double {
	t.Helper()
	if len(rules) == 0 {
		rules = []authz.Rule{{Position: "gatehouse.yaml:1", Allow: []string{"*"}, Repositories: []string{"**"}, To: []string{"user:alice"}},
			{Position: "gatehouse.yaml:2", Allow: []string{"pull"}, Repositories: []string{"team/**"}, To: []string{"user:bob"}}}
	}
	p, err := authz.New(authz.Config{Directories: []string{"corp"}, Rules: rules})
	if p == nil {
		t.Fatal(err)
	}
	return &double{policy: p, repositories: map[string]*holdings{}, answers: map[string]reply{}, wait: map[string]chan struct{}{}}
}

func (d *double) in(name string) *holdings {
	c := d.repositories[name]
	if c == nil {
		c = &holdings{tags: map[string]string{}, blobs: map[string]blob{}}
		d.repositories[name] = c
	}
	return c
}

// put stores content and returns its digest.
func (d *double) put(name, mediaType string, body []byte) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	digest := digest.FromBytes(body).String()
	d.in(name).blobs[digest] = blob{mediaType, body}
	return digest
}

// document is JSON of anything.
func asJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

type object = map[string]any

// image stores an image of one layer under a tag, and returns the digest of its manifest.
func (d *double) image(name, tag, platform string, built time.Time, size int64) string {
	parts := append(strings.Split(platform, "/"), "", "")
	config := asJSON(object{"os": parts[0], "architecture": parts[1], "variant": parts[2], "created": built.Format(time.RFC3339), "author": tag,
		"config":  object{"Env": []string{"A=1"}, "Labels": object{"l": "v"}, "User": "65532", "Entrypoint": []string{"/app"}, "ExposedPorts": object{"80/tcp": object{}}},
		"history": []object{{"created_by": "ENV A=1", "empty_layer": true}, {"created_by": "COPY app /"}}})
	at := d.put(name, "application/octet-stream", config)
	m := asJSON(object{"schemaVersion": 2, "mediaType": typeManifest, "annotations": object{"note": platform},
		"config": object{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": at, "size": len(config)},
		"layers": []object{{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest.FromString(platform + tag).String(), "size": size}}})
	return d.tag(name, tag, d.put(name, typeManifest, m))
}

// tag lets a tag name a digest.
func (d *double) tag(name, tag, digest string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if tag != "" {
		d.in(name).tags[tag] = digest
	}
	return digest
}

// index stores an index of manifests under a tag.
func (d *double) index(name, tag string, manifests ...object) string {
	return d.tag(name, tag, d.put(name, typeIndex, asJSON(object{"schemaVersion": 2, "mediaType": typeIndex, "manifests": manifests})))
}

// child is the entry of an index.
func child(digest, platform string) object {
	parts := append(strings.Split(platform, "/"), "", "")
	return object{"mediaType": typeManifest, "digest": digest, "size": 400, "platform": object{"os": parts[0], "architecture": parts[1], "variant": parts[2]}}
}

// Ask is Registry's.
func (d *double) Ask(ctx context.Context, c Caller, rt route.Route, header http.Header) (*Answer, error) {
	if rt.Need.Action != "" && rt.Need.Action != authz.Catalog {
		if found := d.policy.Decide(c.Identity, authz.Request{Repository: rt.Need.Repository, Action: rt.Need.Action, Tags: rt.Tags, Source: c.Source}); !found.Allowed {
			return nil, &Denied{found.Rule}
		}
	}
	line := rt.Method + " " + rt.Path()
	d.mu.Lock()
	d.inFlight++
	d.most = max(d.most, d.inFlight)
	d.asked, d.headers = append(d.asked, line), append(d.headers, header.Clone())
	wait := d.wait[line]
	d.mu.Unlock()
	defer func() { d.mu.Lock(); d.inFlight--; d.mu.Unlock() }()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(d.delay):
	}
	if wait != nil {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-wait:
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r, ok := d.answers[line]
	if !ok {
		r = d.answer(rt, header)
	}
	if r.status < 0 {
		return nil, errors.New("no answer")
	}
	if r.header == nil {
		r.header = http.Header{}
	}
	return &Answer{Status: r.status, Header: r.header, Body: io.NopCloser(strings.NewReader(string(r.body)))}, nil
}

// Refused is Registry's.
func (d *double) Refused(_ context.Context, _ Caller, rt route.Route, by authz.Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused = append(d.refused, rt.Repository+" "+rt.Reference+" "+by.Rule)
}

func (d *double) answer(rt route.Route, header http.Header) reply {
	repository := d.repositories[rt.Repository]
	switch {
	case rt.Kind == route.Catalog:
		names := slices.Clone(d.extra)
		for name := range d.repositories {
			names = append(names, name)
		}
		return reply{status: 200, body: []byte(strings.Join(names, "\n"))}
	case repository == nil:
		return reply{status: 404}
	case rt.Kind == route.Tags:
		return d.tagsOf(repository, rt)
	case rt.Kind == route.Referrers:
		return reply{status: 404}
	case rt.Method == http.MethodDelete:
		return repository.remove(rt, d.oldDeletes)
	}
	return repository.content(rt, header)
}

func (d *double) tagsOf(c *holdings, rt route.Route) reply {
	tags := []string{}
	for tag := range c.tags {
		if tag > rt.Last {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	h := http.Header{}
	if d.tagsPage > 0 && len(tags) > d.tagsPage {
		tags = tags[:d.tagsPage]
		h.Set("Link", fmt.Sprintf(`<%s?last=%s>; rel="next"`, rt.Path(), tags[len(tags)-1]))
	}
	return reply{status: 200, header: h, body: asJSON(object{"tags": tags})}
}

func (c *holdings) content(rt route.Route, header http.Header) reply {
	digest := rt.Reference
	if rt.Tag {
		digest = c.tags[rt.Reference]
	}
	b, ok := c.blobs[digest]
	if !ok {
		return reply{status: 404}
	}
	h := http.Header{"Docker-Content-Digest": {digest}, "Content-Type": {b.mediaType}}
	if header.Get("If-None-Match") == `"`+digest+`"` {
		return reply{status: 304, header: h}
	}
	return reply{status: 200, header: h, body: b.body}
}

func (c *holdings) remove(rt route.Route, old bool) reply {
	switch _, there := c.blobs[rt.Reference]; {
	case rt.Tag && old:
		return reply{status: 400}
	case rt.Tag && c.tags[rt.Reference] != "":
		delete(c.tags, rt.Reference)
	case there:
		delete(c.blobs, rt.Reference)
		for tag, digest := range c.tags {
			if digest == rt.Reference {
				delete(c.tags, tag)
			}
		}
	default:
		return reply{status: 404}
	}
	return reply{status: 202}
}

// requests are what came through since the last call.
func (d *double) requests() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.asked
	d.asked = nil
	return list
}

// library is one for a test, with the visit of a person.
func (d *double) library(t testing.TB) *Library {
	t.Helper()
	var cfg Config
	cfg.Defaults()
	l := NewLibrary(cfg, nil)
	t.Cleanup(l.Close)
	return l
}

func (d *double) visit(l *Library, user string) *Visit {
	c := Caller{Source: netip.MustParseAddr("192.0.2.1"), Place: "here"}
	if user != "" {
		c.Identity = authn.Identity{Directory: "corp", Username: user}
	}
	return l.Visit(d, d.policy, c)
}

// names are those of rows, folders with a slash.
func names(list *RepositoryList) string {
	var out []string
	for _, row := range list.Rows {
		if row.Folder {
			row.Name = fmt.Sprintf("%s/(%d)", row.Name, row.Repositories)
		}
		out = append(out, row.Name)
	}
	return strings.Join(out, " ")
}

// tagsOf are the tags of rows.
func tagsIn(list *TagList) string {
	var out []string
	for _, row := range list.Rows {
		out = append(out, row.Tag)
	}
	return strings.Join(out, " ")
}
