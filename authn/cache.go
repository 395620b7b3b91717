package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gatehouse/metrics"
)

const (
	// faultPause is how long after a fault nobody asks again for the same person.
	faultPause = time.Second
	// faultMemory is how long after a fault (at most FreshFor) a stale answer is
	// given at once, while the question is repeated in the background.
	faultMemory = 10 * time.Second
)

// Cache is a Directory before an LDAP. What it promises:
//
//   - An identity is served for at most FreshFor after the question that brought
//     it was sent; after half of that the next request starts a new question in the
//     background.
//   - Past that it is served only where the directory cannot answer, only to
//     running tokens (never at a login), and only until StaleFor after the last
//     good lookup.
//   - "Unknown" replaces an identity at once, and a fault is never remembered as
//     an answer. That somebody known is absent is believed only while the
//     directory shows what must be there (the source's Canary).
//   - However many ask for one person, the directory is asked once; who stops
//     waiting does not disturb the others.
type Cache struct {
	src     Source
	cfg     CacheConfig
	unwatch func() // ends what the metrics show
	canary  *canary

	mu      sync.Mutex
	memory  *memory
	flights flights[flightKey]
	losses  losses
}

// flightKey is a question that may run: two of another generation are not the same.
type flightKey struct {
	negativeKey
	password   digest // of a Verify, else zero
	generation int
}

// NewCache returns a cache before src. Its error joins *KeyError values whose
// keys are relative to `cache` (`fresh_for`).
func NewCache(src Source, cfg CacheConfig) (*Cache, error) {
	if err := cfg.faults(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Cache{src: src, cfg: cfg, canary: newCanary(src, cfg)}
	c.memory = newMemory(cfg, func() { c.event(metrics.LDAPEvicted) })
	c.flights = flights[flightKey]{lock: &c.mu, limit: src.Timeout(), running: map[flightKey]*flight{}}
	c.unwatch = cfg.Metrics.WatchLDAPCache(src.Name(), c.state)
	return c, nil
}

// state is what the metrics show.
func (c *Cache) state() metrics.LDAPCache {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	return metrics.LDAPCache{OldestStale: c.memory.oldestStale(now.Add(-faultMemory), now), Entries: c.memory.sizes()}
}

// Expire marks every remembered identity as due for a lookup (a reload does):
// it is still good as a stale answer on a fault. Passwords and negatives go, and
// so does what questions that run now will bring.
func (c *Cache) Expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memory.expire()
}

// Inherit takes over the people that old knew, as Expire leaves them: a reload that changes a
// directory's section makes a new Cache, and a fault of the directory just then
// must not end everybody's tokens. C is not in use yet.
func (c *Cache) Inherit(old *Cache) {
	old.mu.Lock()
	defer old.mu.Unlock()
	c.memory.inherit(old.memory)
}

// Close stops refreshes in the background and closes the source. Calls that
// still run end normally.
func (c *Cache) Close() {
	c.mu.Lock()
	c.flights.closeLocked()
	c.mu.Unlock()
	c.unwatch()
	c.src.Close()
}

// Name is the source's name.
func (c *Cache) Name() string { return c.src.Name() }

// Timeout is the source's.
func (c *Cache) Timeout() time.Duration { return c.src.Timeout() }

// Lookup answers for a running token.
func (c *Cache) Lookup(ctx context.Context, ref Ref) (Identity, error) {
	if ref.Strict && !c.src.Available() {
		return Identity{}, c.down()
	}
	key := personKey{ref.Username, ref.ID}
	c.mu.Lock()
	id, f, err := c.lookupLocked(key, ref.Strict)
	c.mu.Unlock()
	if f == nil {
		return id, err
	}
	id, err = c.flights.wait(ctx, f)
	if err != nil && !refused(err) && ctx.Err() == nil && !ref.Strict && !errors.Is(err, ErrUnusable) {
		id, err = c.stale(key, err)
	}
	c.countAnswer(err, f)
	return id, err
}

// lookupLocked answers from memory, or returns the question to wait for.
func (c *Cache) lookupLocked(key personKey, strict bool) (Identity, *flight, error) {
	now := time.Now()
	if err := c.deniedLocked(negativeKey{personKey: key}, now); err != nil {
		return Identity{}, nil, err
	}
	p, known := c.memory.people.Get(key)
	switch {
	case known && p.fresh(now):
		return c.hitLocked(key, p, now), nil, nil
	case known && !strict && c.faultyLocked(p, key, now):
		c.count("identity", "stale")
		p.stale = now
		c.againLocked(key, p, now)
		return p.id, nil, nil
	}
	return Identity{}, c.askPersonLocked(key, waiting), nil
}

// Asked is when the source was asked for what is known of a person; zero: nothing is.
func (c *Cache) Asked(id Identity) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.memory.people.Peek(keyOf(id)); ok {
		return p.asked
	}
	return time.Time{}
}

