package tokens

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/tokens/store"
)

// revokedLog is the store's log of what was revoked.
const revokedLog = "revoked"

// Revoked is what somebody ended before its time: one token, or what a person was given
// before a moment.
type Revoked struct {
	// ID is of an access or refresh token or a session (its jti), or of a machine's or a
	// personal token; what was issued for it ends too. Empty: all of a person.
	ID string `json:"id,omitempty"`
	// Directory and User are the person, where there is no ID.
	Directory string `json:"directory,omitempty"`
	User      string `json:"user,omitempty"`
	// Before takes what was issued before it, where there is no ID, unless that was issued
	// when the entry was known, see Token.After. It is maxSkew behind the moment at which
	// somebody asked for it, as clocks differ, and behind every other one of the person.
	Before time.Time `json:"before,omitzero"`
	// Ends is when nothing is left that the entry could end; zero: never.
	Ends time.Time `json:"ends,omitzero"`
}

// Write is the change of the store that makes it known to all gateways.
func (r Revoked) Write() store.Write {
	text, _ := json.Marshal(r) // texts and times of four digits a year cannot fail
	return store.Write{Table: revokedLog, Value: text, Log: true}
}

// Revoker ends tokens while the gateway runs: at once here, and on the gateways of the
// same store when they look at it next. It outlives reloads. A nil *Revoker ends nothing.
// It is safe for concurrent use.
type Revoker struct {
	log     *slog.Logger
	started time.Time
	now     func() time.Time
	counts  atomic.Pointer[revocations]
	blind   atomic.Bool // there is a store, and what it has was not read yet

	mu    sync.Mutex
	store *store.Store       // nil: what is ended is forgotten at the end of the process
	known map[string]Revoked // by its text
	keys  map[string]string  // in the store's log, by the text
	after string             // the last key that was read
}

// NewRevoker returns one without a store; log may be nil, now too.
func NewRevoker(log *slog.Logger, now func() time.Time) *Revoker {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	r := &Revoker{log: log, now: now, started: now(), known: map[string]Revoked{}, keys: map[string]string{}}
	r.counts.Store(&revocations{})
	return r
}

// Use makes the store the place of all that is ended from now on, and reads what it has.
// An error says that this could not be read: until Follow has, tokens that were issued
// before the start may be revoked, and are taken for good by nobody.
func (r *Revoker) Use(ctx context.Context, s *store.Store) error {
	r.mu.Lock()
	r.store = s
	r.mu.Unlock()
	r.blind.Store(true)
	return r.Follow(ctx)
}

// Follow takes in what was ended since the last look, here or elsewhere.
func (r *Revoker) Follow(ctx context.Context) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	s, after := r.store, r.after
	r.mu.Unlock()
	if s == nil {
		return nil
	}
	list, err := s.Since(ctx, revokedLog, after)
	if err != nil {
		return err
	}
	r.hear(list)
	r.blind.Store(false)
	return nil
}

// Reread takes in all that the store has: a Redis that took over from another may have
// given an entry a key that we are beyond.
func (r *Revoker) Reread(ctx context.Context) error {
	r.mu.Lock()
	r.after = ""
	r.mu.Unlock()
	return r.Follow(ctx)
}

func (r *Revoker) hear(list []store.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range list {
		var one Revoked
		if json.Unmarshal(e.Value, &one) != nil { // of a later version
			continue
		}
		r.known[string(e.Value)], r.keys[string(e.Value)] = one, e.Key
		r.after = e.Key
	}
	if len(list) > 0 {
		r.compileLocked()
	}
}

// Heard makes an entry count here, whose Write somebody else has brought to the store.
func (r *Revoker) Heard(list ...Revoked) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range list {
		r.known[string(one.Write().Value)] = one
	}
	r.compileLocked()
}

// End ends what the entry names. Where the store is at fault nothing is ended, and the
// error is store.ErrUnavailable.
func (r *Revoker) End(ctx context.Context, one Revoked) error {
	if r == nil {
		return errors.Join(store.ErrUnavailable, errors.New("nothing keeps what is revoked"))
	}
	r.mu.Lock()
	s := r.store
	r.mu.Unlock()
	if s == nil {
		r.log.Error("revoked until the gateway ends, for want of a store; take it out of the config, or put it on tokens.revoked", "credential_id", one.ID, "user", one.User)
	} else if err := s.Put(ctx, one.Write()); err != nil {
		return err
	}
	r.Heard(one)
	return nil
}

