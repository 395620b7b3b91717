package authn

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
	"unique"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// cachedNegatives is how many refusals are remembered: of names, and of passwords.
const cachedNegatives = 10_000

// memory is what a Cache remembers of people, their names and passwords. It asks
// nobody. Its user's lock guards it.
type memory struct {
	cfg     CacheConfig
	seal    sealer
	evicted func() // is called for each person who makes room for another

	generation int // counts expire: what was asked in an earlier one is never fresh
	people     *simplelru.LRU[personKey, *person]
	logins     *simplelru.LRU[string, loginEntry] // by folded login
	negatives  *simplelru.LRU[negativeKey, negative]
	good       *simplelru.LRU[personKey, goodPassword]
	wrong      *simplelru.LRU[digest, time.Time]
}

// The keys are structs of their parts, so that no two of them can run together.
type (
	personKey   struct{ username, id string }
	negativeKey struct {
		login string // of a Find, else empty
		personKey
	}
)

func keyOf(id Identity) personKey { return personKey{id.Username, id.ID} }

// person is a remembered identity.
type person struct {
	id      Identity
	shared  []unique.Handle[Group] // keep the groups of id in the table of all
	asked   time.Time              // when the question was sent that brought it
	refresh time.Time              // from here a background refresh is due
	until   time.Time              // fresh until here
	fault   time.Time              // last fault since asked, zero for none
	stale   time.Time              // when it was last served although it was no longer fresh
	served  bool                   // somebody got it from the cache
}

func (p *person) fresh(now time.Time) bool { return now.Before(p.until) }

// loginEntry says who a typed name means. It ends by itself, because a mail
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

func newMemory(cfg CacheConfig, evicted func()) *memory {
	most := cmp.Or(cfg.MaxPeople, defaultMaxPeople)
	return &memory{
		cfg: cfg, seal: newSealer(), evicted: evicted,
		people:    newLRU[personKey, *person](most),
		logins:    newLRU[string, loginEntry](most),
		negatives: newLRU[negativeKey, negative](cachedNegatives),
		good:      newLRU[personKey, goodPassword](most),
		wrong:     newLRU[digest, time.Time](cachedNegatives),
	}
}

// sizes are how much is remembered, by the caches' names in the metrics.
func (m *memory) sizes() map[string]int {
	return map[string]int{"identity": m.people.Len(), "negative": m.negatives.Len(),
		"password": m.good.Len(), "wrong_password": m.wrong.Len()}
}

// oldestStale is the age of the oldest identity that was served stale since then; 0: none was.
func (m *memory) oldestStale(since, now time.Time) (oldest time.Duration) {
	for _, p := range m.people.Values() {
		if !p.fresh(now) && p.stale.After(since) && m.usable(p, now) {
			oldest = max(oldest, now.Sub(p.asked))
		}
	}
	return oldest
}

// expire makes every identity due for a lookup. Passwords and negatives go.
func (m *memory) expire() {
	m.generation++
	for _, p := range m.people.Values() {
		p.refresh, p.until, p.fault = time.Time{}, time.Time{}, time.Time{}
	}
	for _, name := range m.logins.Keys() { // who they meant shows who was known
		l, _ := m.logins.Peek(name)
		m.logins.Add(name, loginEntry{who: l.who})
	}
	m.negatives.Purge()
	m.good.Purge()
	m.wrong.Purge()
}

// inherit takes over the people that old knew, as expire leaves them.
func (m *memory) inherit(old *memory) {
	for _, key := range old.people.Keys() {
		p, _ := old.people.Peek(key)
		m.people.Add(key, &person{id: p.id, shared: p.shared, asked: p.asked})
	}
	for _, name := range old.logins.Keys() {
		l, _ := old.logins.Peek(name)
		m.logins.Add(name, loginEntry{who: l.who})
	}
}

// usable reports whether the identity may still be served on a fault. An account
// that ends by itself does so while the directory is away too.
func (m *memory) usable(p *person, now time.Time) bool {
	ended := !p.id.ValidUntil.IsZero() && !now.Before(p.id.ValidUntil)
	return !ended && now.Sub(p.asked) < m.cfg.StaleFor
}

// named is the person of a typed name, where both are fresh. A lock may be lifted
// any moment, so that whoever has one is asked about each time.
func (m *memory) named(folded string, now time.Time) (personKey, *person, bool) {
	l, _ := m.logins.Get(folded)
	if !now.Before(l.until) {
		return personKey{}, nil, false
	}
	p, ok := m.people.Get(l.who)
	return l.who, p, ok && p.fresh(now) && p.id.NoLogin == ""
}

// wasNamed reports whether a typed name meant somebody who is remembered.
func (m *memory) wasNamed(folded string) bool {
	l, _ := m.logins.Peek(folded)
	return m.people.Contains(l.who)
}

// name notes who a typed name means.
func (m *memory) name(folded string, id Identity, asked time.Time, generation int) {
	m.negatives.Remove(negativeKey{login: folded})
	if generation == m.generation {
		m.logins.Add(folded, loginEntry{keyOf(id), m.until(asked, id)})
	}
}

// unname forgets who a typed name meant, and returns that person.
func (m *memory) unname(folded string) (personKey, bool) {
	l, ok := m.logins.Peek(folded)
	m.logins.Remove(folded)
	return l.who, ok
}

