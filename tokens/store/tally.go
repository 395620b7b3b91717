package store

import (
	"context"
	_ "embed" // the scripts
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"gatehouse/authn"
)

// LoginTime is how long a login waits for Redis; what is counted in the process has to do
// then.
const LoginTime = 100 * time.Millisecond

//go:embed tally.lua
var claimText string

//go:embed note.lua
var noteText string

// The scripts: each is one step for Redis, so that no two gateways take the last place.
var (
	claimScript = redis.NewScript(claimText)
	noteScript  = redis.NewScript(noteText)
)

// Tally is the store as an authn.Tally that answers within a time, for one that gateways
// share; nil otherwise.
func (s *Store) Tally(within time.Duration) authn.Tally {
	if shared, ok := s.Backend.(*Shared); ok {
		return &tally{s, shared, within}
	}
	return nil
}

// tally asks within a time, and not at all while the store is known to be at fault.
type tally struct {
	store  *Store
	shared *Shared
	within time.Duration
}

// Claim is of authn.Tally.
func (t *tally) Claim(ctx context.Context, places []authn.Place) (full authn.Full, err error) {
	err = t.ask(ctx, "claim", func(ctx context.Context) error {
		full, err = t.shared.claim(ctx, places)
		return err
	})
	return full, err
}

// Note is of authn.Tally.
func (t *tally) Note(ctx context.Context, notes []authn.Note) error {
	return t.ask(ctx, "note", func(ctx context.Context) error { return t.shared.note(ctx, notes) })
}

// Last is of authn.Tally.
func (t *tally) Last(ctx context.Context, set string) (member string, left time.Duration, err error) {
	err = t.ask(ctx, "last", func(ctx context.Context) error {
		member, left, err = t.shared.last(ctx, set)
		return err
	})
	return member, left, err
}

// ask counts a request. That one was not answered within so short a time does not make the
// store one at fault.
func (t *tally) ask(ctx context.Context, operation string, do func(context.Context) error) error {
	if !t.store.Up() {
		return errDown
	}
	ctx, cancel := context.WithTimeout(ctx, t.within)
	defer cancel()
	err := unavailable(do(ctx))
	t.store.counted(operation, err)
	return err
}

func (s *Shared) tallySet(name string) string { return s.prefix + "throttle/" + name }

func (s *Shared) claim(ctx context.Context, places []authn.Place) (authn.Full, error) {
	var keys []string
	var args []any
	for _, p := range places {
		set := s.tallySet(p.Set)
		keys = append(keys, set, s.tallySet(p.Unless), set+"?")
		args = append(args, p.Member, p.Most, p.Lasting.Milliseconds(), flag(p.Counts), flag(p.Unless != ""), p.Known, p.Guesses, p.Window.Milliseconds())
	}
	got, err := claimScript.Run(ctx, s.client, keys, args...).Int64Slice()
	if err != nil {
		return authn.Full{}, err
	}
	if len(got) != 2 || got[0] < 0 || got[0] > int64(len(places)) {
		return authn.Full{}, fmt.Errorf("an answer that makes no sense: %v", got)
	}
	return authn.Full{Place: int(got[0]) - 1, Wait: time.Duration(got[1]) * time.Millisecond}, nil
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

func (s *Shared) note(ctx context.Context, notes []authn.Note) error {
	var keys []string
	var args []any
	for _, n := range notes {
		keys = append(keys, s.tallySet(n.Set))
		args = append(args, n.Member, string(n.End), n.Lasting.Milliseconds())
	}
	return noteScript.Run(ctx, s.client, keys, args...).Err()
}

// last reads a set of which the one entry and the key itself end together.
func (s *Shared) last(ctx context.Context, set string) (member string, left time.Duration, err error) {
	key := s.tallySet(set)
	var members *redis.StringSliceCmd
	var ttl *redis.DurationCmd
	_, err = s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		members, ttl = p.ZRevRange(ctx, key, 0, 0), p.PTTL(ctx, key)
		return nil
	})
	if err != nil || len(members.Val()) == 0 {
		return "", 0, err
	}
	return members.Val()[0], ttl.Val(), nil
}
