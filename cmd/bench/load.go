package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// load is a client that costs little: kept connections, pooled buffers, no digest.
type load struct {
	house    *house
	client   *http.Client // HTTP/1.1
	two      *http.Client // HTTP/2
	blob     []byte
	digest   string // of the blob
	manifest string // digest
	size     int64  // of the manifest
	buffers  sync.Pool
}

// result is what one sample of a measure was.
type result struct {
	units float64 // requests, or bytes
	took  time.Duration
	each  []time.Duration // what each request took, or until its first byte: as the measure says
	gets  int64           // that reached the slow line's end
}

// prepare pushes the blob and a manifest straight into the registries, and checks
// once by each way that they come back whole.
func prepare(ctx context.Context, h *house, o options) (*load, error) {
	l := &load{house: h, client: newClient(16, h.roots, false), two: newClient(16, h.roots, true), blob: make([]byte, o.blobSize)}
	l.buffers.New = func() any { b := make([]byte, copyBuffer); return &b }
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(l.blob) // it never fails
	l.digest = digestOf(l.blob)
	for _, to := range h.endpoints {
		if to.name != "direct" && to.name != "zot" || to.scheme != plain {
			continue
		}
		if err := errors.Join(l.pushBlob(ctx, to, l.blob, l.digest), l.pushManifest(ctx, to)); err != nil {
			return nil, fmt.Errorf("preparing: %w", err)
		}
	}
	for _, to := range h.endpoints {
		if to.scheme == line || to.scheme == null {
			continue
		}
		if err := l.verify(ctx, to); err != nil {
			return nil, errors.Join(fmt.Errorf("by %s (%s): %w", to.name, to.base, err), h.tails())
		}
	}
	return l, nil
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (l *load) pushManifest(ctx context.Context, to endpoint) error {
	config := []byte("{}")
	if err := l.pushBlob(ctx, to, config, digestOf(config)); err != nil {
		return err
	}
	type descriptor struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int    `json:"size"`
	}
	text, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     manifestType,
		"config":        descriptor{"application/vnd.oci.image.config.v1+json", digestOf(config), len(config)},
		"layers":        []descriptor{{"application/vnd.oci.image.layer.v1.tar", l.digest, len(l.blob)}},
	})
	if err != nil {
		return err
	}
	l.manifest, l.size = digestOf(text), int64(len(text))
	_, err = l.do(ctx, to, http.MethodPut, to.base+"/v2/"+repository+"/manifests/latest", text, http.StatusCreated)
	return err
}

// verify pulls both by a way and compares digests.
func (l *load) verify(ctx context.Context, to endpoint) error {
	for path, want := range map[string]string{l.manifestPath(): l.manifest, l.blobPath(): l.digest} {
		response, err := l.send(ctx, to, http.MethodGet, to.base+path, nil)
		if err != nil {
			return err
		}
		hash := sha256.New()
		_, err = io.Copy(hash, response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			return err
		}
		if got := "sha256:" + hex.EncodeToString(hash.Sum(nil)); response.StatusCode != http.StatusOK || got != want {
			return fmt.Errorf("GET %s: status %d, digest %s, want %s", path, response.StatusCode, got, want)
		}
	}
	return nil
}

func (l *load) manifestPath() string { return "/v2/" + repository + "/manifests/" + l.manifest }
func (l *load) blobPath() string     { return "/v2/" + repository + "/blobs/" + l.digest }

// manifests asks for one manifest on so many connections until d is over.
func (l *load) manifests(connections int) func(context.Context, endpoint, time.Duration) (result, error) {
	return func(ctx context.Context, to endpoint, d time.Duration) (result, error) {
		path, size := l.manifestPath(), l.size
		if to.scheme == null {
			text := manifestOf(0)
			path, size = "/v2/"+repository+"/manifests/"+digestOf(text), int64(len(text))
		}
		return l.again(ctx, to, path, connections, d, func(a answer) error {
			if a.size != size {
				return fmt.Errorf("a manifest of %d bytes, want %d", a.size, size)
			}
			return nil
		})
	}
}

