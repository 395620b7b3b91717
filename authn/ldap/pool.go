package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/authn"
	"gatehouse/metrics"
)

const (
	// Searches share connections. A second one is opened when every open one
	// has growAt searches in flight: on one alone a large answer holds up all.
	searchConns = 4
	growAt      = 8
	// growPause is how long after a failure none further is opened: the service
	// account may be refused by now, and load would repeat that until it is locked.
	growPause   = time.Minute
	searchesMax = 32 * searchConns // at one server

	// A bind takes a connection for itself: it changes the identity of
	// everything else that runs there. Limits are for one server.
	bindConns   = 16
	bindIdle    = 8
	bindIdleFor = time.Minute
	bindUses    = 100

	// A search connection that nobody uses is asked something every keepEvery, and
	// closed after searchIdleFor times that.
	keepEvery     = time.Minute
	searchIdleFor = 10

	// How many searches and binds wait for their turn. After a reload everybody's
	// lookup is due at once: as many as there are people remembered must find room.
	searchQueue = 1 << 14
	bindQueue   = 1024

	// settled is how long a server that came back is up before it is preferred again.
	settled = 31 * time.Second
	// A server's last search connection that ends is replaced at once, so that a
	// stopped server is noticed before anybody asks; but only so often, and after
	// quietAfter without traffic more seldom: a server that ends idle connections
	// would be given new ones for ever.
	replaceEvery      = time.Second
	quietAfter        = 2 * time.Minute
	replaceWhileQuiet = time.Minute

	// outdoneMost is how many questions that trouble a server another one may
	// answer well, within one slowWindow, before it does the work alone.
	outdoneMost = 3
)

var (
	errAllDown  = errors.New("no server is up")
	errDown     = errors.New("the server is down")
	errLate     = errors.New("the server has not answered in time")
	errNoAnswer = errors.New("no answer in time")
	errBusy     = errors.New("too many requests in flight")
	// errOutdone is why a server is down that answers, but cannot do what another
	// one can. Where no other is up it is asked all the same.
	errOutdone = errors.New("another server answers what it cannot")
)

// pool is the connections to the servers of one directory, and which of the
// servers are down. Goroutines run only while something is to be done: a dial,
// a request, a watch over a server that is down.
type pool struct {
	startTLS     bool
	tls          *tls.Config // ServerName is empty where each server has its own
	bindDN       string
	readPassword func() (authn.Secret, error) // nil: there is no file to read it from
	baseDN       string                       // read by probes
	// mustShow is asked by the probes of a server that showed nothing of it; nil: the base.
	mustShow  *ldap.SearchRequest
	attempt   time.Duration // how long one operation is waited for, and limit of one dial with its bind
	patience  time.Duration // after that a server that has not answered is down
	keepEvery time.Duration // how long a search connection rests unasked
	logger    *slog.Logger
	directory string
	metrics   *metrics.Metrics

	servers []*server

	ctx     context.Context // ends with close
	stop    context.CancelFunc
	unwatch func() // ends what the metrics show

	mu           sync.Mutex
	unlogged     []func() // what is to be logged when the lock is given back
	bindPassword authn.Secret
	closed       bool
	active       *server       // preferred at the last question
	changed      chan struct{} // closed and replaced when a server goes down or up
}

// semaphore bounds how many operations run and how many wait for that.
type semaphore struct {
	running, waiting chan struct{}
}

func newSemaphore(limit, queue int) semaphore {
	return semaphore{make(chan struct{}, limit), make(chan struct{}, queue)}
}

