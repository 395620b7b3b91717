package ui

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
)

// asset is a file that pages name by what it holds, so that it may be kept for ever.
type asset struct {
	name, extension, media string
	body                   []byte
	hash                   string
}

//go:embed static/gatehouse.css
var styleText []byte

//go:embed static/gatehouse.js
var scriptText []byte

//go:embed static/gate.svg
var iconText []byte

var (
	styleFile  = newAsset("gatehouse", "css", "text/css; charset=utf-8", styleText)
	scriptFile = newAsset("gatehouse", "js", "text/javascript; charset=utf-8", scriptText)
	iconFile   = newAsset("gate", "svg", "image/svg+xml", iconText)
)

func newAsset(name, extension, media string, body []byte) *asset {
	sum := sha256.Sum256(body)
	return &asset{name, extension, media, body, hex.EncodeToString(sum[:8])}
}

func (a *asset) file() string { return a.name + "." + a.hash + "." + a.extension }

func (a *asset) path() string { return "/ui/static/" + a.file() }

// static answers with a file, or 404 where it is another one by now.
func (u *UI) static(w http.ResponseWriter, r *http.Request, c *Call) error {
	for _, a := range []*asset{styleFile, scriptFile, iconFile} {
		if a.file() == c.target.file {
			c.headers(w.Header())
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			send(w, r, http.StatusOK, a.media, a.body)
			return nil
		}
	}
	return notFound()
}
