package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"gatehouse/metrics"
)

// CacheConfig is the `cache` section of an LDAP directory; zero durations mean
// what the config file says of 0s, so package cmd fills in the defaults.
type CacheConfig struct {
	// FreshFor is how long an identity is served without asking. Default 60s.
	FreshFor time.Duration `yaml:"fresh_for"`
	// StaleFor is how long after the last good lookup an identity is served while the
	// directory is at fault. Default 10m; 0s: never.
	StaleFor time.Duration `yaml:"stale_for"`
	// NegativeFor is how long "unknown" is remembered. Default 15s.
	NegativeFor time.Duration `yaml:"negative_for"`
	// PasswordFor is how long a good password is not asked again, at most FreshFor.
	// Default 30s; 0s: always asked.
	PasswordFor time.Duration `yaml:"password_for"`
	// WrongPasswordFor is how long the same wrong password is refused without a bind.
	// Default 60s; 0s: always asked.
	WrongPasswordFor time.Duration `yaml:"wrong_password_for"`

	Metrics *metrics.Metrics `yaml:"-" json:"-"` // nil: none
	Logger  *slog.Logger     `yaml:"-" json:"-"` // nil discards
}

const defaultPasswordFor = 30 * time.Second

// Defaults are what the config file may leave out.
func (c *CacheConfig) Defaults() {
	c.FreshFor, c.StaleFor, c.NegativeFor = time.Minute, 10*time.Minute, 15*time.Second
	c.PasswordFor, c.WrongPasswordFor = defaultPasswordFor, time.Minute
}

// Check warns of what does not count as it is written, and of times so long that
// hardly anybody means them.
func (c *CacheConfig) Check() error {
	var faults Faults
	if c.PasswordFor > c.FreshFor && c.PasswordFor != defaultPasswordFor {
		faults.Warn("password_for", fmt.Errorf("%s is longer than fresh_for; %s counts", c.PasswordFor, c.FreshFor))
	}
	for _, long := range []struct {
		key        string
		time, most time.Duration
		means      string
	}{
		{"fresh_for", c.FreshFor, time.Hour, "whoever is deleted, disabled or leaves a group keeps access so long"},
		{"stale_for", c.StaleFor, 24 * time.Hour, "whoever is deleted, disabled or leaves a group keeps access so long while the directory is at fault"},
		{"negative_for", c.NegativeFor, time.Hour, "whoever is new stays unknown so long"},
		{"wrong_password_for", c.WrongPasswordFor, time.Hour, "a password that was wrong once is refused so long"},
	} {
		if long.time > long.most {
			faults.Warn(long.key, fmt.Errorf("%s is long: %s", long.time, long.means))
		}
	}
	return faults.Err()
}

const (
	cachedPeople    = 10_000
	cachedNegatives = 10_000
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
	seal    sealer
	unwatch func() // ends what the metrics show
	canary  canary

	mu        sync.Mutex
	closed    bool
	losses    []time.Time // of known people who were absent, the last few
	era       int         // counts Expire
	people    *simplelru.LRU[personKey, *person]
	logins    *simplelru.LRU[string, loginEntry] // by folded login
	negatives *simplelru.LRU[negativeKey, negative]
	good      *simplelru.LRU[personKey, goodPassword]
	wrong     *simplelru.LRU[digest, time.Time]
	flights   map[flightKey]*flight
}

// The keys are structs of their parts, so that no two of them can run together.
type (
	personKey   struct{ username, id string }
	negativeKey struct {
		login string // of a Find, else empty
		personKey
	}
	flightKey struct {
		negativeKey
		password digest // of a Verify, else zero
		era      int
	}
)

// person is a remembered identity.
type person struct {
	id      Identity
	asked   time.Time // when the question was sent that brought it
	refresh time.Time // from here a background refresh is due
	until   time.Time // fresh until here
	fault   time.Time // last fault since asked, zero for none
	stale   time.Time // when it was last served although it was no longer fresh
	served  bool      // somebody got it from the cache
}