// acquire waits for a turn while ctx lasts; where too many wait already it fails at once.
func (t semaphore) acquire(ctx context.Context) error {
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

func (t semaphore) release() { <-t.running }

// full reports whether the next one would have to wait.
func (t semaphore) full() bool { return len(t.running) == cap(t.running) }

// server is one of the directory's servers.
type server struct {
	endpoint
	searches, binds semaphore

	took metrics.Latencies // of searches and binds

	// Guarded by pool.mu.
	recent   recent
	down     bool
	why      error // of down
	upSince  time.Time
	since    time.Time // when it last went down or came up
	fault    string    // what kind of fault was the last; empty: there was none
	faultAt  time.Time
	search   []*conn
	idle     []*conn // bind connections, the last used one at the end
	dialing  *dialing
	used     time.Time // when a request of somebody last began
	ungrown  time.Time // when a further search connection could last not be opened
	replaced time.Time // when an ended search connection was last replaced unasked
}

// dialing is a search connection that is being opened for whoever waits.
type dialing struct {
	done chan struct{} // closed at the end
	err  error         // readable then
}

func newPool(cfg Config, secured *tls.Config, endpoints []endpoint) *pool {
	ctx, stop := context.WithCancel(context.Background())
	servers := make([]*server, len(endpoints))
	for i, e := range endpoints {
		servers[i] = &server{endpoint: e, searches: newSemaphore(searchesMax, searchQueue), binds: newSemaphore(bindConns, bindQueue), since: time.Now()}
	}
	attempt := min(cfg.Timeout/2, 3*time.Second)
	p := &pool{
		startTLS: cfg.StartTLS, tls: secured, bindDN: cfg.BindDN,
		bindPassword: cfg.BindPasswordFile.Secret, readPassword: cfg.BindPasswordFile.Reread,
		baseDN: cfg.Users.Base, attempt: attempt, patience: patienceFor(attempt), keepEvery: keepEvery,
		logger: cfg.Logger, directory: cfg.Name, metrics: cfg.Metrics,
		servers: servers, ctx: ctx, stop: stop, changed: make(chan struct{}),
	}
	p.unwatch = p.metrics.WatchLDAPServers(cfg.Name, p.state)
	return p
}

// patienceFor is longer than the time limit that a search tells the server, which is
// a second at least: a server that answers at its limit that it took too long is slow,
// and not gone.
func patienceFor(attempt time.Duration) time.Duration {
	return max(attempt, time.Duration(seconds(attempt))*time.Second+500*time.Millisecond)
}

// logLocked logs when the lock is given back, because writing may block.
func (p *pool) logLocked(level slog.Level, message string, args ...any) {
	p.unlogged = append(p.unlogged, func() { p.logger.Log(context.Background(), level, message, args...) })
}

// unlock gives the lock back, and then logs.
func (p *pool) unlock() {
	records := p.unlogged
	p.unlogged = nil
	p.mu.Unlock()
	for _, write := range records {
		write()
	}
}

// state is what the metrics show of the servers.
func (p *pool) state() []metrics.LDAPServer {
	p.mu.Lock()
	defer p.unlock()
	list := make([]metrics.LDAPServer, len(p.servers))
	for i, s := range p.servers {
		list[i] = metrics.LDAPServer{URL: s.url, Up: !s.down, Active: s == p.active, Searches: len(s.search),
			Binds: len(s.idle) + len(s.binds.running), InFlight: len(s.searches.running) + len(s.binds.running)}
	}
	return list
}

// serverStates are how the servers are, for those who look after them.
func (p *pool) serverStates() []authn.ServerState {
	p.mu.Lock()
	defer p.unlock()
	list := make([]authn.ServerState, len(p.servers))
	for i, s := range p.servers {
		list[i] = authn.ServerState{URL: s.url, Up: !s.down, Active: s == p.active && !s.down, Since: s.since, Fault: s.fault, FaultAt: s.faultAt, Recent: s.took.Recent()}
	}
	return list
}

// available is false while every server is down.
func (p *pool) available() bool {
	p.mu.Lock()
	defer p.unlock()
	return !p.allDownLocked()
}

func (p *pool) allDownLocked() bool {
	return !slices.ContainsFunc(p.servers, func(s *server) bool { return !s.deadLocked() })
}

// deadLocked reports whether the server cannot be asked at all.
func (s *server) deadLocked() bool {
	return s.down && !errors.Is(s.why, errSlow) && !errors.Is(s.why, errOutdone)
}

// close ends idle connections and background work; what runs ends normally,
// and later calls open a connection of their own each.
func (p *pool) close() {
	p.unwatch()
	p.mu.Lock()
	defer p.unlock()
	p.closed = true
	p.stop()
	for _, s := range p.servers {
		p.dropAllLocked(s)
	}
}

// search runs a search on a shared connection. Where that fails for a reason
// that another connection may not have, it is tried once more; where the server
// answers that it cannot do it, it is tried at another one.
func (p *pool) search(ctx context.Context, request *ldap.SearchRequest) (*ldap.SearchResult, error) {
	var failed *server
	last := errAllDown
	for range 2 {
		s := p.pick(failed)
		if s == nil || s == failed && misplaced(last) {
			break
		}
		if failed != nil {
			p.metrics.LDAPEvent(p.directory, metrics.LDAPRetry)
		}
		result, err := p.searchOn(ctx, s, request)
		if err == nil {
			p.outdone(failed, s, last)
		}
		if err == nil || !retryable(err) && !misplaced(err) || ctx.Err() != nil {
			return result, err
		}
		if s == failed && broken(err) && !errors.Is(err, errLate) {
			p.markDown(s, err)
		}
		failed, last = s, err
	}
	return nil, last
}

// pick returns the server to ask: the first that is up and did not just come
// back, else one that did, or that has as many searches as it may, or that is
// slow; failed only where there is no other. nil: all are down.
func (p *pool) pick(failed *server) *server {
	p.mu.Lock()
	defer p.unlock()
	p.preferLocked(p.bestLocked(standing))
	return p.bestLocked(func(s *server) int {
		switch {
		case s == failed:
			return 5
		case s.searches.full():
			return max(3, standing(s))
		}
		return standing(s)
	})
}

// standing is lower for a better server.
func standing(s *server) int {
	switch {
	case s.down:
		return 4
	case time.Since(s.upSince) < settled:
		return 2
	}
	return 1
}

// bestLocked is the first of the servers with the lowest rank that can be asked at all.
func (p *pool) bestLocked(rank func(*server) int) (best *server) {
	for _, s := range p.servers {
		if !s.deadLocked() && (best == nil || rank(s) < rank(best)) {
			best = s
		}
	}
	return best
}

// outdone takes in that other has answered what failed could not. A server of
// which that is so by its state (it is empty, it refers elsewhere, it lacks a
// right) is taken out of use at once: a bind there would call good passwords
// wrong. One that is only busy may be so a few times.
func (p *pool) outdone(failed, other *server, err error) {
	if failed == nil || failed == other || !answered(err) {
		return
	}
	p.mu.Lock()
	defer p.unlock()
	failed.recent.outdone++
	if !failed.down && (misplaced(err) || failed.recent.outdone >= outdoneMost) {
		p.goDownLocked(failed, fmt.Errorf("%w: %w", errOutdone, err))
	}
}

// errHidden is the answer of a server that shows nothing where something must be.
var errHidden error = ldap.NewError(ldap.LDAPResultNoSuchObject, errors.New("it shows nothing of what must be there"))

// compare asks another server for what the preferred one shows nothing of, though
// it must be there. Where the other one shows it, the first is being filled, say,
// and is taken out of use.
func (p *pool) compare(ctx context.Context, request *ldap.SearchRequest) {
	first := p.pick(nil)
	other := p.pick(first)
	if other == first {
		return
	}
	if result, err := p.searchOn(ctx, other, request); err == nil && len(result.Entries) > 0 {
		p.outdone(first, other, errHidden)
	}
}

// preferLocked notes which server is asked by and by.
func (p *pool) preferLocked(s *server) {
	if s == nil || s == p.active {
		return
	}
	if p.active != nil {
		p.metrics.LDAPEvent(p.directory, metrics.LDAPFailover)
	}
	p.active = s
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
	if err := s.searches.acquire(ctx); err != nil {
		return nil, err
	}
	c, err := p.acquire(ctx, s)
	if err != nil {
		s.searches.release()
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.attempt, errLate)
	defer cancel()
	return abandonable(ctx, func() (*ldap.SearchResult, error) {
		began := time.Now()
		result, err := c.ldap.Search(request)
		p.measured(s, "search", began, err)
		err = c.explainPlain(err)
		p.release(c, err)
		s.searches.release()
		return result, err
	})
}

// measured takes in how long an operation took.
func (p *pool) measured(s *server, operation string, began time.Time, err error) {
	took := time.Since(began)
	result, noted := "ok", false // noted: as the server's last fault
	switch {
	case broken(err):
		result, noted = "fault", !closedBefore(err)
	case err != nil:
		result, noted = "refused", operation == "search" // a bind is refused for its password
	}
	p.metrics.LDAPOperation(p.directory, s.url, operation, result, took)
	s.took.Observe(took)
	p.mu.Lock()
	defer p.unlock()
	if noted {
		s.failedLocked(err)
	}
	if operation == "search" && !broken(err) {
		p.observeLocked(s, took)
	}
}

// acquire returns the least busy search connection, opening one where needed.
// Whoever waits for the same dial shares its outcome.
func (p *pool) acquire(ctx context.Context, s *server) (*conn, error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.unlock()
			return p.private(ctx, s)
		}
		if s.deadLocked() {
			p.unlock()
			return nil, errDown
		}
		c := p.leastBusyLocked(s)
		var d *dialing
		if c == nil || c.inFlight >= growAt && len(s.search) < searchConns && time.Since(s.ungrown) > growPause {
			d = p.startDialLocked(s)
		}
		if c != nil {
			c.beginLocked()
			p.unlock()
			return c, nil
		}
		p.unlock()
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
	defer p.unlock()
	c.inFlight, c.retired = 1, true
	return c, nil
}

