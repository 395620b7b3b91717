// Package admin is both ends of admin.socket: how a running gateway answers there, and
// how commands ask it.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Routes are what admin.socket alone answers. They are all made before the first request.
type Routes struct {
	paths map[string]map[string]http.HandlerFunc // by path and method
	rest  http.Handler
}

// NewRoutes has none yet; rest answers every other path.
func NewRoutes(rest http.Handler) *Routes {
	return &Routes{map[string]map[string]http.HandlerFunc{}, rest}
}

// Fault is an answer that is an error, as JSON: {"message": "..."}. Any other error of a
// route is 500.
type Fault struct {
	Status  int    `json:"-"`       // of HTTP, 400 or above
	Message string `json:"message"` // for whoever asks
}

// Wrong is the answer to a question that is wrong.
func Wrong(err error) *Fault { return &Fault{http.StatusBadRequest, err.Error()} }

func (f *Fault) Error() string { return f.Message }

// Text is an answer in plain text. All others but a *Stream are JSON.
type Text string

// Stream is an answer of so many bytes, which is closed when it is sent.
type Stream struct {
	io.ReadCloser
	// Size is its length; what ends before is taken for broken off.
	Size int64
}

// Get adds a route that changes nothing.
func (rs *Routes) Get(path string, answer func(ctx context.Context, query url.Values) (any, error)) {
	rs.add(http.MethodGet, path, func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			reply(w, nil, &Fault{http.StatusBadRequest, "the query cannot be read"})
			return
		}
		a, err := answer(r.Context(), query)
		reply(w, a, err)
	})
}

// Post adds a route that may change something; T is its body.
func Post[T any](rs *Routes, path string, do func(ctx context.Context, asked T) (any, error)) {
	rs.add(http.MethodPost, path, func(w http.ResponseWriter, r *http.Request) {
		var asked T
		if err := read(w, r, &asked); err != nil {
			reply(w, nil, err)
			return
		}
		a, err := do(r.Context(), asked)
		reply(w, a, err)
	})
}

func (rs *Routes) add(method, path string, h http.HandlerFunc) {
	if rs.paths[path] == nil {
		rs.paths[path] = map[string]http.HandlerFunc{}
	}
	rs.paths[path][method] = h
}

// ServeHTTP refuses what a browser sends on behalf of a page: who can reach the socket
// may still run one.
func (rs *Routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	site := r.Header.Get("Sec-Fetch-Site")
	methods := rs.paths[r.URL.Path]
	switch h := methods[r.Method]; {
	case len(r.Header.Values("Origin")) > 0, site != "" && site != "none" && site != "same-origin":
		reply(w, nil, &Fault{http.StatusForbidden, "pages of browsers cannot ask here"})
	case h != nil:
		h(w, r)
	case methods != nil:
		w.Header().Set("Allow", strings.Join(slices.Sorted(maps.Keys(methods)), ", "))
		reply(w, nil, &Fault{http.StatusMethodNotAllowed, "the method must be " + w.Header().Get("Allow")})
	default:
		rs.rest.ServeHTTP(w, r)
	}
}

const maxBody = 64 << 10 // bytes

// read takes a body that is one JSON object without unknown fields.
func read(w http.ResponseWriter, r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &Fault{http.StatusUnsupportedMediaType, "the body must be application/json"}
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		}
		if err == nil {
			err = errors.New("there is more behind the object")
		}
	}
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		return &Fault{http.StatusRequestEntityTooLarge, "the body is too large"}
	}
	return &Fault{http.StatusBadRequest, "the body cannot be read: " + err.Error()}
}

// reply sends an answer, or the error in its place.
func reply(w http.ResponseWriter, answer any, err error) {
	status := http.StatusOK
	if err != nil {
		fault := &Fault{Status: http.StatusInternalServerError, Message: err.Error()}
		errors.As(err, &fault)
		status, answer = fault.Status, fault
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch a := answer.(type) { // an error of writing: who asked is gone
	case Text:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, string(a))
	case *Stream:
		defer a.Close()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Length", strconv.FormatInt(a.Size, 10))
		_, _ = io.Copy(w, a)
	default:
		h.Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(a)
	}
}