func keyOf(id Identity) personKey { return personKey{id.Username, id.ID} }

// loginEntry says whom a typed name means. It ends by itself, because a mail
// address may move to another person while both of them stay.
type loginEntry struct {
	who   personKey
	until time.Time
}

// negative is a remembered "unknown", with its reason, or for a moment the fault
// of one person's entry.
type negative struct {
	until time.Time
	err   error
}

// goodPassword is the last password that a bind accepted for somebody. Until is
// how long it need not be asked again; after that it only says what is usual.
type goodPassword struct {
	password digest
	until    time.Time
}

// Source is what a Cache stands before: a Directory that answers from afar.
type Source interface {
	Directory
	// Timeout bounds one question in all, whatever its steps; 0: nothing does.
	Timeout() time.Duration
	// Canary asks for what must be there whoever else is not. An error: it is not
	// shown, or nothing could be asked.
	Canary(context.Context) error
	// Available says that the source is not known to be at fault, without asking it.
	Available() bool
	// Close lets go of idle connections and stops background work.
	Close()
}

// NewCache returns a cache before src. Its error joins *KeyError values whose
// keys are relative to `cache` (`fresh_for`).
func NewCache(src Source, cfg CacheConfig) (*Cache, error) {
	var faults Faults
	for _, f := range []struct {
		key   string
		value time.Duration
	}{
		{"fresh_for", cfg.FreshFor}, {"stale_for", cfg.StaleFor}, {"negative_for", cfg.NegativeFor},
		{"password_for", cfg.PasswordFor}, {"wrong_password_for", cfg.WrongPasswordFor},
	} {
		if f.value < 0 {
			faults.Add(f.key, fmt.Errorf("%s is below zero", f.value))
		}
	}
	if faults.Fatal() {
		return nil, faults.Err()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Cache{
		src: src, cfg: cfg, seal: newSealer(), flights: map[flightKey]*flight{},
		canary:    canary{turn: make(chan struct{}, 1)},
		people:    newLRU[personKey, *person](cachedPeople),
		logins:    newLRU[string, loginEntry](cachedPeople),
		negatives: newLRU[negativeKey, negative](cachedNegatives),
		good:      newLRU[personKey, goodPassword](cachedPeople),
		wrong:     newLRU[digest, time.Time](cachedNegatives),
	}
	c.unwatch = cfg.Metrics.WatchLDAPCache(src.Name(), c.state)
	return c, nil
}

// state is what the metrics show.
func (c *Cache) state() metrics.LDAPCache {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	var oldest time.Duration
	for _, p := range c.people.Values() {
		if !now.Before(p.until) && now.Sub(p.stale) < faultMemory && c.usable(p, now) {
			oldest = max(oldest, now.Sub(p.asked))
		}
	}
	return metrics.LDAPCache{OldestStale: oldest, Entries: map[string]int{"identity": c.people.Len(),
		"negative": c.negatives.Len(), "password": c.good.Len(), "wrong_password": c.wrong.Len()}}
}

// Expire marks every remembered identity as due for a lookup (a reload does):
// it is still good as a stale answer on a fault. Passwords and negatives go, and
// so does what questions that run now will bring.
func (c *Cache) Expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.era++
	for _, p := range c.people.Values() {
		p.refresh, p.until, p.fault = time.Time{}, time.Time{}, time.Time{}
	}
	for _, name := range c.logins.Keys() { // whom they meant shows who was known
		l, _ := c.logins.Peek(name)
		c.logins.Add(name, loginEntry{who: l.who})
	}
	c.negatives.Purge()
	c.good.Purge()
	c.wrong.Purge()
}

// Inherit takes over whom old knew, as Expire leaves them: a reload that changes a
// directory's section makes a new Cache, and a fault of the directory just then
// must not end everybody's tokens. C is not in use yet.
func (c *Cache) Inherit(old *Cache) {
	old.mu.Lock()
	defer old.mu.Unlock()
	for _, key := range old.people.Keys() {
		p, _ := old.people.Peek(key)
		c.people.Add(key, &person{id: p.id, asked: p.asked})
	}
	for _, name := range old.logins.Keys() {
		l, _ := old.logins.Peek(name)
		c.logins.Add(name, loginEntry{who: l.who})
	}
}