func (p *pool) leastBusyLocked(s *server) *conn {
	for _, c := range slices.Clone(s.search) {
		if time.Now().After(c.expiry) {
			p.retireLocked(c)
		}
	}
	if len(s.search) == 0 {
		return nil
	}
	return slices.MinFunc(s.search, func(a, b *conn) int { return a.inFlight - b.inFlight })
}

// startDialLocked opens a search connection in the background unless that runs already.
func (p *pool) startDialLocked(s *server) *dialing {
	if s.dialing != nil {
		return s.dialing
	}
	d := &dialing{done: make(chan struct{})}
	s.dialing = d
	go func() {
		c, err := p.open(p.ctx, s, true)
		p.mu.Lock()
		defer p.unlock()
		defer close(d.done)
		s.dialing = nil
		if err == nil {
			err = p.adoptLocked(c)
		}
		d.err = err
		switch {
		case err == nil:
		case len(s.search) == 0:
			p.goDownLocked(s, err)
		default:
			s.ungrown = time.Now()
			s.failedLocked(err)
			p.logLocked(slog.LevelWarn, "LDAP server takes no further connection", "server", s.url, "error", err)
		}
	}()
	return d
}

// adoptLocked takes a new search connection into the pool.
func (p *pool) adoptLocked(c *conn) error {
	if c.ended {
		return errors.New("the server closed the connection at once")
	}
	if p.closed || c.server.deadLocked() {
		go c.close()
		return nil
	}
	c.server.search = append(c.server.search, c)
	c.used = time.Now()
	p.keepLaterLocked(c)
	return nil
}

