package upstream

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"time"

	"gatehouse/authn"
)

// transport speaks HTTP/1.1 with the registry, without a proxy of the environment and
// without compression, which would change what was digested: by a client of its own
// where a request has no body and may be sent again, and by net/http's otherwise.
type transport struct {
	client *client
	bodies *http.Transport
	stores *http.Transport // where redirects lead
}

func newTransport(cfg *Config, base *url.URL) (*transport, error) {
	tlsConfig, err := newTLS(cfg)
	if err != nil {
		return nil, err
	}
	idle, connect := cfg.IdleTimeout, cfg.Dial
	if idle <= 0 {
		idle = defaultIdle
	}
	if connect == nil {
		connect = (&net.Dialer{Timeout: dialLimit, KeepAlive: 30 * time.Second}).DialContext
	}
	client, err := newClient(base, tlsConfig, connect, idle)
	if err != nil {
		return nil, err
	}
	return &transport{client, newBodies(connect, tlsConfig, idle), newBodies(connect, storesOf(tlsConfig), idle)}, nil
}

// newBodies is for requests with bodies, which are sent while their answer may come.
func newBodies(connect func(ctx context.Context, network, address string) (net.Conn, error), tlsConfig *tls.Config, idle time.Duration) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := connect(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return progressConn{conn}, nil
		},
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    dialLimit,
		DisableCompression:     true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idle,
		MaxResponseHeaderBytes: maxHeaderBytes,
		WriteBufferSize:        64 << 10,
		ReadBufferSize:         64 << 10,
	}
}

// close lets go of idle connections.
func (t *transport) close() {
	t.client.pool.close()
	t.bodies.CloseIdleConnections()
	t.stores.CloseIdleConnections()
}

// newTLS trusts the system's authorities and those of the config, and shows the
// config's certificate.
func newTLS(cfg *Config) (*tls.Config, error) {
	roots, err := authn.Roots(cfg.CAFile, authn.Folder{})
	if err != nil {
		return nil, err
	}
	pair, err := authn.KeyPair(cfg.CertFile, cfg.KeyFile)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if pair != nil {
		c.Certificates = []tls.Certificate{*pair}
	}
	return c, nil
}

// storesOf is TLS with hosts that redirects lead to, which are not shown our certificate.
func storesOf(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.Certificates = nil
	return c
}

// progressConn ends a write that the other side does not take at all.
type progressConn struct{ net.Conn }

// Write has the progress window, and the time of its bytes at the least rate.
func (c progressConn) Write(p []byte) (int, error) {
	limit := progressWindow + time.Duration(len(p))*time.Second/minRate
	if err := c.Conn.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