// Close stops refreshes in the background and closes the source. Calls that
// still run end normally.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	for _, f := range c.flights {
		if f.waiting == 0 {
			f.cancel()
		}
	}
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
	now := time.Now()
	if err := c.denied(negativeKey{personKey: key}, now); err != nil {
		c.mu.Unlock()
		return Identity{}, err
	}
	p, known := c.people.Get(key)
	if known && now.Before(p.until) {
		defer c.mu.Unlock()
		return c.hit(key, p, now), nil
	}
	if known && !ref.Strict && c.faulty(p, key, now) {
		defer c.mu.Unlock()
		c.count("identity", "stale")
		p.stale = now
		c.again(key, p, now)
		return p.id, nil
	}
	f := c.lookup(key, waiting)
	c.mu.Unlock()
	id, err := c.wait(ctx, f)
	if err != nil && !refused(err) && ctx.Err() == nil && !ref.Strict && !errors.Is(err, ErrUnusable) {
		id, err = c.stale(key, err)
	}
	c.countAnswer(err, f)
	return id, err
}

// Find resolves a login.
func (c *Cache) Find(ctx context.Context, login string) (Identity, error) {
	switch {
	case !c.src.Available():
		return Identity{}, c.down()
	case len(login) > maxLogin:
		return Identity{}, tooLong()
	}
	key := lowerASCII(login) // what else is alike is for the directory to say
	c.mu.Lock()
	now := time.Now()
	if err := c.denied(negativeKey{login: key}, now); err != nil {
		c.mu.Unlock()
		return Identity{}, err
	}
	if l, ok := c.logins.Get(key); ok && now.Before(l.until) {
		// A lock may be lifted any moment, so that one is asked about each time.
		if p, ok := c.people.Get(l.who); ok && now.Before(p.until) && p.id.NoLogin == "" {
			defer c.mu.Unlock()
			return c.hit(l.who, p, now), nil
		}
	}
	f := c.find(key, login)
	c.mu.Unlock()
	id, err := c.wait(ctx, f)
	c.countAnswer(err, f)
	return id, err
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
	key := keyOf(id)
	sealed := c.sealed(id, password)
	c.mu.Lock()
	now := time.Now()
	if g, ok := c.good.Get(key); ok && g.password == sealed && now.Before(g.until) && id.NoLogin == "" {
		c.count("password", "hit")
		workOf(ctx).recall()
		c.mu.Unlock()
		return id, nil
	}
	if until, ok := c.wrong.Get(sealed); ok && now.Before(until) {
		c.count("wrong_password", "hit")
		workOf(ctx).recall()
		c.mu.Unlock()
		return Identity{}, fmt.Errorf("%w: the same wrong password as before", ErrInvalidCredentials)
	}
	c.count("password", "miss")
	c.count("wrong_password", "miss")
	f := c.bind(key, id, password, sealed)
	c.mu.Unlock()
	return c.wait(ctx, f)
}

// hit serves a fresh identity, and starts its refresh where one is due.
func (c *Cache) hit(key personKey, p *person, now time.Time) Identity {
	c.count("identity", "hit")
	p.served = true
	if !now.Before(p.refresh) {
		c.again(key, p, now)
	}
	return p.id
}

// again asks for a person in the background, if the last fault is not just past.
func (c *Cache) again(key personKey, p *person, now time.Time) {
	if now.Sub(p.fault) >= faultPause {
		c.lookup(key, background)
	}
}

