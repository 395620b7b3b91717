package authn

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/text/unicode/norm"
)

// ThrottleConfig is the `throttle` section of the config.
type ThrottleConfig struct {
	// Failures is how many different wrong passwords one person may have from
	// one client network (/24, IPv6 /64) in Window; 0: no limit. A good login does
	// not forget them, or a job behind a shared address would clear the way for
	// whoever guesses beside it; but the password that was good there in the last
	// day passes although they are used up. Default 5.
	Failures int `yaml:"failures" min:"0"`
	// Window is how long a failure counts. Default 5m.
	Window time.Duration `yaml:"window"`
	// UsersPerSource is how many different names may fail, or be checked, from one
	// client network in Window; 0: no limit. Who logged in from there in the last
	// day is exempt. Default 50.
	UsersPerSource int `yaml:"users_per_source" min:"0"`
	// TokensPerSource is how many different bad tokens of machines, or of people's
	// programs, one client network may show in Window; 0: no limit. A good one passes
	// beside them: what cannot be guessed needs no lock. Default 50.
	TokensPerSource int `yaml:"tokens_per_source" min:"0"`
	// InFlight is how many different passwords of one person may be checked at
	// the same time, from wherever they come; 0: no limit. Many logins with one
	// password count once, and networks that the person logged in from not long
	// ago are exempt, so that nobody can be kept out by it.
	InFlight int `yaml:"-"` // the config's limits.logins_per_user
}

// Defaults are what the config file may leave out.
func (c *ThrottleConfig) Defaults() {
	c.Failures, c.Window, c.UsersPerSource, c.TokensPerSource = 5, 5*time.Minute, 50, 50
}

// Check wants a window where there is a limit.
func (c *ThrottleConfig) Check() error {
	if c.Failures+c.UsersPerSource > 0 && c.Window < time.Second {
		return &KeyError{Key: "window", Err: fmt.Errorf("must be at least 1s, not %s", c.Window)}
	}
	return nil
}

const (
	throttledPeople  = 1 << 16        // person and network pairs with failures
	throttledUnknown = 1 << 14        // the same of names that nobody has
	throttledSources = 1 << 13        // networks with failures
	rememberedGood   = 24 * time.Hour // how long a success makes a name known-good in a network
)

// Throttle counts failed logins. It outlives reloads (see Configure), and its
// memory is bounded however many names and networks appear. A nil *Throttle
// limits nothing.
//
// Names that no directory knows are counted just like people, so that being
// throttled tells nothing, but in a store of their own: random names cannot push
// out the counter of somebody who is under attack.
type Throttle struct {
	seal   sealer
	shared atomic.Pointer[sharing] // nil: nothing is counted but here

	mu      sync.Mutex
	cfg     ThrottleConfig
	people  failureStore
	unknown failureStore
	sources sourceStore
	tokens  sourceStore // bad ones, in the place of names
	good    *simplelru.LRU[pair, goodLogin]
	// names says who a typed name was found to be, so that a throttled login is
	// refused before a directory is asked.
	names *simplelru.LRU[digest, digest]
	// passwords are those being checked now of a pair, everywhere those of a person
	// wherever they log in from, and checked the names of a network.
	passwords  running[pair]
	everywhere running[digest]
	checked    running[netip.Prefix]
}

// goodLogin is the last login of a pair that succeeded. The password is zero where
// it has been refused since.
type goodLogin struct {
	password digest
	at       time.Time
}

// NewThrottle returns a throttle that has seen nothing.
func NewThrottle(cfg ThrottleConfig) *Throttle {
	return &Throttle{
		seal: newSealer(), cfg: cfg,
		people:     newFailureStore(throttledPeople),
		unknown:    newFailureStore(throttledUnknown),
		sources:    newSourceStore(throttledSources),
		tokens:     newSourceStore(throttledSources),
		good:       newLRU[pair, goodLogin](throttledPeople),
		names:      newLRU[digest, digest](throttledPeople),
		passwords:  running[pair]{},
		everywhere: running[digest]{},
		checked:    running[netip.Prefix]{},
	}
}

// Configure changes the limits and keeps what was counted.
func (t *Throttle) Configure(cfg ThrottleConfig) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cfg = cfg
}

// try is one login. One that is admitted ends with settle.
type try struct {
	t        *Throttle
	pair     pair
	known    bool
	password digest
	common   *common // the same for all gateways; nil: it counts here alone
}

