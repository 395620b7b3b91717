package browse

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

// TestNonsense: whatever a registry has under a tag, the row says what is known, and no more
// is asked than for any other.
func TestNonsense(t *testing.T) {
	config := func(text string) func(d *double) []byte {
		return func(d *double) []byte {
			at := d.put("team/app", "", []byte(text))
			return asJSON(object{"mediaType": typeManifest, "config": object{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": at, "size": len(text)}})
		}
	}
	text := func(s string) func(*double) []byte { return func(*double) []byte { return []byte(s) } }
	for name, c := range map[string]struct {
		manifest func(d *double) []byte
		state    State
		size     int64
		fault    string
	}{
		"no JSON":           {text(`<html>`), Failed, -1, "no manifest"},
		"no object":         {text(`[]`), Failed, -1, "no manifest"},
		"null":              {text(`null`), Failed, -1, "no manifest"},
		"an empty one":      {text(`{}`), Ready, 0, ""},
		"lists of nothing":  {text(`{"layers":{"a":1},"annotations":[1],"manifests":"x"}`), Ready, 0, ""},
		"other types":       {text(`{"layers":[1,"x",null,{"digest":7,"size":3}]}`), Ready, 3, ""},
		"a size below zero": {text(`{"layers":[{"size":-1},{"size":5}]}`), Ready, -1, ""},
		"a size of 2^63":    {text(`{"layers":[{"size":9223372036854775808}]}`), Ready, -1, ""},
		"sizes beyond it":   {text(`{"layers":[{"size":9223372036854775807},{"size":1}]}`), Ready, -1, ""},
		"a text as size":    {text(`{"layers":[{"size":"12"}]}`), Ready, -1, ""},
		"too large":         {text(`{"a":"` + strings.Repeat("x", mostBody) + `"}`), Failed, -1, "too large"},
		"a far year":        {config(`{"created":"10000-01-01T00:00:00Z"}`), Ready, 35, ""},
		"a year below":      {config(`{"created":"-001-01-01T00:00:00Z"}`), Ready, 34, ""},
		"no time":           {config(`{"created":17}`), Ready, 14, ""},
		"a bad config":      {config(`no JSON`), Ready, 7, ""},
		"a large config":    {config(`{"a":"` + strings.Repeat("x", mostConfig) + `"}`), Ready, mostConfig + 8, ""},
		"an absent config":  {text(`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:` + strings.Repeat("0", 64) + `","size":1}}`), Ready, 1, ""},
		"a config's digest": {text(`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"../../x","size":1}}`), Ready, 1, ""},
	} {
		d := newDouble(t)
		d.tag("team/app", "1", d.put("team/app", typeManifest, c.manifest(d)))
		list, err := d.visit(d.library(t), "bob").Tags(t.Context(), TagQuery{Repository: "team/app", Size: 9})
		if err != nil {
			t.Fatal(err)
		}
		row := list.Rows[0]
		if row.State != c.state || row.Size != c.size || !strings.Contains(row.Fault, c.fault) || !row.Built.IsZero() {
			t.Errorf("%s: %+v", name, row)
		}
		if n := len(d.requests()); n > 3 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

// TestListNonsense: lists of tags that cannot be read are errors, never an empty repository.
func TestListNonsense(t *testing.T) {
	for name, r := range map[string]reply{
		"no JSON": {status: 200, body: []byte("<html>")}, "another object": {status: 200, body: []byte(`{"tags":{"a":1}}`)}, "numbers": {status: 200, body: []byte(`{"tags":[1]}`)},
		"nine MiB":   {status: 200, body: []byte(`{"tags":["` + strings.Repeat("x", 9<<20) + `"]}`)},
		"a redirect": {status: 307}, "500": {status: 500}, "403": {status: 403},
		"no end":              {status: 200, body: []byte(`{"tags":[]}`), header: map[string][]string{"Link": {`</v2/team/app/tags/list?last=x>; rel="next"`}}},
		"a page that is none": {status: 200, body: []byte(`{"tags":[]}`), header: map[string][]string{"Link": {`<//x>; rel="next"`}}},
	} {
		d := newDouble(t)
		d.image("team/app", "1", "linux/amd64", someDay, 1)
		d.answers["GET /v2/team/app/tags/list"] = r
		if list, err := d.visit(d.library(t), "bob").Tags(t.Context(), TagQuery{Repository: "team/app", Size: 9}); err == nil {
			t.Errorf("%s: %+v", name, list)
		}
	}
	d := newDouble(t)
	d.in("team/app")
	d.answers["GET /v2/team/app/tags/list"] = reply{status: 200, body: []byte(`{"name":"team/app","tags":null}`)}
	if list, err := d.visit(d.library(t), "bob").Tags(t.Context(), TagQuery{Repository: "team/app", Size: 9}); err != nil || list.Total != 0 {
		t.Errorf("without tags: %+v %v", list, err)
	}
}

// TestForeignTags: tags that cannot be asked for are shown as absent, and lead to no request.
func TestForeignTags(t *testing.T) {
	d := newDouble(t)
	tags := []string{"../../_catalog", "a/b", "<script>", "a b", "", "a?b", strings.Repeat("x", 129), "\u202e1", strings.Repeat("y", 5000)}
	d.in("team/app")
	d.answers["GET /v2/team/app/tags/list"] = reply{status: 200, body: asJSON(object{"tags": tags})}
	list, err := d.visit(d.library(t), "bob").Tags(t.Context(), TagQuery{Repository: "team/app", Size: 50})
	if err != nil || len(list.Rows) != len(tags) {
		t.Fatal(list, err)
	}
	for _, row := range list.Rows {
		if row.State != Absent || row.Digest != "" || row.Valid || len(row.Tag) > mostText+3 {
			t.Errorf("%q: %+v", row.Tag, row)
		}
	}
	if asked := d.requests(); len(asked) != 1 {
		t.Errorf("asked %q", asked)
	}
}

// TestConfigWithheld: where the registry does not give a configuration out, or what redirects
// led to is an error, all else of the image is shown, and the page says why it is not known.
func TestConfigWithheld(t *testing.T) {
	for name, answer := range map[string]reply{"a redirect that was not followed": {status: 307, header: map[string][]string{"Location": {"https://store.example/x"}}},
		"gone": {status: 404}, "an error": {status: 500}, "no answer": {status: -1}} {
		d := newDouble(t)
		d.image("team/app", "1", "linux/amd64", someDay, 10)
		for digest, b := range d.in("team/app").blobs {
			if b.mediaType == "application/octet-stream" {
				d.answers["GET /v2/team/app/blobs/"+digest] = answer
			}
		}
		l := d.library(t)
		if i, err := d.visit(l, "bob").Image(t.Context(), "team/app", "1", ""); err != nil || i.ConfigFault != faultWithheld || i.HasConfig || len(i.Layers) != 1 {
			t.Errorf("%s: %+v %v", name, i, err)
		}
		list, err := d.visit(l, "bob").Tags(t.Context(), TagQuery{Repository: "team/app", Size: 9})
		if err != nil || len(list.Rows) != 1 || list.Rows[0].State != Ready || list.Rows[0].Size <= 0 || !list.Rows[0].Built.IsZero() {
			t.Errorf("%s: %+v %v", name, list, err)
		}
		if raw, err := d.visit(l, "bob").RawConfig(t.Context(), "team/app", "1", ""); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %s %v", name, raw, err)
		}
	}
}

// TestIndexInIndex: indexes in each other, 50 deep, are not followed.
func TestIndexInIndex(t *testing.T) {
	d := newDouble(t)
	at := d.image("team/app", "", "linux/amd64", someDay, 1)
	for range 50 {
		inner := child(at, "linux/amd64")
		inner["mediaType"] = typeManifest // which it is not
		at = d.index("team/app", "deep", inner)
	}
	i, err := d.visit(d.library(t), "bob").Image(t.Context(), "team/app", "deep", "")
	if err != nil || i.Kind != IndexKind || i.Size != -1 {
		t.Errorf("%+v %v", i, err)
	}
	if n := len(d.requests()); n > 2 {
		t.Errorf("%d requests", n)
	}
}

// TestParts: what an index holds beside images for platforms and attestations, where that has a
// digest to ask for.
func TestParts(t *testing.T) {
	d := newDouble(t)
	at := d.image("team/app", "", "linux/amd64", someDay, 1)
	nested := object{"mediaType": typeIndex, "digest": at, "size": 7, "platform": object{"os": "linux", "architecture": "amd64"}}
	attested := child(at, "unknown/unknown")
	attested["annotations"] = object{markReference: "attestation-manifest"}
	d.index("team/app", "parts", child(at, ""), nested, attested, child(at, "unknown/unknown"), child("sha256:short", ""), child(at, "linux/arm64"))
	d.image("team/app", "image", "linux/amd64", someDay, 1)
	v := d.visit(d.library(t), "bob")
	i, err := v.Image(t.Context(), "team/app", "parts", "")
	want := []Part{{at, typeManifest, 400}, {at, typeIndex, 7}, {at, typeManifest, 400}}
	if err != nil || !slices.Equal(i.Parts, want) || len(i.Variants) != 1 || i.Attestations != 1 {
		t.Errorf("%+v %v", i, err)
	}
	if i, err := v.Image(t.Context(), "team/app", "image", ""); err != nil || i.Parts != nil {
		t.Errorf("an image: %+v %v", i, err)
	}
}

// TestLies: content counts under no digest but its own.
func TestLies(t *testing.T) {
	d := newDouble(t)
	digest := d.image("team/app", "1", "linux/amd64", someDay, 1)
	lie := reply{status: 200, body: []byte(`{"layers":[]}`), header: map[string][]string{"Docker-Content-Digest": {digest}, "Content-Type": {typeManifest}}}
	d.answers["GET /v2/team/app/manifests/1"], d.answers["GET /v2/team/app/manifests/"+digest] = lie, lie
	l := d.library(t)
	for _, reference := range []string{"1", digest} {
		if i, err := d.visit(l, "bob").Image(t.Context(), "team/app", reference, ""); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %+v %v", reference, i, err)
		}
	}
	delete(d.answers, "GET /v2/team/app/manifests/1")
	delete(d.answers, "GET /v2/team/app/manifests/"+digest)
	if i, err := d.visit(l, "bob").Image(t.Context(), "team/app", digest, ""); err != nil || len(i.Layers) != 1 {
		t.Errorf("%+v %v", i, err)
	}
}

// TestMany: of layers, texts and referrers so many are shown, and of a text so much.
func TestMany(t *testing.T) {
	d := newDouble(t)
	layers, manifests, marks := []object{}, []object{}, object{"a": strings.Repeat("ä", 5000)}
	for i := range 1500 {
		layers = append(layers, object{"size": 2, "digest": digest.FromString(fmt.Sprint(i)).String()})
		manifests = append(manifests, object{"digest": digest.FromString(fmt.Sprint("r", i)).String(), "artifactType": "x"})
		marks[fmt.Sprint("b", i)] = "v"
	}
	image := d.tag("team/app", "1", d.put("team/app", typeManifest, asJSON(object{"layers": layers, "annotations": marks})))
	d.answers["GET /v2/team/app/referrers/"+image] = reply{status: 200, body: asJSON(object{"manifests": manifests})}
	v := d.visit(d.library(t), "bob")
	i, err := v.Image(t.Context(), "team/app", "1", "")
	if err != nil || len(i.Layers) != mostLayers || i.MoreLayers != 500 || i.Size != 3000 || len(i.Annotations) != mostValues {
		t.Fatalf("%d layers and %d, %d bytes, %d annotations, %v", len(i.Layers), i.MoreLayers, i.Size, len(i.Annotations), err)
	}
	if a := i.Annotations[0]; a.Key != "a" || len(a.Value) != mostText+3 || !strings.HasSuffix(a.Value, "ä...") {
		t.Errorf("%s has %d bytes", a.Key, len(a.Value))
	}
	if found, err := v.Referrers(t.Context(), "team/app", image); err != nil || len(found.List) != mostReferrers || !found.Cut {
		t.Errorf("%d referrers, cut: %t (%v)", len(found.List), found.Cut, err)
	}
}

// TestDense: a manifest of the most and smallest parts takes little more memory than its bytes.
func TestDense(t *testing.T) {
	for _, body := range [][]byte{
		[]byte(`{"layers":[` + strings.Repeat("{},", mostBody/3-10) + `{}]}`),
		[]byte(`{"annotations":{` + strings.Repeat(`"":"",`, mostBody/6-10) + `"":""}}`),
		bytes.Repeat([]byte(`{"layers":[`), mostBody/11),
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := parseManifest(body)
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 2<<20 {
			t.Errorf("%.20s: %d bytes are held", body, grown)
		}
		runtime.KeepAlive(m)
	}
}

// TestSlow: rows that are not there within a second are loading, and are there later.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(t)
		d.image("team/app", "1", "linux/amd64", someDay, 10)
		d.image("team/app", "2", "linux/amd64", someDay, 10)
		slow := make(chan struct{})
		d.wait["GET /v2/team/app/manifests/2"] = slow
		l := d.library(t)
		look := func(want State) {
			t.Helper()
			began := time.Now()
			list, err := d.visit(l, "bob").Tags(t.Context(), TagQuery{Repository: "team/app", Size: 9})
			if err != nil || list.Rows[0].State != want || list.Rows[1].State != Ready {
				t.Fatalf("%+v %v", list, err)
			}
			if took := time.Since(began); took > patience {
				t.Errorf("took %s", took)
			}
		}
		look(Loading)
		look(Loading) // and joins who asks already
		close(slow)
		synctest.Wait()
		look(Ready)
		if n := len(d.requests()); n != 5 {
			t.Errorf("%d requests", n)
		}
		l.Close()
		synctest.Wait()
	})
}