// beginLocked counts a search on c as running.
func (c *conn) beginLocked() {
	c.timer.Stop()
	c.used = time.Now()
	c.server.used = c.used
	c.inFlight++
}

// keepLaterLocked lets a search connection lie until its next use, or until it is time to
// see whether the server is still there: firewalls forget idle connections, and
// a server that went silent should be noticed before somebody waits for it.
func (p *pool) keepLaterLocked(c *conn) { c.timer = time.AfterFunc(p.keepEvery, func() { p.keep(c) }) }

// keep asks a question on a connection that nobody used, or ends it where that
// has been so for long.
func (p *pool) keep(c *conn) {
	p.mu.Lock()
	switch {
	case c.retired || c.inFlight > 0:
		p.unlock()
		return
	case time.Since(c.used) >= searchIdleFor*p.keepEvery, time.Now().After(c.expiry):
		p.retireLocked(c)
		p.unlock()
		return
	}
	c.inFlight++
	p.unlock()
	_, err := c.ldap.Search(p.readBase())
	p.release(c, err)
}

// release ends a search's use of c. A connection that did not bring an LDAP
// answer is not used again; if it is not even closed, the server is silent.
func (p *pool) release(c *conn, err error) {
	p.mu.Lock()
	defer p.unlock()
	c.inFlight--
	if broken(err) {
		p.retireLocked(c)
		if !c.ended {
			p.goDownLocked(c.server, err)
		}
	}
	switch {
	case c.inFlight > 0:
	case c.retired:
		go c.close()
	default:
		p.keepLaterLocked(c)
	}
}

