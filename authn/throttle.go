package authn

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/text/unicode/norm"
)

// ThrottleConfig is the `throttle` section of the config.
type ThrottleConfig struct {
	// Failures is how many different wrong passwords one person may have from
	// one client network (/24, IPv6 /64) in Window; 0: no limit.
	// Default 5.
	Failures int `yaml:"failures" min:"0"`
	// Window is how long a failure counts. Default 5m.
	Window time.Duration `yaml:"window"`
	// UsersPerSource is how many different names may fail from one client
	// network in Window; 0: no limit. Default 50.
	UsersPerSource int `yaml:"users_per_source" min:"0"`
	// InFlight is how many different passwords of one person may be checked at
	// the same time, from wherever they come; 0: no limit. Many logins with one
	// password count once, and networks that the person logged in from not long
	// ago are exempt, so that nobody can be kept out by it.
	InFlight int `yaml:"-"` // the config's limits.logins_per_user
}

// Defaults are what the config file may leave out.
func (c *ThrottleConfig) Defaults() { c.Failures, c.Window, c.UsersPerSource = 5, 5*time.Minute, 50 }

// Check wants a window where there is a limit.
func (c *ThrottleConfig) Check() error {
	if c.Failures+c.UsersPerSource > 0 && c.Window <= 0 {
		return &KeyError{Key: "window", Err: errors.New("must be above 0s")}
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
	seal sealer

	mu      sync.Mutex
	cfg     ThrottleConfig
	people  *simplelru.LRU[pair, []failure]
	unknown *simplelru.LRU[pair, []failure]
	sources *simplelru.LRU[netip.Prefix, map[digest]time.Time]
	good    *simplelru.LRU[pair, time.Time]
	// names says whom a typed name was found to be, so that a throttled login is
	// refused before a directory is asked.
	names *simplelru.LRU[digest, digest]
	// running holds the passwords being checked now: each may turn out wrong,
	// so that logins side by side cannot overrun the limit.
	running map[pair]map[digest]int
	// everywhere holds the same by person alone.
	everywhere map[digest]map[digest]int
}

// digest stands for a name, a person or a password, under the process' own key.
type digest [16]byte

// pair is one person, or one unknown name, in one client network.
type pair struct {
	who     digest
	network netip.Prefix
}

// failure is one wrong password.
type failure struct {
	password digest
	at       time.Time
}

// NewThrottle returns a throttle that has seen nothing.
func NewThrottle(cfg ThrottleConfig) *Throttle {
	return &Throttle{
		seal: newSealer(), cfg: cfg, running: map[pair]map[digest]int{}, everywhere: map[digest]map[digest]int{},
		people:  newLRU[pair, []failure](throttledPeople),
		unknown: newLRU[pair, []failure](throttledUnknown),
		sources: newLRU[netip.Prefix, map[digest]time.Time](throttledSources),
		good:    newLRU[pair, time.Time](throttledPeople),
		names:   newLRU[digest, digest](throttledPeople),
	}
}

// Configure changes the limits and keeps what was counted.
func (t *Throttle) Configure(cfg ThrottleConfig) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cfg = cfg
}

// gate refuses a login whose name is known to be throttled, before any directory
// is asked.
func (t *Throttle) gate(a Attempt) error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	typed := t.typed(a.Login)
	p := pair{typed, a.network()}
	store := t.unknown
	if who, ok := t.names.Get(typed); ok {
		p.who, store = who, t.people
	}
	return t.verdict(t.personWait(store, p, nil), t.sourceWait(p))
}

// try is one admitted login; it ends with settle.
type try struct {
	t        *Throttle
	pair     pair
	known    bool
	password digest
}