// faulty says that the directory was at fault moments ago, and the identity may
// be served stale without waiting for the next fault. The memory is short: else
// somebody rarely seen could be served stale long after the directory is back.
func (c *Cache) faulty(p *person, key personKey, now time.Time) bool {
	if p.fault.IsZero() || !c.usable(p, now) {
		return false
	}
	memory := max(faultPause, min(faultMemory, c.cfg.FreshFor))
	if f, running := c.flights[c.lookupKey(key)]; running {
		return f.asked.Sub(p.fault) < memory
	}
	return now.Sub(p.fault) < memory
}

// usable says that the identity may still be served on a fault. An account that
// ends by itself does so while the directory is away too.
func (c *Cache) usable(p *person, now time.Time) bool {
	ended := !p.id.ValidUntil.IsZero() && !now.Before(p.id.ValidUntil)
	return c.cfg.StaleFor > 0 && !ended && now.Sub(p.asked) < c.cfg.StaleFor
}

// stale answers a running token after a fault.
func (c *Cache) stale(key personKey, fault error) (Identity, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	p, ok := c.people.Get(key)
	switch {
	case ok && now.Before(p.until): // a login just brought it
		c.count("identity", "hit")
	case ok && c.usable(p, now):
		c.count("identity", "stale")
		p.stale = now
	default:
		return Identity{}, fault
	}
	return p.id, nil
}

// denied is what is remembered against somebody; nil: nothing is.
func (c *Cache) denied(key negativeKey, now time.Time) error {
	n, ok := c.negatives.Get(key)
	if !ok || !now.Before(n.until) {
		return nil
	}
	c.count("negative", "hit")
	return n.err
}

func (c *Cache) down() error {
	return fmt.Errorf("%w: directory %s is known to be at fault", ErrUnavailable, c.Name())
}

func (c *Cache) count(cache, result string) { c.cfg.Metrics.CacheRequest(cache, result) }

// countAnswer counts a request that had to wait for the directory, unless it was
// served stale, which is counted where it happens.
func (c *Cache) countAnswer(err error, f *flight) {
	if err == nil && f.failed() {
		return
	}
	c.count("identity", "miss")
	c.count("negative", "miss")
}

// flight is one question that runs, for all who wait for its answer. It runs on
// a context of its own: only Close ends it early, and only if nobody waits.
type flight struct {
	asked   time.Time
	cancel  context.CancelFunc
	waiting int           // under Cache.mu
	done    chan struct{} // closed when id and err are set
	id      Identity
	err     error
}

// failed says whether the answer, where there is one by now, was a fault.
func (f *flight) failed() bool {
	select {
	case <-f.done:
		return f.err != nil && !refused(f.err)
	default:
		return false
	}
}

// How a question is started: for somebody who waits, or for the next one.
const (
	waiting    = true
	background = false
)

// fly joins the question that runs under the key, or starts it. It returns nil for
// one in the background that is not started, since the cache is closed. Ask gets
// the flight's own context; keep is called under the lock with the answer.
func (c *Cache) fly(key flightKey, wait bool, ask func(context.Context) (Identity, error), keep func(*flight)) *flight {
	f, running := c.flights[key]
	if !running {
		if c.closed && !wait {
			return nil
		}
		ctx, cancel := c.limit(context.Background())
		f = &flight{asked: time.Now(), cancel: cancel, done: make(chan struct{})}
		c.flights[key] = f
		go func() {
			defer cancel()
			f.id, f.err = ask(ctx)
			f.err = classified(f.err)
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.flights, key)
			keep(f)
			close(f.done)
		}()
	}
	if wait {
		if running {
			c.cfg.Metrics.LDAPEvent(c.Name(), metrics.LDAPShared)
		}
		f.waiting++
	}
	return f
}

// limit bounds all steps of one question together.
func (c *Cache) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if limit := c.src.Timeout(); limit > 0 {
		return context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit))
	}
	return context.WithCancel(ctx)
}

// wait waits for the answer, but not longer than the caller does.
func (c *Cache) wait(ctx context.Context, f *flight) (Identity, error) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if f.waiting--; f.waiting == 0 && c.closed {
			f.cancel()
		}
	}()
	select {
	case <-f.done:
		return f.id, f.err
	case <-ctx.Done():
		return Identity{}, fmt.Errorf("%w: the caller stopped waiting: %w", ErrUnavailable, context.Cause(ctx))
	}
}

