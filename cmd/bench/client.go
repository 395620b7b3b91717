package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatehouse/authn/authntest"
)

// repository holds what is measured.
const repository = "bench/image"

// copyBuffer is the size of the load's own buffers: large, so that the client
// is never what limits a proxy.
const copyBuffer = 256 << 10

// endpoint is one way to the content.
type endpoint struct {
	name       string // direct, nginx, gateway, cached, ...
	scheme     scheme
	base       string             // http://host:port
	login      string             // http://host:port of the realm where that is another; else empty
	loginFront *authntest.Process // that process
	auth       string             // the value of Authorization; empty: none
	front      *authntest.Process // whose CPU time a request by this way is held to cost
	admin      string             // http://host:port of a gateway's admin listener; empty: no gateway
	socket     string             // the path of its admin.socket, where content can be purged
}

// scheme is how the client speaks: ways are compared within one.
type scheme string

const (
	plain scheme = "plain"
	overs scheme = "TLS"
	http2 scheme = "HTTP/2"
	line  scheme = "1 Gbit/s" // in clear text, with a slow line to the upstream
	null  scheme = "null"     // in clear text, with an upstream that answers from memory
)

// newClient speaks HTTP/1.1, as nginx does to its upstream, or HTTP/2 alone.
func newClient(workers int, roots *x509.CertPool, two bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!two)
	protocols.SetHTTP2(two)
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: workers,
		DisableCompression:  true,
		ReadBufferSize:      64 << 10,
		WriteBufferSize:     copyBuffer,
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		Protocols:           protocols,
	}}
}

// purge makes a gateway forget all of its cache, by its admin.socket.
func purge(ctx context.Context, socket string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gatehouse/cache/purge", bytes.NewReader([]byte(`{"all":true}`)))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("purge: status %d", response.StatusCode)
	}
	return nil
}

// caller is a connection that sends one GET again and again and reads its answers at
// little cost: what the client spends, on the same processors, hides what a way costs.
type caller struct {
	net.Conn
	request []byte
	buffer  []byte
}

// dial opens a connection that asks for path by a way.
func dial(ctx context.Context, to endpoint, path string, roots *x509.CertPool, buffer int) (*caller, error) {
	at, err := url.Parse(to.base)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", at.Host)
	if err != nil {
		return nil, err
	}
	if at.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: at.Hostname()})
	}
	return &caller{Conn: conn, request: requestFor(to, path), buffer: make([]byte, buffer)}, nil
}

// requestFor is a GET as containerd makes it.
func requestFor(to endpoint, path string) []byte {
	_, host, _ := strings.Cut(to.base, "://")
	text := "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: containerd/2.1.4\r\nAccept: " + accept(path) + "\r\nAccept-Encoding: identity\r\n"
	if to.auth != "" {
		text += "Authorization: " + to.auth + "\r\n"
	}
	return []byte(text + "\r\n")
}

// accept is what a client that asks for path takes.
func accept(path string) string {
	if strings.Contains(path, "/manifests/") {
		return manifestType
	}
	return "application/octet-stream, */*"
}

// answer is what came for one request.
type answer struct {
	size  int64         // of the body, bytes
	first time.Duration // until the answer's first byte
	hit   bool          // a cache answered
}

var (
	headerEnd    = []byte("\r\n\r\n")
	lengthHeader = []byte("\r\nContent-Length: ")
	hitHeader    = []byte("\r\nCache-Status: gatehouse; hit")
)

// ask sends the request and reads its answer away; all but 200 with a length is an error.
func (c *caller) ask() (a answer, err error) {
	start := time.Now()
	if _, err := c.Write(c.request); err != nil {
		return a, err
	}
	have, end := 0, -1
	for end < 0 {
		n, err := c.Read(c.buffer[have:])
		if err != nil {
			return a, err
		}
		if have == 0 {
			a.first = time.Since(start)
		}
		have += n
		end = bytes.Index(c.buffer[:have], headerEnd)
		if end < 0 && have == len(c.buffer) {
			return a, errors.New("an endless header")
		}
	}
	header := c.buffer[:end+2]
	if a.size, err = length(header); err != nil {
		return a, err
	}
	a.hit = bytes.Contains(header, hitHeader)
	for rest := a.size - int64(have-end-len(headerEnd)); rest != 0; {
		n, err := c.Read(c.buffer)
		if rest -= int64(n); err == nil && rest < 0 {
			err = errors.New("more came than the length says")
		}
		if err != nil && rest != 0 {
			return a, errors.Join(err, io.ErrUnexpectedEOF)
		}
	}
	return a, nil
}

// length is the Content-Length of a 200.
func length(header []byte) (int64, error) {
	if !bytes.HasPrefix(header, []byte("HTTP/1.1 200 ")) {
		return 0, fmt.Errorf("answered %.60q", header)
	}
	at := bytes.Index(header, lengthHeader)
	if at < 0 {
		return 0, fmt.Errorf("an answer without a length: %.300q", header)
	}
	text, _, _ := bytes.Cut(header[at+len(lengthHeader):], []byte("\r"))
	return strconv.ParseInt(string(text), 10, 64)
}
