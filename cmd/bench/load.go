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
	"sync"
	"sync/atomic"
	"time"
)

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// load is a client that costs little: kept connections, pooled buffers, no digest.
type load struct {
	client   *http.Client
	workers  int
	blob     []byte
	digest   string // of the blob
	manifest string // digest
	size     int64  // of the manifest
	buffers  sync.Pool
}

// prepare pushes the blob and a manifest straight into the registry, and checks
// once by each way that they come back whole.
func prepare(ctx context.Context, h *house, o options) (*load, error) {
	l := &load{client: newClient(o.workers, h.roots), workers: o.workers, blob: make([]byte, o.blobSize)}
	l.buffers.New = func() any { b := make([]byte, copyBuffer); return &b }
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(l.blob) // it never fails
	l.digest = digestOf(l.blob)
	direct := h.endpoints[0]
	if err := l.pushBlob(ctx, direct, l.blob, l.digest); err != nil {
		return nil, fmt.Errorf("preparing: %w", err)
	}
	if err := l.pushManifest(ctx, direct); err != nil {
		return nil, fmt.Errorf("preparing: %w", err)
	}
	for _, to := range h.endpoints {
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

// manifests asks for one manifest from all workers, and returns answers a second.
func (l *load) manifests(ctx context.Context, to endpoint, d time.Duration) (float64, error) {
	var answered atomic.Int64
	errs := make(chan error, l.workers)
	start := time.Now()
	for range l.workers {
		go func() { errs <- l.manifestWorker(ctx, to, start.Add(d), &answered) }()
	}
	var err error
	for range l.workers {
		err = errors.Join(err, <-errs)
	}
	return float64(answered.Load()) / time.Since(start).Seconds(), err
}

func (l *load) manifestWorker(ctx context.Context, to endpoint, end time.Time, answered *atomic.Int64) error {
	for time.Now().Before(end) {
		n, err := l.do(ctx, to, http.MethodGet, to.base+l.manifestPath(), nil, http.StatusOK)
		if err != nil {
			return err
		}
		if n != l.size {
			return fmt.Errorf("a manifest of %d bytes, want %d", n, l.size)
		}
		answered.Add(1)
	}
	return nil
}

// pull reads the blob until d is over, and returns MB (10^6 bytes) a second.
func (l *load) pull(ctx context.Context, to endpoint, d time.Duration) (float64, error) {
	return l.repeat(d, func() error {
		n, err := l.do(ctx, to, http.MethodGet, to.base+l.blobPath(), nil, http.StatusOK)
		if err == nil && n != int64(len(l.blob)) {
			err = fmt.Errorf("a blob of %d bytes, want %d", n, len(l.blob))
		}
		return err
	})
}

// push uploads the blob until d is over, and returns MB (10^6 bytes) a second. It is the same
// blob each time: the registry checks all of it before it sees that it has it.
func (l *load) push(ctx context.Context, to endpoint, d time.Duration) (float64, error) {
	return l.repeat(d, func() error { return l.pushBlob(ctx, to, l.blob, l.digest) })
}

// repeat does one transfer of the blob again and again, once at least.
func (l *load) repeat(d time.Duration, transfer func() error) (float64, error) {
	start, moved := time.Now(), 0
	for moved == 0 || time.Since(start) < d {
		if err := transfer(); err != nil {
			return 0, err
		}
		moved += len(l.blob)
	}
	return float64(moved) / 1e6 / time.Since(start).Seconds(), nil
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
	request.Header.Set("Accept", manifestType)
	if body != nil {
		request.Header.Set("Content-Type", contentType(body))
	}
	if to.token != "" {
		request.Header.Set("Authorization", "Bearer "+to.token)
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