// again asks for a path on so many connections, again and again until d is over, once at
// least; good judges each answer.
func (l *load) again(ctx context.Context, to endpoint, path string, connections int, d time.Duration, good func(answer) error) (r result, err error) {
	callers, hang, err := l.callers(ctx, to, path, connections, 16<<10)
	if err != nil {
		return r, err
	}
	defer hang()
	err = r.together(callers, func(c *caller, end time.Time) (each []time.Duration, err error) {
		for len(each) == 0 || time.Now().Before(end) {
			start := time.Now()
			a, err := c.ask()
			if err == nil {
				err = good(a)
			}
			if err != nil {
				return nil, err
			}
			each = append(each, time.Since(start))
		}
		return each, nil
	}, d)
	r.units = float64(len(r.each))
	return r, err
}

// callers opens connections, and hang closes them.
func (l *load) callers(ctx context.Context, to endpoint, path string, n, buffer int) (all []*caller, hang func(), err error) {
	hang = func() {
		for _, c := range all {
			c.Close()
		}
	}
	for range n {
		c, err := dial(ctx, to, path, l.house.roots, buffer)
		if err != nil {
			hang()
			return nil, nil, err
		}
		all = append(all, c)
	}
	return all, hang, nil
}

// together lets all callers do their work at once, and gathers what each request took.
func (r *result) together(callers []*caller, work func(c *caller, end time.Time) ([]time.Duration, error), d time.Duration) error {
	each, errs := make([][]time.Duration, len(callers)), make([]error, len(callers))
	start := time.Now()
	var all sync.WaitGroup
	for i, c := range callers {
		all.Go(func() { each[i], errs[i] = work(c, start.Add(d)) })
	}
	all.Wait()
	r.took = time.Since(start)
	r.each = slices.Concat(each...)
	return errors.Join(errs...)
}

// pull reads the blob until d is over.
func (l *load) pull(ctx context.Context, to endpoint, d time.Duration) (result, error) {
	return l.repeat(d, func() error {
		n, err := l.do(ctx, to, http.MethodGet, to.base+l.blobPath(), nil, http.StatusOK)
		if err == nil && n != int64(len(l.blob)) {
			err = fmt.Errorf("a blob of %d bytes, want %d", n, len(l.blob))
		}
		return err
	})
}

// push uploads the blob until d is over. It is the same blob each time: the registry
// checks all of it before it sees that it has it.
func (l *load) push(ctx context.Context, to endpoint, d time.Duration) (result, error) {
	return l.repeat(d, func() error { return l.pushBlob(ctx, to, l.blob, l.digest) })
}

// repeat does one transfer of the blob again and again, once at least.
func (l *load) repeat(d time.Duration, transfer func() error) (r result, err error) {
	start := time.Now()
	for r.units == 0 || time.Since(start) < d {
		if err := transfer(); err != nil {
			return r, err
		}
		r.units += float64(len(l.blob))
	}
	r.took = time.Since(start)
	return r, nil
}

// firstPull is one pull of a blob that no cache has.
func (l *load) firstPull(ctx context.Context, to endpoint, _ time.Duration) (result, error) {
	path := l.blobPath()
	if to.scheme == line {
		path = "/v2/" + repository + "/blobs/" + l.house.source.digest
	}
	return l.uncached(ctx, to, path, 1)
}

// herd is so many clients that pull one uncached blob at once, each on a connection.
func (l *load) herd(clients int) func(context.Context, endpoint, time.Duration) (result, error) {
	return func(ctx context.Context, to endpoint, _ time.Duration) (result, error) {
		return l.uncached(ctx, to, "/v2/"+repository+"/blobs/"+l.house.source.digest, clients)
	}
}

