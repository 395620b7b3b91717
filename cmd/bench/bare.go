package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// bare is a server of net/http that gives a gateway's answers from memory, or what is large
// from a file, and does nothing else: what any server made of net/http could come to. What it
// does not have yet it asks for once.
type bare struct {
	upstream string   // http://host:port
	folder   string   // of files
	content  sync.Map // *copied, by path
}

// copied is an answer that was kept.
type copied struct {
	header http.Header
	body   []byte // nil: it is in file
	file   string
}

// inMemory is how large an answer in memory may be, in bytes.
const inMemory = 1 << 20

// ServeHTTP sends the content with all the fields that it came with.
func (b *bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kept, ok := b.content.Load(r.URL.Path)
	if !ok {
		c, err := b.fetch(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		kept, _ = b.content.LoadOrStore(r.URL.Path, c)
	}
	c := kept.(*copied)
	h := w.Header()
	for key, values := range c.header {
		h[key] = values
	}
	if c.body == nil {
		http.ServeFile(w, r, c.file)
		return
	}
	_, _ = w.Write(c.body) // nobody is left to tell
}

// fetch asks the upstream.
func (b *bare) fetch(r *http.Request) (*copied, error) {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, b.upstream+r.URL.Path, nil)
	if err != nil {
		return nil, err
	}
	request.Header["Accept"], request.Header["Authorization"] = r.Header["Accept"], r.Header["Authorization"]
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	response.Header.Del("Date") // it has one of its own
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the upstream answered %s", response.Status)
	}
	if err != nil || len(body) <= inMemory {
		return &copied{header: response.Header, body: body}, err
	}
	name := filepath.Join(b.folder, path.Base(r.URL.Path))
	return &copied{header: response.Header, file: name}, os.WriteFile(name, body, 0o600)
}

// serveBare is the process itself: in clear text at one address, with TLS at another. It
// ends with a fault only; who started it ends it.
func serveBare(addresses []string) error {
	b := &bare{upstream: "http://" + addresses[2], folder: filepath.Dir(addresses[3])}
	var both errgroup.Group
	both.Go(func() error { return http.ListenAndServe(addresses[0], b) })
	both.Go(func() error { return http.ListenAndServeTLS(addresses[1], addresses[3]+".crt", addresses[3]+".key", b) })
	return both.Wait()
}

// startBare adds its ways: this program once more, as a server that is asked what the gateway
// with the cache was asked, and that gives its answers.
func (h *house) startBare() error {
	i := slices.IndexFunc(h.endpoints, func(to endpoint) bool { return to.name == "cached" && to.scheme == plain })
	of := h.endpoints[i]
	program, err := os.Executable()
	if err != nil {
		return err
	}
	address, secure, err := twoAddresses()
	if err != nil {
		return err
	}
	p, err := h.start(address, program, "-bare", strings.Join([]string{address, secure, strings.TrimPrefix(of.base, "http://"), h.path("tls")}, ","))
	h.endpoints = append(h.endpoints,
		endpoint{name: bareWay, scheme: plain, base: "http://" + address, auth: of.auth, front: p},
		endpoint{name: bareWay, scheme: overs, base: "https://" + secure, auth: of.auth, front: p})
	return err
}
