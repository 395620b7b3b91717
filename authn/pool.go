package authn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const (
	dialLimit    = 2 * time.Second
	connLifetime = 14 * time.Minute // Active Directory closes what is 15 minutes idle

	// Searches share connections. A second one is opened when every open one
	// has growAt searches in flight: on one alone a large answer holds up all.
	searchConns = 4
	growAt      = 8
	searchesMax = 32 * searchConns

	// A bind takes a connection for itself: it changes the identity of
	// everything else that runs there.
	bindConns   = 16
	bindIdle    = 8
	bindIdleFor = time.Minute
	bindUses    = 100

	// queueMax is how many searches, and how many binds, wait for their turn.
	queueMax = 1024

	// settled is how long a server that came back is up before it is preferred again.
	settled = 31 * time.Second
	// A server's last search connection that ends is replaced at once, so that a
	// stopped server is noticed before anybody asks; but only so often.
	replaceEvery = time.Second
)

var (
	errAllDown = errors.New("no server is up")
	errDown    = errors.New("the server is down")
	errBusy    = errors.New("too many requests in flight")
)

// pool is the connections to the servers of one directory, and which of the
// servers are down. Goroutines run only while something is to be done: a dial,
// a request, a watch over a server that is down.
type pool struct {
	startTLS     bool
	roots        *x509.CertPool
	bindDN       string
	bindPassword Secret
	baseDN       string        // read by probes
	attempt      time.Duration // limit of one operation, and of one dial with its bind
	logger       *slog.Logger

	servers  []*server
	searches turns
	binds    turns

	ctx  context.Context // ends with close
	stop context.CancelFunc

	mu      sync.Mutex
	closed  bool
	changed chan struct{} // closed and replaced when a server goes down or up
}

// turns bounds how many operations run and how many wait for that.
type turns struct {
	running, waiting chan struct{}
}

func newTurns(limit int) turns {
	return turns{make(chan struct{}, limit), make(chan struct{}, queueMax)}
}

// take waits for a turn while ctx lasts; where too many wait already it fails at once.
func (t turns) take(ctx context.Context) error {
	select {
	case t.waiting <- struct{}{}:
	default:
		return errBusy
	}
	defer func() { <-t.waiting }()
	select {
	case t.running <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errBusy, context.Cause(ctx))
	}
}

func (t turns) give() { <-t.running }

// server is one of the directory's servers.
type server struct {
	url, network, address, host string
	tls                         bool

	// Guarded by pool.mu.
	down     bool
	why      error // of down
	upSince  time.Time
	search   []*conn
	idle     []*conn // bind connections, the last used one at the end
	dialing  *dialing
	replaced time.Time // when an ended search connection was last replaced unasked
}

// dialing is a search connection that is being opened for whoever waits.
type dialing struct {
	done chan struct{} // closed at the end
	err  error         // readable then
}

// conn is one connection.
type conn struct {
	server *server
	wire   *wire
	ldap   *ldap.Conn
	expiry time.Time

	// Guarded by pool.mu.
	inFlight int
	uses     int
	retired  bool // closed with its last request
	ended    bool // the other side closed it, or we did
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
}

func (w *wire) Write(b []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(w.limit)); err != nil {
		return 0, err
	}
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err != nil {
		w.once.Do(w.ended)
	}
	return n, err
}

func newPool(cfg LDAPConfig, servers []*server) *pool {
	ctx, stop := context.WithCancel(context.Background())
	return &pool{
		startTLS: cfg.StartTLS, roots: cfg.Roots, bindDN: cfg.BindDN, bindPassword: cfg.BindPassword,
		baseDN: cfg.UsersBase, attempt: min(cfg.Timeout/2, 3*time.Second), logger: cfg.Logger, servers: servers,
		searches: newTurns(searchesMax), binds: newTurns(bindConns), ctx: ctx, stop: stop, changed: make(chan struct{}),
	}
}

// available is false while every server is down.
func (p *pool) available() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.allDown()
}

func (p *pool) allDown() bool {
	return !slices.ContainsFunc(p.servers, func(s *server) bool { return !s.down })
}

// close ends idle connections and background work; what runs ends normally,
// and later calls open a connection of their own each.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.stop()
	for _, s := range p.servers {
		p.dropAll(s)
	}
}

// search runs a search on a shared connection. Where that fails for a reason
// that another connection may not have, it is tried once more.
func (p *pool) search(ctx context.Context, request *ldap.SearchRequest) (*ldap.SearchResult, error) {
	var failed *server
	last := errAllDown
	for range 2 {
		s := p.pick(failed)
		if s == nil {
			break
		}
		result, err := p.searchOn(ctx, s, request)
		if err == nil || !retryable(err) || ctx.Err() != nil {
			return result, err
		}
		if s == failed && broken(err) {
			p.markDown(s, err)
		}
		failed, last = s, err
	}
	return nil, last
}