// uncached pulls a path once on each of so many connections, after a purge; each is the
// time until the first byte.
func (l *load) uncached(ctx context.Context, to endpoint, path string, clients int) (r result, err error) {
	if to.socket != "" {
		if err := purge(ctx, to.socket); err != nil {
			return r, err
		}
	}
	callers, hang, err := l.callers(ctx, to, path, clients, copyBuffer)
	if err != nil {
		return r, err
	}
	defer hang()
	before := l.house.source.gets.Load()
	sizes := make(chan int64, clients)
	err = r.together(callers, func(c *caller, _ time.Time) ([]time.Duration, error) {
		a, err := c.ask()
		if err == nil && a.hit && clients == 1 {
			err = errors.New("the cache had what was to be a first pull")
		}
		sizes <- a.size
		return []time.Duration{a.first}, err
	}, 0)
	for range callers {
		r.units += float64(<-sizes)
	}
	r.gets = l.house.source.gets.Load() - before
	return r, err
}

// logins asks the realm for a token, with a password, on so many connections.
func (l *load) logins(connections int) func(context.Context, endpoint, time.Duration) (result, error) {
	return func(ctx context.Context, to endpoint, d time.Duration) (result, error) {
		question := url.Values{"service": {serviceName}, "account": {user}, "scope": {"repository:" + repository + ":pull"}}
		to.auth = basicAuth
		if to.login != "" {
			to.base = to.login
		}
		return l.again(ctx, to, "/auth?"+question.Encode(), connections, d, func(answer) error { return nil })
	}
}

// pushBlob is POST, then PUT with all of it, as the spec's end-4a and end-6.
func (l *load) pushBlob(ctx context.Context, to endpoint, blob []byte, digest string) error {
	response, err := l.send(ctx, to, http.MethodPost, to.base+"/v2/"+repository+"/blobs/uploads/", nil)
	if err != nil {
		return err
	}
	if _, err := l.drain(response, http.StatusAccepted); err != nil {
		return err
	}
	location, err := response.Location() // absolute, by the request's URL
	if err != nil {
		return err
	}
	query := location.Query()
	query.Set("digest", digest)
	location.RawQuery = query.Encode()
	if base, err := url.Parse(to.base); err != nil || location.Host != base.Host || location.Scheme != base.Scheme {
		return fmt.Errorf("the upload's Location %s leads away from %s", location.Host, to.base)
	}
	_, err = l.do(ctx, to, http.MethodPut, location.String(), blob, http.StatusCreated)
	return err
}

// do sends a request, reads the answer away, and returns its length.
func (l *load) do(ctx context.Context, to endpoint, method, target string, body []byte, want int) (int64, error) {
	response, err := l.send(ctx, to, method, target, body)
	if err != nil {
		return 0, err
	}
	return l.drain(response, want)
}

func (l *load) send(ctx context.Context, to endpoint, method, target string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept(request.URL.Path))
	if body != nil {
		request.Header.Set("Content-Type", contentType(body))
	}
	if to.auth != "" {
		request.Header.Set("Authorization", to.auth)
	}
	if to.scheme == http2 {
		return l.two.Do(request)
	}
	return l.client.Do(request)
}

func contentType(body []byte) string {
	if len(body) > 2 && body[0] == '{' {
		return manifestType
	}
	return "application/octet-stream"
}

// drain reads the body with a pooled buffer: io.Discard's own is 8 KiB.
func (l *load) drain(response *http.Response, want int) (int64, error) {
	defer response.Body.Close()
	if response.StatusCode != want {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
		return 0, fmt.Errorf("%s %s: status %d, want %d: %s", response.Request.Method, response.Request.URL.Path, response.StatusCode, want, text)
	}
	buffer, _ := l.buffers.Get().(*[]byte)
	defer l.buffers.Put(buffer)
	var total int64
	for {
		n, err := response.Body.Read(*buffer)
		total += int64(n)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