// admit lets a login through to the check of its password, for the person that
// was found or, where id is zero, for the name as it was typed.
func (t *Throttle) admit(a Attempt, id Identity) (*try, error) {
	if t == nil {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	typed := t.typed(a.Login)
	y := &try{t: t, pair: pair{typed, a.network()}, known: !id.Anonymous()}
	store := t.unknown
	if y.known {
		y.pair.who, store = t.seal.digest("person", id.Directory, id.Username), t.people
		t.names.Add(typed, y.pair.who)
	}
	y.password = t.seal.digest("password", string(y.pair.who[:]), string(a.Password))
	if err := t.verdict(t.personWait(store, y.pair, &y.password), t.sourceWait(y.pair)); err != nil {
		return nil, err
	}
	if t.crowded(y) {
		return nil, &ThrottledError{RetryAfter: time.Second, Limit: "logins_per_user"}
	}
	begin(t.running, y.pair, y.password)
	begin(t.everywhere, y.pair.who, y.password)
	return y, nil
}

// crowded says whether too many other passwords of the person are being checked.
func (t *Throttle) crowded(y *try) bool {
	others := t.everywhere[y.pair.who]
	if _, same := others[y.password]; t.cfg.InFlight <= 0 || same || len(others) < t.cfg.InFlight {
		return false
	}
	at, ok := t.good.Get(y.pair)
	return !ok || time.Since(at) >= rememberedGood
}

func begin[K comparable](running map[K]map[digest]int, key K, password digest) {
	if running[key] == nil {
		running[key] = map[digest]int{}
	}
	running[key][password]++
}

func end[K comparable](running map[K]map[digest]int, key K, password digest) {
	passwords := running[key]
	if passwords[password]--; passwords[password] <= 0 {
		delete(passwords, password)
	}
	if len(passwords) == 0 {
		delete(running, key)
	}
}

// settle counts how the login ended. A fault counts for nothing; but a caller
// who left before the answer counts as refused, else leaving early would be a
// way round the limit.
func (y *try) settle(ctx context.Context, err error) {
	if y == nil {
		return
	}
	y.t.mu.Lock()
	defer y.t.mu.Unlock()
	end(y.t.running, y.pair, y.password)
	end(y.t.everywhere, y.pair.who, y.password)
	busy := new(ThrottledError)
	switch {
	case err == nil:
		y.t.people.Remove(y.pair)
		y.t.good.Add(y.pair, time.Now())
	case errors.As(err, &busy):
	case refused(err), ctx.Err() != nil:
		y.t.count(y)
	}
}

// count adds a failure. Stores are kept in the order of the last failure, so
// that what is evicted first is what would lapse first.
func (t *Throttle) count(y *try) {
	now := time.Now()
	store := t.unknown
	if y.known {
		store = t.people
	}
	old, _ := store.Peek(y.pair)
	fresh := t.lasting(old, now)
	if !slices.ContainsFunc(fresh, func(f failure) bool { return f.password == y.password }) && t.cfg.Failures > 0 {
		store.Add(y.pair, append(fresh, failure{y.password, now}))
	}
	t.countSource(y.pair, now)
}

func (t *Throttle) countSource(p pair, now time.Time) {
	if t.cfg.UsersPerSource <= 0 {
		return
	}
	names, ok := t.sources.Get(p.network)
	if !ok {
		names = map[digest]time.Time{}
		t.sources.Add(p.network, names)
	}
	for who, at := range names {
		if now.Sub(at) >= t.cfg.Window {
			delete(names, who)
		}
	}
	if _, again := names[p.who]; again || len(names) < t.cfg.UsersPerSource {
		names[p.who] = now
	}
}

// personWait is how long a person must wait until fewer failures than the limit
// count; 0: not at all. With a password, those being checked now count as well.
func (t *Throttle) personWait(store *simplelru.LRU[pair, []failure], p pair, password *digest) time.Duration {
	old, _ := store.Peek(p)
	now := time.Now()
	failures := t.lasting(old, now)
	over := len(failures) - t.cfg.Failures
	switch {
	case t.cfg.Failures <= 0:
		return 0
	case over >= 0:
		return failures[over].at.Add(t.cfg.Window).Sub(now)
	case password == nil:
		return 0
	}
	counted := map[digest]bool{}
	for _, f := range failures {
		counted[f.password] = true
	}
	for other := range t.running[p] {
		counted[other] = true
	}
	delete(counted, *password)
	if len(counted) >= t.cfg.Failures {
		return time.Second
	}
	return 0
}

// lasting returns the failures that still count, in a new slice, oldest first.
func (t *Throttle) lasting(all []failure, now time.Time) []failure {
	var out []failure
	for _, f := range all {
		if now.Sub(f.at) < t.cfg.Window {
			out = append(out, f)
		}
	}
	return out
}

// sourceWait is how long a network must wait until fewer names than the limit
// have failed from it. Who logged in from there not long ago goes on.
func (t *Throttle) sourceWait(p pair) time.Duration {
	names, _ := t.sources.Peek(p.network)
	if t.cfg.UsersPerSource <= 0 || len(names) < t.cfg.UsersPerSource {
		return 0
	}
	now := time.Now()
	if at, ok := t.good.Get(p); ok && now.Sub(at) < rememberedGood {
		return 0
	}
	var live []time.Time
	for _, at := range names {
		if now.Sub(at) < t.cfg.Window {
			live = append(live, at)
		}
	}
	over := len(live) - t.cfg.UsersPerSource
	if over < 0 {
		return 0
	}
	slices.SortFunc(live, time.Time.Compare)
	return live[over].Add(t.cfg.Window).Sub(now)
}

// verdict refuses a login that would have to wait.
func (t *Throttle) verdict(person, source time.Duration) error {
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
	return t.seal.digest("typed", strings.ToLower(norm.NFKC.String(strings.TrimSpace(login))))
}

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

// sealer makes digests under a random key of the process' own, so that what is
// remembered of a password is of no use elsewhere.
type sealer [32]byte

func newSealer() sealer {
	var s sealer
	rand.Read(s[:]) // never fails: it would end the program
	return s
}

func (s *sealer) digest(parts ...string) digest {
	mac := hmac.New(sha256.New, s[:])
	mac.Write([]byte(join(parts...)))
	return digest(mac.Sum(nil)[:16])
}

// join puts parts together so that no two lists give the same text: each has its
// length before it.
func join(parts ...string) string {
	var b []byte
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return string(b)
}

func newLRU[K comparable, V any](size int) *simplelru.LRU[K, V] {
	l, _ := simplelru.NewLRU[K, V](size, nil) // fails only for a size below 1
	return l
}