// pick returns the server to ask: the first that is up and did not just come
// back, else any that is up; failed only where there is no other.
func (p *pool) pick(failed *server) *server {
	p.mu.Lock()
	defer p.mu.Unlock()
	var best *server
	rank := func(s *server) int {
		switch {
		case s == failed:
			return 3
		case time.Since(s.upSince) < settled:
			return 2
		}
		return 1
	}
	for _, s := range p.servers {
		if !s.down && (best == nil || rank(s) < rank(best)) {
			best = s
		}
	}
	return best
}

// abandonable runs an operation that go-ldap cannot be made to leave early, and
// stops waiting for it when ctx ends. The operation goes on to its own time limit.
func abandonable[T any](ctx context.Context, operation func() (T, error)) (result T, err error) {
	type outcome struct {
		result T
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		result, err := operation()
		done <- outcome{result, err}
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
		return result, context.Cause(ctx)
	}
}

func (p *pool) searchOn(ctx context.Context, s *server, request *ldap.SearchRequest) (*ldap.SearchResult, error) {
	if err := p.searches.take(ctx); err != nil {
		return nil, err
	}
	c, err := p.acquire(ctx, s)
	if err != nil {
		p.searches.give()
		return nil, err
	}
	return abandonable(ctx, func() (*ldap.SearchResult, error) {
		result, err := c.ldap.Search(request)
		p.release(c, err)
		p.searches.give()
		return result, err
	})
}