// tryLocked is the login of a person, or where known is false of a typed name.
func (t *Throttle) tryLocked(a Attempt, who digest, known bool) *try {
	return &try{t: t, pair: pair{who, a.network()}, known: known,
		password: t.seal.digest("password", string(who[:]), string(a.Password))}
}

// precheck refuses a login whose name is known to be throttled, before any directory
// is asked.
func (t *Throttle) precheck(ctx context.Context, a Attempt) error {
	if t == nil {
		return nil
	}
	y, err := t.precheckHere(a)
	if err != nil && t.learn(ctx, a, Identity{}, y) {
		_, err = t.precheckHere(a)
	}
	return err
}

func (t *Throttle) precheckHere(a Attempt) (*try, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	typed := t.typed(a.Login)
	who, known := t.names.Get(typed)
	if !known {
		who = typed
	}
	y := t.tryLocked(a, who, known)
	return y, verdict(y.personWaitLocked(), y.sourceWaitLocked())
}

// admit lets a login through to the check of its password, for the person that
// was found or, where id is zero, for the name as it was typed.
func (t *Throttle) admit(ctx context.Context, a Attempt, id Identity) (*try, error) {
	if t == nil {
		return nil, nil
	}
	y, err := t.admitHere(a, id)
	if err != nil && t.learn(ctx, a, id, y) {
		y, err = t.admitHere(a, id)
	}
	if err != nil {
		return nil, err
	}
	shared := t.common(a, id)
	if err := shared.claim(ctx); err != nil {
		y.settleHere(ctx, err)
		return nil, err
	}
	y.common = shared
	return y, nil
}

// admitHere is admit as far as this process knows. The try beside an error is not
// admitted.
func (t *Throttle) admitHere(a Attempt, id Identity) (*try, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	typed := t.typed(a.Login)
	y := t.tryLocked(a, typed, false)
	if !id.Anonymous() {
		y = t.tryLocked(a, t.seal.digest("person", id.Directory, id.Username), true)
		t.names.Add(typed, y.pair.who)
	}
	if err := verdict(max(y.personWaitLocked(), y.besideWaitLocked()), y.sourceWaitLocked()); err != nil {
		return y, err
	}
	if y.crowdedLocked() {
		return y, &ThrottledError{RetryAfter: time.Second, Limit: "logins_per_user"}
	}
	t.passwords.begin(y.pair, y.password)
	t.everywhere.begin(y.pair.who, y.password)
	t.checked.begin(y.pair.network, y.pair.who)
	return y, nil
}

// settle counts how the login ended, here and for all gateways.
func (y *try) settle(ctx context.Context, err error) {
	if y != nil {
		y.common.end(ctx, y.settleHere(ctx, err))
	}
}

// settleHere counts how the login ended. A fault counts for nothing; but a caller
// who left before the answer counts as refused, else leaving early would be a
// way round the limit.
func (y *try) settleHere(ctx context.Context, err error) outcome {
	t := y.t
	t.mu.Lock()
	defer t.mu.Unlock()
	t.passwords.end(y.pair, y.password)
	t.everywhere.end(y.pair.who, y.password)
	t.checked.end(y.pair.network, y.pair.who)
	switch {
	case err == nil:
		y.store().of(y.pair).clear(y.password) // somebody may have left before it was found good
		t.good.Add(y.pair, goodLogin{y.password, time.Now()})
		return wasGood
	case held(err):
	case refused(err):
		y.disproveLocked()
		y.countLocked()
		return wasWrong
	case ctx.Err() != nil && !y.provenLocked():
		y.countLocked()
		return hasLeft
	}
	return cameToNothing
}

// store is where the failures of the login's name are.
func (y *try) store() failureStore {
	if y.known {
		return y.t.people
	}
	return y.t.unknown
}

// countLocked adds a failure.
func (y *try) countLocked() {
	cfg := y.t.cfg
	if cfg.Failures > 0 {
		y.store().add(y.pair, y.password, cfg.Window)
	}
	if cfg.UsersPerSource > 0 {
		y.t.sources.add(y.pair, cfg.UsersPerSource, cfg.Window)
	}
}

// provenLocked reports whether the password is the one that was good here not
// long ago.
func (y *try) provenLocked() bool {
	good, _ := y.t.good.Get(y.pair)
	return good.password == y.password && time.Since(good.at) < rememberedGood
}

