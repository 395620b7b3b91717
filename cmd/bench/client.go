package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
)

// repository holds what is measured.
const repository = "bench/image"

// copyBuffer is the size of the load's own buffers: large, so that the client
// is never what limits a proxy.
const copyBuffer = 256 << 10

// endpoint is one way to the registry. All endpoints of one measure have the same scheme.
type endpoint struct {
	name   string // direct, nginx or gateway
	secure bool
	base   string // http://host:port
	token  string // a bearer token; empty: none
}

// newClient speaks HTTP/1.1 on both schemes, as nginx does to its upstream, so
// that the ways differ in nothing but what stands between.
func newClient(workers int, roots *x509.CertPool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: workers,
		DisableCompression:  true,
		ReadBufferSize:      64 << 10,
		WriteBufferSize:     copyBuffer,
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		Protocols:           protocols,
	}}
}
