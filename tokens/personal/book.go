package personal

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"gatehouse/authn"
	"gatehouse/tokens"
	"gatehouse/tokens/store"
)

// The tables of the store. Each token stands in allTokens and in its owner's table, by
// its id; both change together.
const (
	allTokens = "tokens"
	allUses   = "used"
	ofOwner   = "owner/"
)

// cachedRecords is how many answers of a store far away are kept.
const cachedRecords = 50_000

// refreshTime bounds a question that nobody waits for.
const refreshTime = 3 * time.Second

// Book is all personal tokens. It outlives reloads. Before Use it knows none, and every
// question is store.ErrUnavailable. It is safe for concurrent use.
type Book struct {
	revoker *tokens.Revoker
	now     func() time.Time
	cache   *lru.Cache[string, *answer] // of a store far away, by id

	mu      sync.Mutex
	store   *store.Store
	uses    map[string]use  // the last ones that are known here
	unsaved map[string]bool // of uses, those that the store does not have
	lives   map[string]life // of all tokens, as the last sweep saw them
}

// life is when a token ends, and whether that was told.
type life struct {
	ends *time.Time // nil: never
	told bool
}

func (l life) ended(now time.Time) bool { return l.ends != nil && !now.Before(*l.ends) }

// answer is a record as the store had it.
type answer struct {
	record record
	asked  time.Time
	again  sync.Mutex // is held while it is asked for again
}

// NewBook returns one without a store; now may be nil.
func NewBook(revoker *tokens.Revoker, now func() time.Time) *Book {
	if now == nil {
		now = time.Now
	}
	cache, _ := lru.New[string, *answer](cachedRecords) // which fails for no size alone
	return &Book{revoker: revoker, now: now, cache: cache, uses: map[string]use{}, unsaved: map[string]bool{}, lives: map[string]life{}}
}

// Use makes the store the place of all tokens.
func (b *Book) Use(s *store.Store) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.store = s
}

// in is the store.
func (b *Book) in() (*store.Store, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.store == nil {
		return nil, errors.Join(store.ErrUnavailable, errors.New("there is none"))
	}
	return b.store, nil
}

func tableOf(owner authn.Ref) string { return ofOwner + owner.Directory + "/" + owner.ID }

// find is the record of a token. One that was known within stale_for is given out at
// once, and asked for again where it is older than fresh_for.
func (b *Book) find(ctx context.Context, id string) (record, error) {
	s, err := b.in()
	if err != nil {
		return record{}, err
	}
	if !s.Remote() {
		return b.ask(ctx, s, id)
	}
	known, ok := b.cache.Get(id)
	if !ok {
		return b.ask(ctx, s, id)
	}
	switch age := b.now().Sub(known.asked); {
	case age < s.Config().FreshFor:
		return known.record, nil
	case age < s.Config().StaleFor:
		b.refresh(s, id, known)
		return known.record, nil
	}
	return b.ask(ctx, s, id)
}

// refresh asks for a record while its user goes on with what is known.
func (b *Book) refresh(s *store.Store, id string, known *answer) {
	if !known.again.TryLock() {
		return
	}
	go func() {
		defer known.again.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), refreshTime)
		defer cancel()
		_, _ = b.ask(ctx, s, id) // a fault leaves what is known, and the store tells it
	}()
}

// ask asks the store.
func (b *Book) ask(ctx context.Context, s *store.Store, id string) (record, error) {
	asked := b.now()
	text, err := s.Get(ctx, allTokens, id)
	switch {
	case errors.Is(err, store.ErrNone):
		b.cache.Remove(id)
		return record{}, ErrNone
	case err != nil:
		return record{}, err
	}
	r, err := readRecord(text)
	if err != nil {
		return record{}, errors.Join(store.ErrUnavailable, err)
	}
	if s.Remote() {
		b.cache.Add(id, &answer{record: r, asked: asked})
	}
	return r, nil
}

// Used notes a use of the token, in memory; Save brings it to the store.
func (b *Book) Used(id string, from netip.Addr) {
	now := b.now().UTC().Truncate(time.Second)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.uses[id].At.Equal(now) {
		return
	}
	b.uses[id], b.unsaved[id] = use{now, networkOf(from)}, true
}

// Save writes the uses since the last time. It is called each minute and at the end.
func (b *Book) Save(ctx context.Context) error {
	s, err := b.in()
	if err != nil {
		return nil // nobody has a token
	}
	writes := b.taken()
	for len(writes) > 0 && err == nil {
		n := min(len(writes), 1000)
		if err = s.Put(ctx, writes[:n]...); err == nil {
			writes = writes[n:]
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range writes { // what could not be written is for the next time
		b.unsaved[w.Key] = true
	}
	return err
}

// taken are the uses to be written.
func (b *Book) taken() (writes []store.Write) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.unsaved {
		text, _ := json.Marshal(b.uses[id]) // a time and a text
		writes = append(writes, store.Write{Table: allUses, Key: id, Value: text})
	}
	clear(b.unsaved)
	return writes
}

// lastUse is the later of what is known here and in the store.
func (b *Book) lastUse(id string, stored []byte) use {
	b.mu.Lock()
	here := b.uses[id]
	b.mu.Unlock()
	var there use
	if len(stored) > 0 && json.Unmarshal(stored, &there) == nil && there.At.After(here.At) {
		return there
	}
	return here
}

// Count says how many tokens go on, end within 14 days, and have ended.
func (b *Book) Count() (active, expiring, expired int) {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for l := range maps.Values(b.lives) {
		switch {
		case l.ended(now):
			expired++
		case l.ended(now.Add(soon)):
			expiring++
		default:
			active++
		}
	}
	return active, expiring, expired
}

// soon is how long before its end a token counts as ending.
const soon = 14 * 24 * time.Hour

// note keeps the count right between two sweeps.
func (b *Book) note(id string, ends *time.Time, gone bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if gone {
		delete(b.lives, id)
		delete(b.uses, id)
		delete(b.unsaved, id)
		return
	}
	b.lives[id] = life{ends: ends}
}
