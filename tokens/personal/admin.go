package personal

import (
	"context"
	"strings"
	"time"

	"gatehouse/authn"
)

// All are the tokens of everybody whose name fits: NAME, or DIRECTORY/NAME; "" is
// everybody. They are in the order of their making.
func (b *Book) All(ctx context.Context, user string) ([]Token, error) {
	s, err := b.in()
	if err != nil {
		return nil, err
	}
	all, uses, err := everything(ctx, s)
	if err != nil {
		return nil, err
	}
	list := []Token{}
	for id, text := range all {
		if r, err := readRecord(text); err == nil && fits(r, user) {
			list = append(list, r.shown(b.lastUse(id, uses[id])))
		}
	}
	return sorted(list), nil
}

// Person gives the parts of NAME, or DIRECTORY/NAME, as identities have them; no
// directory: any.
func Person(text string) (directory, name string) {
	first, rest, bound := strings.Cut(text, "/")
	if bound {
		return authn.NormalizeName(first), authn.NormalizeName(rest)
	}
	return "", authn.NormalizeName(first)
}

func fits(r record, user string) bool {
	if user == "" {
		return true
	}
	directory, name := Person(user)
	return r.User == name && (directory == "" || r.Directory == directory)
}

// RevokeAll ends all tokens of a person (NAME, or DIRECTORY/NAME), and with everything
// else that they were given until now: access tokens, refresh tokens and sessions. keep
// is how long those last at most.
func (d *Desk) RevokeAll(ctx context.Context, user string, keep time.Duration) ([]Token, error) {
	directory, name := Person(user)
	if err := d.Book.revoker.EndPerson(ctx, directory, name, keep); err != nil {
		return nil, err
	}
	list, err := d.Book.All(ctx, user) // which has all that was made until now: see last
	if err != nil {
		return nil, err
	}
	var ended []Token
	for _, t := range list {
		if _, err := d.RevokeAny(ctx, t.ID); err == nil {
			ended = append(ended, t)
		} else if err != ErrNone {
			return ended, err
		}
	}
	return ended, nil
}
