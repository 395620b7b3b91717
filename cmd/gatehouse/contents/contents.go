// Package contents is the cache of a running gateway as operators see it: its state, and how
// to have something forgotten.
package contents

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/proxy/audit"
	"gatehouse/proxy/content"
)

// The paths on admin.socket.
const (
	statusPath = "/cache/status"
	purgePath  = "/cache/purge"
)

// asked is the body of a purge.
type asked struct {
	Repository string `json:"repository,omitempty"`
	Digest     string `json:"digest,omitempty"`
	All        bool   `json:"all,omitempty"`
}

// removed is the answer to it.
type removed struct {
	// Removed is how many manifests and blobs left memory and disk.
	Removed int `json:"removed"`
}

// check finds what is no purge.
func (a *asked) check() error {
	refuse := func(format string, args ...any) error {
		return &admin.Fault{Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case a.All && (a.Repository != "" || a.Digest != ""):
		return refuse("all stands alone, without repository and digest")
	case !a.All && a.Repository == "" && a.Digest == "":
		return refuse("repository, digest or all is needed")
	case a.Repository != "" && !authz.ValidRepository(a.Repository):
		return refuse("%.100q is no repository", a.Repository)
	case a.Digest != "" && !content.Known(a.Digest):
		return refuse("%.100q is no digest; write it whole, such as sha256:...", a.Digest)
	}
	return nil
}

// Register adds the routes. Cache is that of the moment, nil where the config has none; each
// purge is recorded.
func Register(routes *admin.Routes, cache func() *content.Cache, record func(audit.Event, ...any)) {
	none := &admin.Fault{Status: http.StatusNotFound, Message: "the config has no section cache"}
	routes.Get(statusPath, func(context.Context, url.Values) (any, error) {
		c := cache()
		if c == nil {
			return nil, none
		}
		return c.Status(), nil
	})
	admin.Post(routes, purgePath, func(_ context.Context, a asked) (any, error) {
		c := cache()
		if err := a.check(); err != nil {
			return nil, err
		}
		if c == nil {
			return nil, none
		}
		n := c.Purge(content.Purge{Repository: a.Repository, Digest: a.Digest, All: a.All})
		record(audit.Purge, "result", string(audit.OK), "repository", a.Repository, "digest", a.Digest, "all", a.All, "removed", n)
		return removed{n}, nil
	})
}