// Find resolves a login.
func (c *Cache) Find(ctx context.Context, login string) (Identity, error) {
	switch {
	case !c.src.Available():
		return Identity{}, c.down()
	case len(login) > maxLogin:
		return Identity{}, tooLong()
	}
	c.mu.Lock()
	id, f, err := c.findLocked(login)
	c.mu.Unlock()
	if f == nil {
		return id, err
	}
	id, err = c.flights.wait(ctx, f)
	c.countAnswer(err, f)
	return id, err
}

func (c *Cache) findLocked(login string) (Identity, *flight, error) {
	folded, now := lowerASCII(login), time.Now() // what else is alike is for the directory to say
	if err := c.deniedLocked(negativeKey{login: folded}, now); err != nil {
		return Identity{}, nil, err
	}
	if key, p, ok := c.memory.named(folded, now); ok {
		return c.hitLocked(key, p, now), nil, nil
	}
	return Identity{}, c.askNameLocked(folded, login), nil
}

// Verify checks a password: remembered ones without a bind, and one bind for
// however many logins with the same.
func (c *Cache) Verify(ctx context.Context, id Identity, password Secret) (Identity, error) {
	switch {
	case blank(string(password)):
		return Identity{}, fmt.Errorf("%w: empty password", ErrInvalidCredentials)
	case !c.src.Available():
		return Identity{}, c.down()
	}
	c.mu.Lock()
	f, err := c.verifyLocked(id, password)
	c.mu.Unlock()
	if f != nil {
		return c.flights.wait(ctx, f)
	}
	workOf(ctx).recall()
	if err != nil {
		return Identity{}, err
	}
	return id, nil
}

func (c *Cache) verifyLocked(id Identity, password Secret) (*flight, error) {
	now, sealed := time.Now(), c.memory.sealed(id, password)
	switch {
	case c.memory.isGood(id, sealed, now):
		c.count("password", "hit")
		return nil, nil // nobody needs to be asked, and it is good
	case c.memory.isWrong(sealed, now):
		c.count("wrong_password", "hit")
		return nil, fmt.Errorf("%w: the same wrong password as before", ErrInvalidCredentials)
	}
	c.count("password", "miss")
	c.count("wrong_password", "miss")
	return c.askPasswordLocked(id, password, sealed), nil
}

// hitLocked serves a fresh identity, and starts its refresh where one is due.
func (c *Cache) hitLocked(key personKey, p *person, now time.Time) Identity {
	c.count("identity", "hit")
	p.served = true
	if !now.Before(p.refresh) {
		c.againLocked(key, p, now)
	}
	return p.id
}

// againLocked asks for a person in the background, if the last fault is not just past.
func (c *Cache) againLocked(key personKey, p *person, now time.Time) {
	if now.Sub(p.fault) >= faultPause {
		c.askPersonLocked(key, background)
	}
}

// faultyLocked reports whether the directory was at fault moments ago, and the
// identity may be served stale without waiting for the next fault. That is for a
// short time only: else somebody rarely seen could be served stale long after the
// directory is back.
func (c *Cache) faultyLocked(p *person, key personKey, now time.Time) bool {
	if p.fault.IsZero() || !c.memory.usable(p, now) {
		return false
	}
	if f, running := c.flights.running[c.personFlight(key)]; running {
		now = f.asked
	}
	return now.Sub(p.fault) < max(faultPause, min(faultMemory, c.cfg.FreshFor))
}

// stale answers a running token after a fault.
func (c *Cache) stale(key personKey, fault error) (Identity, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	p, ok := c.memory.people.Get(key)
	switch {
	case ok && p.fresh(now): // a login just brought it
		c.count("identity", "hit")
	case ok && c.memory.usable(p, now):
		c.count("identity", "stale")
		p.stale = now
	default:
		return Identity{}, fault
	}
	return p.id, nil
}

func (c *Cache) deniedLocked(key negativeKey, now time.Time) error {
	err := c.memory.denied(key, now)
	if err != nil {
		c.count("negative", "hit")
	}
	return err
}

func (c *Cache) down() error {
	return fmt.Errorf("%w: directory %s is known to be at fault", ErrUnavailable, c.Name())
}

func (c *Cache) count(cache, result string) { c.cfg.Metrics.CacheRequest(cache, result) }

func (c *Cache) event(event metrics.LDAPEvent) { c.cfg.Metrics.LDAPEvent(c.Name(), event) }

// countAnswer counts a request that had to wait for the directory, unless it was
// served stale, which is counted where it happens.
func (c *Cache) countAnswer(err error, f *flight) {
	if err == nil && f.failed() {
		return
	}
	c.count("identity", "miss")
	c.count("negative", "miss")
}

// How a question is started: for somebody who waits, or for the next one.
const (
	waiting    = true
	background = false
)

func (c *Cache) joinLocked(key flightKey, wait bool, q question) *flight {
	f, shared := c.flights.joinLocked(key, wait, q)
	if wait && shared {
		c.event(metrics.LDAPShared)
	}
	return f
}