func (c *Cache) lookupKey(key personKey) flightKey {
	return flightKey{negativeKey: negativeKey{personKey: key}, era: c.era}
}

// lookup asks for the person of a token.
func (c *Cache) lookup(key personKey, wait bool) *flight {
	era := c.era
	return c.fly(c.lookupKey(key), wait, func(ctx context.Context) (Identity, error) {
		return c.ask(ctx, key)
	}, func(f *flight) {
		switch {
		case f.err == nil:
			c.remember(keyOf(f.id), f.id, f.asked, era)
			if key != keyOf(f.id) { // the token has another of the person's names
				c.remember(key, f.id, f.asked, era)
			}
		case refused(f.err):
			c.forget(key, f)
			c.deny(negativeKey{personKey: key}, f, c.cfg.NegativeFor, era)
		case errors.Is(f.err, ErrUnusable):
			c.forget(key, f)
			c.deny(negativeKey{personKey: key}, f, faultPause, era)
		default:
			c.fault(key)
		}
	})
}

// ask asks the source for the person of a token. The token itself shows that he
// was known, whatever the cache still holds.
func (c *Cache) ask(ctx context.Context, key personKey) (Identity, error) {
	id, err := c.src.Lookup(ctx, Ref{Directory: c.Name(), Username: key.username, ID: key.id, Strict: true})
	return id, c.confirmed(ctx, err, func() bool { return true })
}

// find asks for the person of a typed name.
func (c *Cache) find(folded, login string) *flight {
	era := c.era
	key := negativeKey{login: folded}
	return c.fly(flightKey{negativeKey: key, era: era}, waiting, func(ctx context.Context) (Identity, error) {
		id, err := c.src.Find(ctx, login)
		return id, c.confirmed(ctx, err, func() bool {
			l, known := c.logins.Peek(folded)
			return known && c.people.Contains(l.who)
		})
	}, func(f *flight) {
		switch {
		case f.err == nil:
			c.remember(keyOf(f.id), f.id, f.asked, era)
			c.negatives.Remove(key)
			if era == c.era {
				c.logins.Add(folded, loginEntry{keyOf(f.id), c.until(f.asked, f.id)})
			}
		case refused(f.err):
			if l, ok := c.logins.Peek(folded); ok {
				c.logins.Remove(folded)
				c.forget(l.who, f)
			}
			c.deny(key, f, c.cfg.NegativeFor, era)
		}
	})
}

// bind asks whether the password is good.
func (c *Cache) bind(key personKey, id Identity, password Secret, sealed digest) *flight {
	era := c.era
	again := c.mustAskAgain(key, id, sealed)
	var askedAgain time.Time
	return c.fly(flightKey{negativeKey: negativeKey{personKey: key}, password: sealed, era: era}, waiting, func(ctx context.Context) (Identity, error) {
		got, err := c.src.Verify(ctx, id, password)
		if err != nil || !again {
			return got, err
		}
		askedAgain = time.Now()
		if got, err = c.ask(ctx, key); err == nil && got.NoLogin != "" {
			err = fmt.Errorf("%w: %s: %w", ErrInvalidCredentials, got.NoLogin, ErrNotPassword)
		}
		return got, err
	}, func(f *flight) {
		switch {
		case f.err == nil:
			if !askedAgain.IsZero() {
				c.remember(keyOf(f.id), f.id, askedAgain, era)
			} else if changed(f.id, id) {
				c.remember(keyOf(f.id), f.id, f.asked, era)
			}
			c.accept(key, f, password, era)
		case errors.Is(f.err, ErrUnknownUser):
			c.forget(key, f)
		case errors.Is(f.err, ErrInvalidCredentials):
			c.reject(key, f, id, sealed, era)
		}
	})
}