// acquire returns the least busy search connection, opening one where needed.
// Whoever waits for the same dial shares its outcome.
func (p *pool) acquire(ctx context.Context, s *server) (*conn, error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return p.private(ctx, s)
		}
		if s.down {
			p.mu.Unlock()
			return nil, errDown
		}
		c := p.leastBusy(s)
		var d *dialing
		if c == nil || c.inFlight >= growAt && len(s.search) < searchConns {
			d = p.startDial(s)
		}
		if c != nil {
			c.inFlight++
			p.mu.Unlock()
			return c, nil
		}
		p.mu.Unlock()
		select {
		case <-d.done:
			if d.err != nil && p.ctx.Err() == nil {
				return nil, d.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// private opens a connection for one request, after close.
func (p *pool) private(ctx context.Context, s *server) (*conn, error) {
	c, err := p.open(ctx, s, true)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.inFlight, c.retired = 1, true
	return c, nil
}

func (p *pool) leastBusy(s *server) *conn {
	for _, c := range slices.Clone(s.search) {
		if time.Now().After(c.expiry) {
			p.retire(c)
		}
	}
	if len(s.search) == 0 {
		return nil
	}
	return slices.MinFunc(s.search, func(a, b *conn) int { return a.inFlight - b.inFlight })
}

// startDial opens a search connection in the background unless that runs already.
func (p *pool) startDial(s *server) *dialing {
	if s.dialing != nil {
		return s.dialing
	}
	d := &dialing{done: make(chan struct{})}
	s.dialing = d
	go func() {
		c, err := p.open(p.ctx, s, true)
		p.mu.Lock()
		defer p.mu.Unlock()
		defer close(d.done)
		s.dialing = nil
		if err == nil {
			err = p.adopt(c)
		}
		d.err = err
		if err != nil && len(s.search) == 0 {
			p.goDown(s, err)
		}
	}()
	return d
}

// adopt takes a new search connection into the pool.
func (p *pool) adopt(c *conn) error {
	if c.ended {
		return errors.New("the server closed the connection at once")
	}
	if p.closed || c.server.down {
		go c.close()
		return nil
	}
	c.server.search = append(c.server.search, c)
	return nil
}

// release ends a search's use of c. A connection that did not bring an LDAP
// answer is not used again; if it is not even closed, the server is silent.
func (p *pool) release(c *conn, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.inFlight--
	if broken(err) {
		p.retire(c)
		if !c.ended {
			p.goDown(c.server, err)
		}
	}
	if c.retired && c.inFlight == 0 {
		go c.close()
	}
}

// retire takes c out of the pool; it is closed with its last request.
func (p *pool) retire(c *conn) {
	if c.retired {
		return
	}
	c.retired = true
	remove(&c.server.search, c)
	if c.inFlight == 0 {
		go c.close()
	}
}

// ended is called once when c cannot be read any more.
func (p *pool) ended(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.ended = true
	s := c.server
	if remove(&s.idle, c) {
		c.timer.Stop()
	}
	if remove(&s.search, c) {
		c.retired = true
		if len(s.search) == 0 && !s.down && !p.closed && time.Since(s.replaced) > replaceEvery {
			s.replaced = time.Now()
			p.startDial(s)
		}
	}
}

// bind checks a password on a connection that serves nothing else.
func (p *pool) bind(ctx context.Context, dn string, password Secret) (*ldap.SimpleBindResult, error) {
	var failed *server
	last := errAllDown
	for range 2 {
		s := p.pick(failed)
		if s == nil {
			break
		}
		result, err := p.bindOn(ctx, s, dn, password)
		var unsent *unsentError
		if !errors.As(err, &unsent) || ctx.Err() != nil {
			return result, err
		}
		failed, last = s, err
	}
	return nil, last
}

// unsentError is a bind that did not reach a server. Only such a one is tried
// again: a bind that may have been judged counts towards a lockout.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

func (p *pool) bindOn(ctx context.Context, s *server, dn string, password Secret) (*ldap.SimpleBindResult, error) {
	if err := p.binds.take(ctx); err != nil {
		return nil, err
	}
	c, err := p.takeBind(ctx, s)
	if err != nil {
		p.binds.give()
		return nil, &unsentError{err}
	}
	request := ldap.NewSimpleBindRequest(dn, string(password), []ldap.Control{ldap.NewControlBeheraPasswordPolicy()})
	return abandonable(ctx, func() (*ldap.SimpleBindResult, error) {
		result, err := c.ldap.SimpleBind(request)
		p.putBind(c, err)
		p.binds.give()
		if closedBefore(err) {
			err = &unsentError{err}
		}
		return result, err
	})
}

func (p *pool) takeBind(ctx context.Context, s *server) (*conn, error) {
	p.mu.Lock()
	if last := len(s.idle) - 1; last >= 0 {
		c := s.idle[last]
		s.idle = s.idle[:last]
		c.timer.Stop()
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	c, err := p.open(ctx, s, false)
	if err != nil && ctx.Err() == nil {
		p.markDown(s, err)
	}
	return c, err
}

func (p *pool) putBind(c *conn, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.uses++
	if broken(err) && !c.ended {
		p.goDown(c.server, err)
	}
	judged := err == nil || ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultUnwillingToPerform,
		ldap.LDAPResultConstraintViolation, ldap.LDAPResultInsufficientAccessRights)
	if !judged || c.ended || c.server.down || p.closed || c.uses >= bindUses || time.Now().After(c.expiry) ||
		len(c.server.idle) >= bindIdle {
		go c.close()
		return
	}
	c.server.idle = append(c.server.idle, c)
	c.timer = time.AfterFunc(bindIdleFor, func() { p.dropIdle(c) })
}

func (p *pool) dropIdle(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if remove(&c.server.idle, c) {
		go c.close()
	}
}

// dropAll closes the connections of s that nobody uses, and the others with
// their last request.
func (p *pool) dropAll(s *server) {
	for _, c := range slices.Clone(s.search) {
		p.retire(c)
	}
	for _, c := range s.idle {
		c.timer.Stop()
		go c.close()
	}
	s.idle = nil
}

func (p *pool) markDown(s *server, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.goDown(s, why)
}

// goDown takes s out of use until a probe brings it back.
func (p *pool) goDown(s *server, why error) {
	if s.down || p.closed {
		return
	}
	p.logger.Warn("LDAP server is down", "server", s.url, "error", why)
	s.down, s.why = true, why
	p.dropAll(s)
	p.announce()
	go p.watch(s)
}

func (p *pool) announce() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// watch probes s until it answers, so that no request has to try.
func (p *pool) watch(s *server) {
	for failures := 0; p.wait(s, failures); failures++ {
		c, err := p.probe(s)
		if p.probed(s, c, err) {
			return
		}
	}
}

// probe opens a search connection and reads the base of the users.
func (p *pool) probe(s *server) (*conn, error) {
	c, err := p.open(p.ctx, s, true)
	if err != nil {
		return nil, err
	}
	request := ldap.NewSearchRequest(p.baseDN, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, seconds(p.attempt), false,
		"(objectClass=*)", []string{"1.1"}, nil)
	stop := context.AfterFunc(p.ctx, c.close)
	defer stop()
	if _, err := c.ldap.Search(request); err != nil {
		c.close()
		return nil, fmt.Errorf("reading %s: %w", p.baseDN, err)
	}
	return c, nil
}

// probed takes in what a probe found and says whether the watch is over.
func (p *pool) probed(s *server, c *conn, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		s.why = err
		return p.closed
	}
	s.down, s.upSince = false, time.Now()
	p.adopt(c)
	p.logger.Info("LDAP server is up", "server", s.url)
	p.announce()
	return true
}

// wait blocks until the next probe of s is due; false: the pool is closed. How
// long that is changes when other servers go down or come back.
func (p *pool) wait(s *server, failures int) bool {
	start, jitter := time.Now(), 0.8+0.4*rand.Float64()
	for {
		p.mu.Lock()
		changed := p.changed
		delay := probeDelay(failures, p.allDown(), refusedService(s.why))
		p.mu.Unlock()
		timer := time.NewTimer(time.Until(start.Add(time.Duration(float64(delay) * jitter))))
		select {
		case <-timer.C:
			return p.ctx.Err() == nil
		case <-changed:
			timer.Stop()
		case <-p.ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// probeDelay is short while nobody can log in, and long while another server
// does the work. Where the service account itself is refused it stays long:
// repeating that would lock the account.
func probeDelay(failures int, allDown, refused bool) time.Duration {
	switch {
	case refused:
		return time.Minute
	case allDown && failures == 0:
		return 50 * time.Millisecond
	case allDown:
		return min(time.Second<<min(failures-1, 2), 4*time.Second)
	}
	return min(30*time.Second<<min(failures, 4), 5*time.Minute)
}

// open dials s and secures the connection; with service it is bound as the
// service account, where there is one.
func (p *pool) open(ctx context.Context, s *server, service bool) (_ *conn, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.attempt, errors.New("no answer in time"))
	defer cancel()
	dialer := net.Dialer{Timeout: min(dialLimit, p.attempt), KeepAlive: 30 * time.Second}
	raw, err := dialer.DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, err
	}
	c := &conn{server: s, wire: &wire{Conn: raw, limit: p.attempt}}
	c.expiry = time.Now().Add(connLifetime - time.Duration(rand.Int64N(int64(connLifetime/10))))
	c.wire.ended = func() { p.ended(c) }
	// Neither go-ldap's StartTLS nor its Bind knows a context: closing the
	// connection under them ends both.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	err = p.secure(ctx, c)
	if err == nil && service && p.bindDN != "" {
		if err = c.ldap.Bind(p.bindDN, string(p.bindPassword)); err != nil {
			err = &serviceError{err}
		}
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
	config := &tls.Config{RootCAs: p.roots, ServerName: c.server.host, MinVersion: tls.VersionTLS12}
	var link net.Conn = c.wire
	if c.server.tls {
		secured := tls.Client(c.wire, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
		link = secured
	}
	c.ldap = ldap.NewConn(link, c.server.tls)
	c.ldap.SetTimeout(p.attempt)
	c.ldap.Start()
	if p.startTLS {
		if err := c.ldap.StartTLS(config); err != nil {
			return fmt.Errorf("StartTLS: %w", err)
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

// serviceError is a bind of the service account that failed.
type serviceError struct{ err error }

func (e *serviceError) Error() string { return "binding as bind_dn: " + e.err.Error() }
func (e *serviceError) Unwrap() error { return e.err }

// refusedService says that the server does not want the service account, as
// opposed to not answering.
func refusedService(err error) bool {
	var service *serviceError
	return errors.As(err, &service) && ldap.IsErrorAnyOf(service.err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultUnwillingToPerform)
}

// answered says that err is a result code that the server sent (RFC 4511 4.1.9),
// not one of go-ldap's own, which begin at 200.
func answered(err error) bool {
	var result *ldap.Error
	return errors.As(err, &result) && result.ResultCode < ldap.ErrorNetwork
}

// broken says that an operation left its connection in an unknown condition.
func broken(err error) bool { return err != nil && !answered(err) }

// closedBefore says that go-ldap found the connection closed when it was to be used.
func closedBefore(err error) bool {
	return ldap.IsErrorWithCode(err, ldap.ErrorNetwork) && err.Error() == closedText
}

var closedText = ldap.NewError(ldap.ErrorNetwork, errors.New("ldap: connection closed")).Error()

// retryable says that a read may do better on another connection or server:
// there was no answer, or one that speaks of the server's own trouble.
func retryable(err error) bool {
	if errors.Is(err, errBusy) {
		return false
	}
	return !answered(err) || ldap.IsErrorAnyOf(err, ldap.LDAPResultOperationsError, ldap.LDAPResultTimeLimitExceeded,
		ldap.LDAPResultAdminLimitExceeded, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultOther)
}

// seconds is d for a search's time limit, at least one.
func seconds(d time.Duration) int { return max(1, int(d/time.Second)) }

func remove(list *[]*conn, c *conn) bool {
	i := slices.Index(*list, c)
	if i < 0 {
		return false
	}
	*list = slices.Delete(*list, i, i+1)
	return true
}