// TestInFlight: no more than upstream_requests at once.
func TestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(t)
		d.delay = 20 * time.Millisecond
		for i := range 50 {
			d.image("team/app", fmt.Sprint(i), "linux/amd64", someDay, 10)
		}
		l := d.library(t)
		list, err := d.visit(l, "bob").Tags(t.Context(), TagQuery{Repository: "team/app", Size: 50})
		if err != nil || list.Rows[49].State != Ready || d.most != 8 || len(d.requests()) != 101 {
			t.Errorf("%d in flight, %v", d.most, err)
		}
		l.Close()
		synctest.Wait()
	})
}

// TestBuilt: what is not known is read in the background, and counted.
func TestBuilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(t)
		d.delay = 20 * time.Millisecond
		const n = mostBackground + 100
		one := d.image("team/app", "", "linux/amd64", someDay, 10)
		for i := range n {
			d.tag("team/app", fmt.Sprintf("1.%d", i), one)
		}
		late := d.image("team/app", "1.3000", "linux/amd64", someDay.AddDate(0, 0, 1), 10)
		l := d.library(t)
		q := TagQuery{Repository: "team/app", Sort: "built", Size: 10}
		list, err := d.visit(l, "bob").Tags(t.Context(), q)
		if err != nil || list.Unread != n+1 {
			t.Fatalf("%d unread (%v)", list.Unread, err)
		}
		time.Sleep(backgroundFor)
		if list, err = d.visit(l, "bob").Tags(t.Context(), q); err != nil || list.Unread == 0 || list.Unread > 101 || list.Rows[0].Digest != late {
			t.Errorf("%d unread, %+v %v", list.Unread, list.Rows[0], err)
		}
		l.Close()
		synctest.Wait()
	})
}

// TestUnasked: that the registry cannot be asked is no answer.
func TestUnasked(t *testing.T) {
	if s := unread("", errors.New("dial 10.0.0.1: refused")); s.State != Failed || strings.Contains(s.Fault, "10.0.0.1") {
		t.Errorf("%+v", s)
	}
}