// sealed stands for a password of a person in the state that id shows: with any
// change of state, what was remembered of his passwords is worth nothing.
func (c *Cache) sealed(id Identity, password Secret) digest {
	return c.seal.digest("password", id.Username, id.ID, id.DN, id.PasswordStamp, id.NoLogin, string(password))
}

// changed says that what is remembered of a person's passwords may be void.
func changed(a, b Identity) bool {
	return a.PasswordStamp != b.PasswordStamp || a.NoLogin != b.NoLogin || a.DN != b.DN || a.ID != b.ID
}

// mustAskAgain says that an identity which comes from the cache may be older than
// the password: a password other than the usual one speaks for a change, and
// with it the stamp has changed.
func (c *Cache) mustAskAgain(key personKey, id Identity, sealed digest) bool {
	if g, ok := c.good.Peek(key); ok && g.password == sealed {
		return false
	}
	p, ok := c.people.Peek(key)
	return !ok || p.served || p.id.PasswordStamp != id.PasswordStamp
}

// accept remembers a good password, under the identity as it is now.
func (c *Cache) accept(key personKey, f *flight, password Secret, era int) {
	if era != c.era {
		return
	}
	sealed := c.sealed(f.id, password)
	c.good.Add(key, goodPassword{sealed, f.asked.Add(min(c.cfg.PasswordFor, c.cfg.FreshFor))})
}

// reject remembers a wrong password, if that is what it is, and forgets the good
// one if it is the same.
func (c *Cache) reject(key personKey, f *flight, id Identity, sealed digest, era int) {
	if g, ok := c.good.Peek(key); ok && g.password == sealed {
		c.good.Remove(key)
	}
	if era == c.era && id.NoLogin == "" && c.cfg.WrongPasswordFor > 0 && !errors.Is(f.err, ErrNotPassword) {
		c.wrong.Add(sealed, f.asked.Add(c.cfg.WrongPasswordFor))
	}
}

// until is the end of freshness of what was asked for then: FreshFor, shortened
// at random by up to a tenth so that people who came together do not expire so,
// and no longer than the account lasts.
func (c *Cache) until(asked time.Time, id Identity) time.Time {
	until := asked.Add(c.cfg.FreshFor - time.Duration(rand.Float64()*0.1*float64(c.cfg.FreshFor)))
	if end := id.ValidUntil; !end.IsZero() && end.Before(until) {
		return end
	}
	return until
}

// remember keeps an identity under the name it was asked by, unless a later question has been answered already.
func (c *Cache) remember(key personKey, id Identity, asked time.Time, era int) {
	old, known := c.people.Peek(key)
	if known && old.asked.After(asked) {
		return
	}
	if known && changed(old.id, id) {
		c.good.Remove(key)
	}
	p := &person{id: id, asked: asked}
	if era == c.era {
		p.refresh, p.until = asked.Add(c.cfg.FreshFor/2), c.until(asked, id)
	}
	c.people.Add(key, p)
	c.negatives.Remove(negativeKey{personKey: key})
}

// forget drops a person whom the directory does not know any more, unless a later
// question found him.
func (c *Cache) forget(key personKey, f *flight) {
	p, known := c.people.Peek(key)
	if known && p.asked.After(f.asked) {
		return
	}
	if known && errors.Is(f.err, ErrAbsent) {
		c.lost()
	}
	c.people.Remove(key)
	c.good.Remove(key)
}

// deny remembers "unknown", or that somebody's entry cannot be used.
func (c *Cache) deny(key negativeKey, f *flight, lasting time.Duration, era int) {
	if p, ok := c.people.Peek(key.personKey); ok && p.asked.After(f.asked) {
		return
	}
	if era == c.era && lasting > 0 {
		c.negatives.Add(key, negative{f.asked.Add(lasting), f.err})
	}
}

// fault notes that the directory could not answer for a remembered person.
func (c *Cache) fault(key personKey) {
	if p, ok := c.people.Peek(key); ok {
		p.fault = time.Now()
	}
}