// retireLocked takes c out of the pool; it is closed with its last request.
func (p *pool) retireLocked(c *conn) {
	if c.retired {
		return
	}
	c.retired = true
	remove(&c.server.search, c)
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.inFlight == 0 {
		go c.close()
	}
}

// ended is called once when c cannot be read any more.
func (p *pool) ended(c *conn) {
	p.mu.Lock()
	defer p.unlock()
	c.ended = true
	s := c.server
	if remove(&s.idle, c) {
		c.timer.Stop()
	}
	if remove(&s.search, c) {
		c.retired = true
		c.timer.Stop()
		if len(s.search) == 0 && !s.down && !p.closed && time.Since(s.replaced) > s.replaceEveryLocked() {
			s.replaced = time.Now()
			p.startDialLocked(s)
		}
	}
}

// replaceEveryLocked is how often the last search connection is replaced unasked.
func (s *server) replaceEveryLocked() time.Duration {
	if time.Since(s.used) > quietAfter {
		return replaceWhileQuiet
	}
	return replaceEvery
}

// bind checks a password on a connection that serves nothing else.
func (p *pool) bind(ctx context.Context, dn string, password authn.Secret) (*ldap.SimpleBindResult, error) {
	var failed *server
	last := errAllDown
	for range 2 {
		s := p.pick(failed)
		if s == nil || s == failed && unjudged(last) {
			break
		}
		result, err := p.bindOn(ctx, s, dn, password)
		var unsent *unsentError
		if !errors.As(err, &unsent) && !unjudged(err) || ctx.Err() != nil {
			return result, err
		}
		failed, last = s, err
	}
	return nil, last
}

// unsentError is a bind that did not reach a server. It may be tried again, and so
// may one that is unjudged; any other may count towards a lockout.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

func (p *pool) bindOn(ctx context.Context, s *server, dn string, password authn.Secret) (*ldap.SimpleBindResult, error) {
	if err := s.binds.acquire(ctx); err != nil {
		return nil, err
	}
	c, err := p.takeBind(ctx, s)
	if err != nil {
		s.binds.release()
		return nil, &unsentError{err}
	}
	request := ldap.NewSimpleBindRequest(dn, string(password), []ldap.Control{ldap.NewControlBeheraPasswordPolicy()})
	return abandonable(ctx, func() (*ldap.SimpleBindResult, error) {
		began := time.Now()
		result, err := c.ldap.SimpleBind(request)
		p.measured(s, "bind", began, err)
		p.putBind(c, err)
		s.binds.release()
		if closedBefore(err) {
			err = &unsentError{err}
		}
		return result, err
	})
}

func (p *pool) takeBind(ctx context.Context, s *server) (*conn, error) {
	p.mu.Lock()
	s.used = time.Now()
	if last := len(s.idle) - 1; last >= 0 {
		c := s.idle[last]
		s.idle = s.idle[:last]
		c.timer.Stop()
		p.unlock()
		return c, nil
	}
	p.unlock()
	c, err := p.open(ctx, s, false)
	if err != nil && ctx.Err() == nil {
		p.markDown(s, err)
	}
	return c, err
}

