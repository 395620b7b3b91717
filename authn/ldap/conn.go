package ldap

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/authn"
	"gatehouse/metrics"
)

const (
	dialLimit    = 2 * time.Second
	connLifetime = 14 * time.Minute // Active Directory closes what is 15 minutes idle
)

// conn is one connection.
type conn struct {
	server *server
	wire   *wire
	ldap   *ldap.Conn
	expiry time.Time

	// Guarded by pool.mu.
	inFlight int
	uses     int
	used     time.Time // when a search was last begun
	retired  bool      // closed with its last request
	ended    bool      // the other side closed it, or we did
	timer    *time.Timer
}

// wire makes a write that blocks fail, which go-ldap would wait for for ever,
// and tells when reading ends: go-ldap always reads, so that is when the
// connection does.
type wire struct {
	net.Conn
	limit time.Duration
	once  sync.Once
	ended func()
	first atomic.Int32 // the first byte that came, plus one; 0: none did
	over  atomic.Bool  // the other side ended it
}

func (w *wire) Write(b []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(w.limit)); err != nil {
		return 0, err
	}
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if n > 0 {
		w.first.CompareAndSwap(0, int32(b[0])+1)
	}
	if err != nil {
		w.over.Store(ended(err))
		w.once.Do(w.ended)
	}
	return n, err
}

// open dials s and secures the connection; with service it is bound as the
// service account, where there is one.
func (p *pool) open(ctx context.Context, s *server, service bool) (*conn, error) {
	c, err := p.dial(ctx, s, service)
	switch {
	case err == nil:
		p.metrics.LDAPDial(p.directory, "ok")
	case refusedService(err):
		p.metrics.LDAPDial(p.directory, "refused")
		p.metrics.LDAPEvent(p.directory, metrics.LDAPServiceBindFault)
	default:
		p.metrics.LDAPDial(p.directory, "fault")
	}
	return c, err
}

func (p *pool) dial(ctx context.Context, s *server, service bool) (_ *conn, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.attempt, errNoAnswer)
	defer cancel()
	// A name with several addresses: the dialer tries them all within the limit.
	dialer := net.Dialer{Timeout: min(dialLimit, p.attempt), KeepAlive: 30 * time.Second}
	raw, err := dialer.DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, err
	}
	c := &conn{server: s, wire: &wire{Conn: raw, limit: p.patience}}
	c.expiry = time.Now().Add(connLifetime - time.Duration(rand.Int64N(int64(connLifetime/10))))
	c.wire.ended = func() { p.ended(c) }
	// Neither go-ldap's StartTLS nor its Bind knows a context: closing the
	// connection under them ends both.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	err = p.secure(ctx, c)
	if err == nil && service && p.bindDN != "" {
		err = p.bindService(c)
	}
	if !stop() && err != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// secure starts TLS, where the config wants it, and the LDAP session.
func (p *pool) secure(ctx context.Context, c *conn) error {
	config := p.tls.Clone()
	config.ServerName = cmp.Or(config.ServerName, c.server.host)
	var link net.Conn = c.wire
	if c.server.tls {
		secured := tls.Client(c.wire, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS: %w", explainHandshake(err, true))
		}
		link = secured
	}
	c.ldap = ldap.NewConn(link, c.server.tls)
	c.ldap.SetTimeout(p.patience)
	c.ldap.Start()
	if p.startTLS {
		if err := c.ldap.StartTLS(config); err != nil {
			return fmt.Errorf("StartTLS: %w", explainHandshake(c.explainPlain(err), false))
		}
	}
	return nil
}

// close closes the socket first, so that go-ldap's own close waits for nothing.
func (c *conn) close() {
	c.wire.Close()
	if c.ldap != nil {
		c.ldap.Close()
	}
}

// bindService binds as the service account. Where the server refuses it, the
// password is read again: it may have been changed, in the directory and in its
// file, since the config was read. The same password is never sent twice, since
// each refusal counts towards a lockout.
func (p *pool) bindService(c *conn) error {
	p.mu.Lock()
	password := p.bindPassword
	p.mu.Unlock()
	err := c.bindService(p.bindDN, password)
	if !refusedService(err) || p.readPassword == nil {
		return err
	}
	fresh, unread := p.readPassword()
	switch {
	case unread != nil:
		return fmt.Errorf("%w; bind_password_file cannot be read again: %w", err, unread)
	case fresh == password:
		return fmt.Errorf("%w; bind_password_file still holds the refused password", err)
	}
	if err := c.bindService(p.bindDN, fresh); err != nil {
		return fmt.Errorf("%w; bind_password_file was read again and holds another password, which is refused too", err)
	}
	p.mu.Lock()
	p.bindPassword = fresh
	p.mu.Unlock()
	p.logger.Info("the service account's password was read again from bind_password_file", "directory", p.directory)
	return nil
}

func (c *conn) bindService(dn string, password authn.Secret) error {
	if err := c.ldap.Bind(dn, string(password)); err != nil {
		return &serviceError{c.explainPlain(err)}
	}
	return nil
}

// serviceError is a bind of the service account that failed.
type serviceError struct{ err error }

func (e *serviceError) Error() string { return "binding as bind_dn: " + e.err.Error() }
func (e *serviceError) Unwrap() error { return e.err }

// refusedService reports whether the server does not want the service account, as
// opposed to not answering.
func refusedService(err error) bool {
	var service *serviceError
	return errors.As(err, &service) && ldap.IsErrorAnyOf(service.err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultUnwillingToPerform)
}
