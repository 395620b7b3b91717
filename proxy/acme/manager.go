package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/metrics"
)

const (
	lookPeriod = time.Minute      // between looks at what is stored, which a replica may have renewed
	orderLimit = 10 * time.Minute // for one order, with the wait for a replica's
	atOnce     = 4                // orders that run at the same time
	firstRetry = 40 * time.Second // after an order that failed; each further one waits
	lastRetry  = time.Hour        // four times as long, up to this: the public servers allow
)

// Options is what a Manager is made of.
type Options struct {
	// Config is the section, checked.
	Config Config
	// Folder is the storage's path.
	Folder string
	// Listening is where the gateway itself listens for TLS and for plain HTTP, host:port;
	// it is asked when the first order begins. Empty: nowhere.
	Listening func() (secure, plain string)
	// Metrics counts the orders; nil: nobody does.
	Metrics *metrics.Metrics
	// Logger is told of each order's end.
	Logger *slog.Logger
}

// Manager has the certificates of the names of one config. It is safe for concurrent use.
type Manager struct {
	options Options
	store   store
	client  func() *client // made when the first order or challenge comes
	orders  chan struct{}  // those that run
	list    []*certificate // in the config's order

	mu sync.Mutex // of each certificate's plan
}

// certificate is that of one name.
type certificate struct {
	name   string // in lower case
	loaded atomic.Pointer[tls.Certificate]
	plan   plan // guarded by the manager's mu
}

// plan is when a certificate is looked at again, and why.
type plan struct {
	running  bool
	after    time.Time // the next look
	failures int       // orders that failed since the last good one
	fault    error     // of the last
}

// New makes a Manager. It touches nothing, not even the folder.
func New(o Options) *Manager {
	m := &Manager{options: o, store: newStore(o.Folder, o.Config.DirectoryURL), orders: make(chan struct{}, atOnce)}
	m.client = sync.OnceValue(func() *client { return newClient(&m.options, m.store) })
	for _, name := range o.Config.Names {
		m.list = append(m.list, &certificate{name: strings.ToLower(name)})
	}
	return m
}

// Same reports whether a Manager of another config would do the same.
func (m *Manager) Same(cfg *Config, folder string) bool {
	return m != nil && m.options.Folder == folder && m.options.Config.Same(cfg)
}

// Restore takes what is stored, and goes on with what old has (nil: there was none), so
// that no name is without a certificate while the first order of another config runs.
// After it every order that failed is tried again at once.
func (m *Manager) Restore(old *Manager) {
	for _, c := range m.list {
		if before := old.find(c.name); before != nil && c.loaded.Load() == nil {
			c.loaded.Store(before.loaded.Load())
		}
		if stored, err := m.store.read(c.name); err == nil {
			c.loaded.Store(stored)
		}
		m.mu.Lock()
		c.plan.after = time.Time{}
		m.mu.Unlock()
	}
}

// find is the certificate of a name; nil: it is not ours. A nil Manager has none.
func (m *Manager) find(name string) *certificate {
	if m == nil {
		return nil
	}
	for _, c := range m.list {
		if strings.EqualFold(c.name, name) {
			return c
		}
	}
	return nil
}

// Certificate is what is served for a name; nil: none, or none yet.
func (m *Manager) Certificate(name string) *tls.Certificate {
	if c := m.find(name); c != nil {
		return c.loaded.Load()
	}
	return nil
}

// Has reports whether the name is one that certificates are ordered for.
func (m *Manager) Has(name string) bool { return m.find(name) != nil }

// State is how it stands with one name.
type State struct {
	// Name is the DNS name, in lower case.
	Name string
	// Certificate is what is served; nil: none yet.
	Certificate *tls.Certificate
	// Err is why the last order failed; nil: it did not.
	Err error
}

// States are those of all names, in the config's order; none on nil.
func (m *Manager) States() []State {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []State
	for _, c := range m.list {
		list = append(list, State{c.name, c.loaded.Load(), c.plan.fault})
	}
	return list
}