// EndPerson ends all that a person was given until now by passwords: access tokens,
// refresh tokens, sessions. keep is how long such things last at most. It asks the store
// first, for what was issued after another such end, elsewhere too, ends with this one.
func (r *Revoker) EndPerson(ctx context.Context, directory, name string, keep time.Duration) error {
	if r == nil {
		return r.End(ctx, Revoked{})
	}
	now := r.now()
	if err := r.Follow(ctx); err != nil {
		return err
	}
	before := later(now.Add(maxSkew), r.Last(directory, name).Add(1)).UTC()
	return r.End(ctx, Revoked{Directory: directory, User: name, Before: before, Ends: before.Add(keep + time.Second).Truncate(time.Second)})
}

// Last is the latest moment before which all of the person's has ended, as far as is known
// here; zero: none of it has. What they are given now says that it is After it.
func (r *Revoker) Last(directory, name string) time.Time { return r.list().last(directory, name) }

// Ended reports whether what the person was given at that moment, after being as Token.After,
// has ended, as far as is known here.
func (r *Revoker) Ended(directory, name string, issued, after time.Time) bool {
	return r.list().ends(directory, name, issued, after)
}

// glance is how long a login waits for what was ended elsewhere.
const glance = 100 * time.Millisecond

// Glance is Follow for what is about to be issued, where others may have ended something a
// moment ago. It waits for no store that is known to be at fault, and what goes wrong the
// store tells: then the last look counts.
func (r *Revoker) Glance(ctx context.Context) {
	if r == nil {
		return
	}
	r.mu.Lock()
	s := r.store
	r.mu.Unlock()
	if s == nil || !s.Remote() || !s.Up() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, glance)
	defer cancel()
	_ = r.Follow(ctx)
}

// Sweep forgets what nothing is left of, here and in the store.
func (r *Revoker) Sweep(ctx context.Context) error {
	s, gone := r.forget()
	if s == nil || len(gone) == 0 {
		return nil
	}
	return s.Put(ctx, gone...)
}

func (r *Revoker) forget() (s *store.Store, gone []store.Write) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, before := r.now(), len(r.known)
	for text, one := range r.known {
		if one.Ends.IsZero() || now.Before(one.Ends) {
			continue
		}
		if key := r.keys[text]; key != "" {
			gone = append(gone, store.Write{Table: revokedLog, Key: key, Log: true})
		}
		delete(r.known, text)
		delete(r.keys, text)
	}
	if len(r.known) != before {
		r.compileLocked()
	}
	return r.store, gone
}

// compileLocked makes what is known quick to ask.
func (r *Revoker) compileLocked() {
	all := revocations{ids: map[string]bool{}, people: map[string][]revokedPerson{}}
	for one := range maps.Values(r.known) {
		if one.ID != "" {
			all.ids[one.ID] = true
			continue
		}
		all.people[one.User] = append(all.people[one.User], revokedPerson{one.Directory, one.Before, true})
	}
	for name, list := range all.people {
		slices.SortFunc(list, func(a, b revokedPerson) int {
			return cmp.Or(cmp.Compare(a.directory, b.directory), b.before.Compare(a.before))
		})
		all.people[name] = slices.CompactFunc(list, func(a, b revokedPerson) bool { return a.directory == b.directory })
	}
	r.counts.Store(&all)
}

// list is what counts now.
func (r *Revoker) list() *revocations {
	if r == nil {
		return &none
	}
	return r.counts.Load()
}

var none revocations

// errBlind: whether a token was revoked is not known.
var errBlind = errors.Join(store.ErrUnavailable, errors.New("what is revoked could not be read since the start"))

// sees reports by an error that it is not known whether something that was issued at that
// moment is revoked: the store has not been read since the start.
func (r *Revoker) sees(issued time.Time) error {
	if r == nil || !r.blind.Load() || !issued.Before(r.started.Truncate(time.Second)) {
		return nil
	}
	return errBlind
}
