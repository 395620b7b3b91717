package personal

import (
	"context"
	"errors"
	"time"

	"gatehouse/tokens/store"
)

// keepEnded is how long a token that has ended is still shown.
const keepEnded = 7 * 24 * time.Hour

// everything is what the store has of tokens and of their uses, by id.
func everything(ctx context.Context, s *store.Store) (all, uses map[string][]byte, err error) {
	if all, err = s.List(ctx, allTokens); err == nil {
		uses, err = s.List(ctx, allUses)
	}
	return all, uses, err
}

// Sweep looks through all tokens: those that were unused for so long end, those that have
// ended long ago go. It returns those whose end nobody was told of yet, each once for all
// gateways of the store. unused 0: none ends so.
func (b *Book) Sweep(ctx context.Context, unused time.Duration) (ended []Token, err error) {
	s, err := b.in()
	if err != nil {
		return nil, nil // nobody has a token
	}
	all, uses, err := everything(ctx, s)
	if err != nil {
		return nil, err
	}
	lives := make(map[string]life, len(all))
	for id, text := range all {
		r, err := readRecord(text)
		if err != nil {
			continue // of a later version
		}
		if told, ok := b.settle(ctx, s, &r, b.lastUse(id, uses[id]), unused); ok {
			ended = append(ended, told)
		}
		lives[id] = life{r.Ends, r.Told}
	}
	b.mu.Lock()
	b.lives = lives
	b.mu.Unlock()
	return ended, b.tidy(ctx, s, all, uses)
}

// Due is Sweep for the tokens that are known to have ended since the last one.
func (b *Book) Due(ctx context.Context) (ended []Token) {
	s, err := b.in()
	if err != nil {
		return nil
	}
	for _, id := range b.due() {
		r, err := b.ask(ctx, s, id)
		if errors.Is(err, ErrNone) {
			b.note(id, nil, true)
		}
		if err != nil {
			continue
		}
		if told, ok := b.settle(ctx, s, &r, b.lastUse(id, nil), 0); ok {
			ended = append(ended, told)
		}
		b.mu.Lock()
		b.lives[id] = life{r.Ends, r.Told}
		b.mu.Unlock()
	}
	return ended
}

// due are the tokens whose end was not told.
func (b *Book) due() (ids []string) {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, l := range b.lives {
		if l.ended(now) && !l.told {
			ids = append(ids, id)
		}
	}
	return ids
}

// settle does what is due for one token, and reports whether this was to tell its end.
func (b *Book) settle(ctx context.Context, s *store.Store, r *record, last use, unused time.Duration) (Token, bool) {
	now := b.now()
	if at := idle(*r, last, unused); at != nil && !now.Before(*at) && !r.ended(*at) {
		r.Ends = at
	}
	if !r.ended(now) || r.Told && now.Sub(*r.Ends) < keepEnded {
		return Token{}, false
	}
	first := false
	err := s.Update(ctx, tableOf(r.owner()), func(table map[string][]byte) ([]store.Write, error) {
		first = false
		kept, err := readRecord(table[r.ID])
		switch {
		case err != nil: // somebody revoked it
			return nil, nil
		case kept.Told:
			return without(*r), nil
		}
		first = true
		kept.Told, kept.Ends = true, r.Ends
		return written(kept), nil
	})
	if err == nil {
		r.Told = true
		b.cache.Remove(r.ID)
	}
	return r.shown(last), err == nil && first
}

// idle is when a token ends that nobody uses; nil: never.
func idle(r record, last use, unused time.Duration) *time.Time {
	if unused <= 0 {
		return nil
	}
	at := r.Made
	if last.At.After(at) {
		at = last.At
	}
	at = at.Add(unused)
	return &at
}

// tidy takes out the uses of tokens that are no more.
func (b *Book) tidy(ctx context.Context, s *store.Store, all, uses map[string][]byte) error {
	var gone []store.Write
	for id := range uses {
		if all[id] == nil {
			gone = append(gone, store.Write{Table: allUses, Key: id})
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return s.Put(ctx, gone...)
}

// written and without are the changes that keep a record, or take it out.
func written(r record) []store.Write {
	return []store.Write{{Table: allTokens, Key: r.ID, Value: r.text()}, {Table: tableOf(r.owner()), Key: r.ID, Value: r.text()}}
}

func without(r record) []store.Write {
	return []store.Write{{Table: allTokens, Key: r.ID}, {Table: tableOf(r.owner()), Key: r.ID}, {Table: allUses, Key: r.ID}}
}