// Order looks at every name that is due, but for those that covered says a pair is served
// for, and orders what is missing or has to be renewed. Each is done in a function that
// is given to start, and ends with ctx.
func (m *Manager) Order(ctx context.Context, covered func(name string) bool, start func(func())) {
	now := time.Now()
	for _, c := range m.list {
		if !covered(c.name) && m.begin(c, now) {
			start(func() { m.tend(ctx, c) })
		}
	}
}

// begin reports whether it is time to look at a certificate that nobody looks at.
func (m *Manager) begin(c *certificate, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.plan.running || now.Before(c.plan.after) {
		return false
	}
	c.plan.running = true
	return true
}

// tend looks at what is stored and orders where that will not do.
func (m *Manager) tend(ctx context.Context, c *certificate) {
	stored, err := m.store.read(c.name)
	if err == nil {
		m.take(c, stored)
	}
	if err != nil || due(stored, time.Now()) {
		stored, err = m.order(ctx, c)
	}
	if ctx.Err() == nil && err != nil {
		m.options.Metrics.ACMEOrder("failed")
	}
	if wait := m.end(c, stored, err); ctx.Err() == nil && err != nil {
		m.options.Logger.Error("a certificate could not be ordered; what is served stays", "name", c.name, "error", err.Error(), "again_in", wait.String())
	}
}

// take serves what is stored from now on.
func (m *Manager) take(c *certificate, stored *tls.Certificate) {
	if old := c.loaded.Load(); old != nil && old.Leaf.Equal(stored.Leaf) {
		return
	}
	c.loaded.Store(stored)
	m.options.Logger.Info("certificate changed", "name", c.name, "not_after", stored.Leaf.NotAfter.Format(time.RFC3339))
}

// end plans the next look, and returns how long it is until then.
func (m *Manager) end(c *certificate, stored *tls.Certificate, err error) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, p := time.Now(), &c.plan
	p.running, p.fault = false, err
	wait := lookPeriod
	if err != nil {
		wait = retry(p.failures)
		p.failures++
	} else {
		p.failures = 0
		wait = max(0, min(wait, renewal(stored).Sub(now)))
	}
	p.after = now.Add(wait)
	return wait
}

// retry is how long after the n-th failure, from 0, an order is tried again.
func retry(n int) time.Duration {
	return min(firstRetry<<(2*min(n, 8)), lastRetry)
}

// order orders a certificate, or waits for a replica that does, and takes it.
func (m *Manager) order(ctx context.Context, c *certificate) (*tls.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, orderLimit)
	defer cancel()
	select {
	case m.orders <- struct{}{}:
		defer func() { <-m.orders }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := m.store.discardUnreadable(ctx, c.name); err != nil {
		return nil, err
	}
	if err := m.client().order(ctx, c.name); err != nil {
		return nil, err
	}
	stored, err := m.store.read(c.name)
	if err != nil {
		return nil, err
	}
	m.take(c, stored)
	if due(stored, time.Now()) {
		return nil, fmt.Errorf("the certificate that was issued is to be renewed at once (valid from %s to %s): is the clock right?",
			stored.Leaf.NotBefore.Format(time.RFC3339), stored.Leaf.NotAfter.Format(time.RFC3339))
	}
	return stored, nil
}

// renewal is when a certificate has a third of its life left.
func renewal(c *tls.Certificate) time.Time {
	end := c.Leaf.NotAfter.Truncate(time.Second).Add(time.Second) // RFC 5280: the last second counts
	return end.Add(-end.Sub(c.Leaf.NotBefore) / 3)
}

func due(c *tls.Certificate, now time.Time) bool { return now.After(renewal(c)) }

// Missing is the error of a name that has no certificate yet.
func (s State) Missing() error {
	switch {
	case s.Certificate != nil:
		return nil
	case s.Err != nil:
		return fmt.Errorf("no certificate yet: %w", s.Err)
	}
	return errors.New("no certificate yet: it is being ordered")
}