// until is the end of freshness of what was asked for then: FreshFor, shortened
// at random by up to a tenth so that people who came together do not expire so,
// and no longer than the account lasts.
func (m *memory) until(asked time.Time, id Identity) time.Time {
	until := asked.Add(m.cfg.FreshFor - time.Duration(rand.Float64()*0.1*float64(m.cfg.FreshFor)))
	if end := id.ValidUntil; !end.IsZero() && end.Before(until) {
		return end
	}
	return until
}

// remember keeps an identity under the name it was asked by, unless a later
// question has been answered already.
func (m *memory) remember(key personKey, id Identity, asked time.Time, generation int) {
	old, known := m.people.Peek(key)
	if known && old.asked.After(asked) {
		return
	}
	if known && changed(old.id, id) {
		m.good.Remove(key)
	}
	p := &person{id: id, asked: asked}
	if known && slices.Equal(old.id.Groups, id.Groups) {
		p.id.Groups, p.shared = old.id.Groups, old.shared
	} else {
		p.id.Groups, p.shared = share(id.Groups)
	}
	if generation == m.generation {
		p.refresh, p.until = asked.Add(m.cfg.FreshFor/2), m.until(asked, id)
	}
	if m.people.Add(key, p) {
		m.evicted()
	}
	m.negatives.Remove(negativeKey{personKey: key})
}

// share returns groups in the words that all people have in common: people are in
// the same few groups, whose names are most of what an identity weighs.
func share(groups []Group) ([]Group, []unique.Handle[Group]) {
	if len(groups) == 0 {
		return nil, nil
	}
	shared, handles := make([]Group, len(groups)), make([]unique.Handle[Group], len(groups))
	for i, g := range groups {
		handles[i] = unique.Make(g)
		shared[i] = handles[i].Value()
	}
	return shared, handles
}

// changed reports whether what is remembered of a person's passwords may be void.
func changed(a, b Identity) bool {
	return a.PasswordStamp != b.PasswordStamp || a.NoLogin != b.NoLogin || a.DN != b.DN || a.ID != b.ID
}

// forget drops a person that the directory did not show at a question, unless a
// later one found them, and reports whether somebody known is absent now.
func (m *memory) forget(key personKey, asked time.Time, why error) (absent bool) {
	p, known := m.people.Peek(key)
	if known && p.asked.After(asked) {
		return false
	}
	m.people.Remove(key)
	m.good.Remove(key)
	return known && errors.Is(why, ErrAbsent)
}

// deny remembers "unknown", or that somebody's entry cannot be used.
func (m *memory) deny(key negativeKey, asked time.Time, why error, lasting time.Duration, generation int) {
	if p, ok := m.people.Peek(key.personKey); ok && p.asked.After(asked) {
		return
	}
	if generation == m.generation && lasting > 0 {
		m.negatives.Add(key, negative{asked.Add(lasting), why})
	}
}

// denied is what is remembered against somebody; nil: nothing is.
func (m *memory) denied(key negativeKey, now time.Time) error {
	if n, _ := m.negatives.Get(key); now.Before(n.until) {
		return n.err
	}
	return nil
}

// fault notes that the directory could not answer for a remembered person.
func (m *memory) fault(key personKey) {
	if p, ok := m.people.Peek(key); ok {
		p.fault = time.Now()
	}
}

// sealed stands for a password of a person in the state that id shows: with any
// change of state, what was remembered of their passwords is worth nothing.
func (m *memory) sealed(id Identity, password Secret) digest {
	return m.seal.digest("password", id.Username, id.ID, id.DN, id.PasswordStamp, id.NoLogin, string(password))
}

// isGood reports whether the password need not be asked.
func (m *memory) isGood(id Identity, sealed digest, now time.Time) bool {
	g, _ := m.good.Get(keyOf(id))
	return g.password == sealed && now.Before(g.until) && id.NoLogin == ""
}

// isWrong reports whether the password was refused not long ago.
func (m *memory) isWrong(sealed digest, now time.Time) bool {
	until, _ := m.wrong.Get(sealed)
	return now.Before(until)
}

// maybeOlder reports whether an identity that comes from the cache may be older
// than the password: a password other than the usual one speaks for a change, and
// with it the stamp has changed.
func (m *memory) maybeOlder(id Identity, sealed digest) bool {
	key := keyOf(id)
	if g, _ := m.good.Peek(key); g.password == sealed {
		return false
	}
	p, ok := m.people.Peek(key)
	return !ok || p.served || p.id.PasswordStamp != id.PasswordStamp
}

// accept remembers a good password of a person, under the identity as it is now.
func (m *memory) accept(key personKey, now Identity, password Secret, asked time.Time, generation int) {
	if generation == m.generation {
		m.good.Add(key, goodPassword{m.sealed(now, password), asked.Add(min(m.cfg.PasswordFor, m.cfg.FreshFor))})
	}
}

// reject remembers a wrong password, if that is what it is, and forgets the good
// one if it is the same.
func (m *memory) reject(id Identity, sealed digest, asked time.Time, why error, generation int) {
	if g, _ := m.good.Peek(keyOf(id)); g.password == sealed {
		m.good.Remove(keyOf(id))
	}
	if generation == m.generation && id.NoLogin == "" && m.cfg.WrongPasswordFor > 0 && !errors.Is(why, ErrNotPassword) {
		m.wrong.Add(sealed, asked.Add(m.cfg.WrongPasswordFor))
	}
}