// disproveLocked notes that a password is no longer good, if it was.
func (y *try) disproveLocked() {
	if good, _ := y.t.good.Peek(y.pair); good.password == y.password {
		y.t.good.Add(y.pair, goodLogin{at: good.at})
	}
}

// familiarLocked reports whether somebody logged in from there not long ago.
func (t *Throttle) familiarLocked(p pair) bool {
	good, _ := t.good.Peek(p)
	return time.Since(good.at) < rememberedGood
}

// personWaitLocked is how long the person must wait until fewer failures than the
// limit count; 0: not at all, or the password is known to be good.
func (y *try) personWaitLocked() time.Duration {
	cfg, now := y.t.cfg, time.Now()
	all := y.store().of(y.pair)
	lasting := all.lasting(cfg.Window, now)
	over := len(lasting) - cfg.Failures
	switch {
	case cfg.Failures <= 0, over < 0:
		return 0
	case !y.provenLocked():
		all.guess(y.password, cfg.Window, now)
	case !all.guessed(cfg.Window, now):
		return 0
	}
	return lasting[over].at.Add(cfg.Window).Sub(now)
}

// besideWaitLocked is a moment where the failures and the other passwords that
// are being checked now would be too many together.
func (y *try) besideWaitLocked() time.Duration {
	cfg := y.t.cfg
	if cfg.Failures <= 0 || y.provenLocked() {
		return 0
	}
	counted := map[digest]bool{}
	for _, f := range y.store().of(y.pair).lasting(cfg.Window, time.Now()) {
		counted[f.password] = true
	}
	for other := range y.t.passwords[y.pair] {
		counted[other] = true
	}
	delete(counted, y.password)
	if len(counted) >= cfg.Failures {
		return time.Second
	}
	return 0
}

// sourceWaitLocked is how long the network must wait until fewer names than the
// limit have failed from it, or a moment where those that are being checked now
// would be too many beside them. Who logged in from there not long ago goes on,
// and is not counted while being checked.
func (y *try) sourceWaitLocked() time.Duration {
	t, cfg, now := y.t, y.t.cfg, time.Now()
	if cfg.UsersPerSource <= 0 || t.familiarLocked(y.pair) {
		return 0
	}
	failed := t.sources.lasting(y.pair.network, cfg.Window, now)
	if over := len(failed) - cfg.UsersPerSource; over >= 0 {
		return oldest(failed)[over].Add(cfg.Window).Sub(now)
	}
	others := failed // a copy of our own
	for who := range t.checked[y.pair.network] {
		if !t.familiarLocked(pair{who, y.pair.network}) {
			others[who] = now
		}
	}
	delete(others, y.pair.who)
	if len(others) >= cfg.UsersPerSource {
		return time.Second
	}
	return 0
}

// crowdedLocked reports whether too many other passwords of the person are being
// checked, wherever they come from.
func (y *try) crowdedLocked() bool {
	others := y.t.everywhere[y.pair.who]
	_, same := others[y.password]
	return y.t.cfg.InFlight > 0 && !same && len(others) >= y.t.cfg.InFlight && !y.t.familiarLocked(y.pair)
}

// verdict refuses a login that would have to wait.
func verdict(person, source time.Duration) error {
	limit := "failures"
	if source > person {
		limit = "users_per_source"
	}
	wait := max(person, source)
	if wait <= 0 {
		return nil
	}
	return &ThrottledError{RetryAfter: max(wait, time.Second), Limit: limit}
}

// typed stands for a name as somebody typed it: spellings that a directory might
// take for the same name (case, outer spaces, Unicode forms) are one.
func (t *Throttle) typed(login string) digest {
	return t.seal.digest("typed", folded(login))
}

func folded(login string) string { return strings.ToLower(norm.NFKC.String(strings.TrimSpace(login))) }

// network is a client's /24 or IPv6 /64; an IPv4 address in IPv6 form counts as IPv4.
func network(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 24
	}
	p, _ := addr.Prefix(bits) // an invalid address gives the zero Prefix: one network of all such
	return p
}

// network is where an attempt counts. Clients whose address a proxy did not say
// count under that proxy's, by a Prefix that no known address has.
func (a Attempt) network() netip.Prefix {
	if a.Source.IsValid() || !a.Via.IsValid() {
		return network(a.Source)
	}
	via := a.Via.Unmap().WithZone("")
	return netip.PrefixFrom(via, via.BitLen())
}