func (c *Cache) personFlight(key personKey) flightKey {
	return flightKey{negativeKey: negativeKey{personKey: key}, generation: c.memory.generation}
}

// askPersonLocked asks for the person of a token.
func (c *Cache) askPersonLocked(key personKey, wait bool) *flight {
	m, generation := c.memory, c.memory.generation
	return c.joinLocked(c.personFlight(key), wait, question{
		ask: func(ctx context.Context) (Identity, error) { return c.ask(ctx, key) },
		keep: func(f *flight) (after func()) {
			switch {
			case f.err == nil:
				m.remember(keyOf(f.id), f.id, f.asked, generation)
				if key != keyOf(f.id) { // the token has another of the person's names
					m.remember(key, f.id, f.asked, generation)
				}
			case refused(f.err):
				after = c.forgetLocked(key, f)
				m.deny(negativeKey{personKey: key}, f.asked, f.err, c.cfg.NegativeFor, generation)
			case errors.Is(f.err, ErrUnusable):
				after = c.forgetLocked(key, f)
				m.deny(negativeKey{personKey: key}, f.asked, f.err, faultPause, generation)
			default:
				m.fault(key)
			}
			return after
		},
	})
}

// ask asks the source for the person of a token. The token itself shows that they
// were known, whatever the cache still holds.
func (c *Cache) ask(ctx context.Context, key personKey) (Identity, error) {
	id, err := c.src.Lookup(ctx, Ref{Directory: c.Name(), Username: key.username, ID: key.id, Strict: true})
	return id, c.canary.confirmed(ctx, err, func() bool { return true })
}

// askNameLocked asks for the person of a typed name.
func (c *Cache) askNameLocked(folded, login string) *flight {
	m, generation := c.memory, c.memory.generation
	key := negativeKey{login: folded}
	return c.joinLocked(flightKey{negativeKey: key, generation: generation}, waiting, question{
		ask: func(ctx context.Context) (Identity, error) {
			id, err := c.src.Find(ctx, login)
			return id, c.canary.confirmed(ctx, err, func() bool { return c.wasNamed(folded) })
		},
		keep: func(f *flight) (after func()) {
			switch {
			case f.err == nil:
				m.remember(keyOf(f.id), f.id, f.asked, generation)
				m.name(folded, f.id, f.asked, generation)
			case refused(f.err):
				if who, ok := m.unname(folded); ok {
					after = c.forgetLocked(who, f)
				}
				m.deny(key, f.asked, f.err, c.cfg.NegativeFor, generation)
			}
			return after
		},
	})
}

func (c *Cache) wasNamed(folded string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.memory.wasNamed(folded)
}

// askPasswordLocked asks whether the password is good, and where the identity may
// be older than it, for the person as they are now.
func (c *Cache) askPasswordLocked(id Identity, password Secret, sealed digest) *flight {
	m, generation, key := c.memory, c.memory.generation, keyOf(id)
	again := m.maybeOlder(id, sealed)
	var seen time.Time // when the person was asked for again
	return c.joinLocked(flightKey{negativeKey: negativeKey{personKey: key}, password: sealed, generation: generation}, waiting, question{
		ask: func(ctx context.Context) (Identity, error) {
			got, err := c.src.Verify(ctx, id, password)
			if err != nil || !again {
				return got, err
			}
			seen = time.Now()
			return c.askMayLogIn(ctx, key)
		},
		keep: func(f *flight) (after func()) {
			switch {
			case f.err == nil:
				if !seen.IsZero() {
					m.remember(keyOf(f.id), f.id, seen, generation)
				} else if changed(f.id, id) {
					m.remember(keyOf(f.id), f.id, f.asked, generation)
				}
				m.accept(key, f.id, password, f.asked, generation)
			case errors.Is(f.err, ErrUnknownUser):
				after = c.forgetLocked(key, f)
			case errors.Is(f.err, ErrInvalidCredentials):
				m.reject(id, sealed, f.asked, f.err, generation)
			}
			return after
		},
	})
}

// askMayLogIn is ask for somebody whose password is good.
func (c *Cache) askMayLogIn(ctx context.Context, key personKey) (Identity, error) {
	id, err := c.ask(ctx, key)
	if err == nil && id.NoLogin != "" {
		err = fmt.Errorf("%w: %s: %w", ErrInvalidCredentials, id.NoLogin, ErrNotPassword)
	}
	return id, err
}

// forgetLocked drops a person that the directory did not show, and counts it where
// they were known. Where it is many, what it returns raises the alarm.
func (c *Cache) forgetLocked(key personKey, f *flight) (alarm func()) {
	if !c.memory.forget(key, f.asked, f.err) {
		return nil
	}
	c.event(metrics.LDAPAbsent)
	many := c.losses.add(time.Now())
	if many == 0 {
		return nil
	}
	c.event(metrics.LDAPMassAbsence)
	return func() {
		c.cfg.Logger.Error("many known people are gone: was something deleted or hidden by mistake?",
			"directory", c.Name(), "people", many, "within", massWindow)
	}
}
