package ui

import (
	"net/http"
	"strings"

	"gatehouse/authz"
	"gatehouse/proxy/ui/browse"
)

// imageView is the page of one image, index or artifact.
type imageView struct {
	*browse.Image
	Name      string
	Reference string
	Tag       bool
	ByTag     []command // commands by tag; nil: the page is by digest
	ByDigest  []command
	Platform  string
	Platforms []platformLink
	Referrers *browse.Referrers
	RawLink   string // where the manifest stands as it is
	RawConfig string // the configuration; empty: there is none
	Manifest  string // the raw manifest, of a type that is not known here
	Delete    string // where it can be deleted; empty: not here
	Artifact  bool
}

// platformLink leads to the same page for another platform.
type platformLink struct {
	Name, Link string
	Shown      bool
}

// image shows what a tag or a digest names.
func (u *UI) image(w http.ResponseWriter, r *http.Request, c *Call) error {
	t, visit := &c.target, u.visit(c)
	u.decided(visit.Decide(authz.Pull, t.repository))
	if raw := t.query.Get("raw"); raw != "" {
		return u.raw(w, r, c, visit, raw)
	}
	i, err := visit.Image(r.Context(), t.repository, t.reference, t.query.Get("platform"))
	if err != nil {
		return u.unread(w, c, err)
	}
	referrers, err := visit.Referrers(r.Context(), t.repository, i.Digest, i.Shown)
	if err != nil {
		return u.unread(w, c, err)
	}
	v := imageView{Image: i, Name: t.repository, Reference: t.reference, Tag: t.tag, Platform: i.SizeOf, Referrers: referrers, RawLink: t.with("raw", "manifest")}
	v.Artifact = i.Kind == browse.ArtifactKind || i.Kind == browse.ChartKind || i.Kind == browse.UnknownKind
	if i.HasConfig {
		v.RawConfig = t.with("raw", "config")
	}
	if i.Kind == browse.UnknownKind {
		v.Manifest = string(i.Raw)
	}
	if t.tag {
		v.ByTag = numbered("tag", pulls(c.Origin.Host, t.repository, t.reference, string(i.Kind), "tag"))
	}
	v.ByDigest = numbered("digest", pulls(c.Origin.Host, t.repository, i.Digest, string(i.Kind), "digest"))
	for _, one := range i.Variants {
		v.Platforms = append(v.Platforms, platformLink{one.Platform, t.with("platform", one.Platform), one.Shown})
	}
	if u.o.Config.Delete && (i.DeletableTag || i.Deletable) {
		to := target{place: atDelete, query: map[string][]string{"ref": {strings.TrimPrefix(t.path(), "/ui/r/")}}}
		v.Delete = to.canonical()
	}
	f := u.frame(r, c, atImage, t.path()[len("/ui/r/"):])
	f.Mono, f.Crumbs, f.Content = true, crumbs(t.repository), v
	return u.show(w, r, f, "image")
}

// raw shows the JSON as text; what people push is opened as nothing else.
func (u *UI) raw(w http.ResponseWriter, r *http.Request, c *Call, visit *browse.Visit, what string) error {
	t, read := &c.target, visit.RawManifest
	if what == "config" {
		read = visit.RawConfig
	}
	body, err := read(r.Context(), t.repository, t.reference, t.query.Get("platform"))
	if err != nil {
		return u.unread(w, c, err)
	}
	w.Header().Set("Content-Security-Policy", sandbox)
	send(w, r, http.StatusOK, "text/plain; charset=utf-8", body)
	return nil
}