func (p *pool) putBind(c *conn, err error) {
	p.mu.Lock()
	defer p.unlock()
	c.uses++
	if broken(err) && !c.ended {
		p.goDownLocked(c.server, err)
	}
	judged := err == nil || ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultUnwillingToPerform,
		ldap.LDAPResultConstraintViolation, ldap.LDAPResultInsufficientAccessRights)
	if !judged || c.ended || c.server.deadLocked() || p.closed || c.uses >= bindUses || time.Now().After(c.expiry) ||
		len(c.server.idle) >= bindIdle {
		go c.close()
		return
	}
	c.server.idle = append(c.server.idle, c)
	c.timer = time.AfterFunc(bindIdleFor, func() { p.dropIdle(c) })
}

func (p *pool) dropIdle(c *conn) {
	p.mu.Lock()
	defer p.unlock()
	if remove(&c.server.idle, c) {
		go c.close()
	}
}

// dropAllLocked closes the connections of s that nobody uses, and the others with
// their last request.
func (p *pool) dropAllLocked(s *server) {
	for _, c := range slices.Clone(s.search) {
		p.retireLocked(c)
	}
	for _, c := range s.idle {
		c.timer.Stop()
		go c.close()
	}
	s.idle = nil
}

func (p *pool) markDown(s *server, why error) {
	p.mu.Lock()
	defer p.unlock()
	p.goDownLocked(s, why)
}

// goDownLocked takes s out of use until a probe brings it back.
func (p *pool) goDownLocked(s *server, why error) {
	if s.deadLocked() || p.closed {
		return
	}
	p.logLocked(slog.LevelWarn, "LDAP server is down", "server", s.url, "error", why)
	watched := s.down
	s.down, s.why = true, why
	s.failedLocked(why)
	p.dropAllLocked(s)
	p.announceLocked()
	if !watched {
		s.since = time.Now()
		go p.watch(s)
	}
}

func (p *pool) announceLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// answered reports whether err is a result code that the server sent (RFC 4511 4.1.9),
// not one of go-ldap's own, which begin at 200.
func answered(err error) bool {
	var result *ldap.Error
	return errors.As(err, &result) && result.ResultCode < ldap.ErrorNetwork
}

// broken reports whether an operation left its connection in an unknown condition.
func broken(err error) bool { return err != nil && !answered(err) }

// closedBefore reports whether go-ldap found the connection closed when it was to be used.
func closedBefore(err error) bool {
	return ldap.IsErrorWithCode(err, ldap.ErrorNetwork) && err.Error() == closedText
}

var closedText = ldap.NewError(ldap.ErrorNetwork, errors.New("ldap: connection closed")).Error()

// retryable reports whether a read may do better on another connection or server:
// there was no answer, or one that speaks of the server's trouble at the moment.
func retryable(err error) bool {
	return !answered(err) && !errors.Is(err, errBusy) || momentary(err)
}

func momentary(err error) bool {
	return ldap.IsErrorAnyOf(err, ldap.LDAPResultOperationsError, ldap.LDAPResultTimeLimitExceeded,
		ldap.LDAPResultAdminLimitExceeded, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultOther)
}

// misplaced reports whether a read may do better at another server, and only
// there: this one has answered, and neither with entries nor with a cut list. It
// may be empty or being filled (32, 10, 53), or know other rights (50, 8, 13).
func misplaced(err error) bool {
	return err != nil && answered(err) && !momentary(err) && !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded)
}

// unjudged reports whether a server answered a bind without a look at the
// password, so that it may be sent to another one: it refers elsewhere, is busy,
// going down, or wants another kind of connection.
func unjudged(err error) bool {
	return err != nil && ldap.IsErrorAnyOf(err, ldap.LDAPResultReferral, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable,
		ldap.LDAPResultStrongAuthRequired, ldap.LDAPResultConfidentialityRequired)
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
