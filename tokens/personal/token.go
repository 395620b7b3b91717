// Package personal keeps the tokens that people make for their programs: made, listed,
// ended, found. A token is its owner with a ceiling. Only its hash is kept, in the store.
//
// A Book outlives reloads; a Desk is what one config lets be done with it.
package personal

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/authz"
	"gatehouse/tokens"
)

// What can be wrong with what somebody wants of their tokens.
var (
	// ErrInvalid: the name, the lifetime or the ceiling cannot be so.
	ErrInvalid = errors.New("invalid")
	// ErrTaken: a token of theirs has the name.
	ErrTaken = errors.New("a token of that name is there already; revoke it, or take another name")
	// ErrTooMany: they have as many as personal_tokens.per_user.
	ErrTooMany = errors.New("no more tokens can be made; revoke one that is not needed")
	// ErrNone: they have no such token.
	ErrNone = errors.New("there is no such token")
	// ErrForbidden: they are none of personal_tokens.to.
	ErrForbidden = errors.New("making tokens is not open to this account")
)

// Token is a personal token as its owner sees it, without its secret.
type Token struct {
	// ID is its id.
	ID string `json:"id"`
	// Name is what its owner calls it.
	Name string `json:"name"`
	// Created and Expires are its times, in whole seconds; a nil Expires is never.
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires"`
	// Repositories and Actions are its ceiling; no repositories: all.
	Repositories []string `json:"repositories"`
	Actions      []string `json:"actions"`
	// LastUsed and LastNetwork are its last use, to the minute; nil: none yet.
	LastUsed    *time.Time `json:"last_used,omitempty"`
	LastNetwork string     `json:"last_network,omitempty"`
	// Owner is who made it.
	Owner authn.Ref `json:"-"`
	// RotatedTo is the id of the token that takes its place; empty: none does.
	RotatedTo string `json:"rotated_to,omitempty"`
}

// Ended reports whether it has ended.
func (t *Token) Ended(now time.Time) bool { return t.Expires != nil && !now.Before(*t.Expires) }

// record is a token as the store has it.
type record struct {
	ID           string     `json:"id"`
	Hash         string     `json:"hash"`
	Name         string     `json:"name"`
	Directory    string     `json:"directory"`
	User         string     `json:"user"`
	LastingID    string     `json:"lasting_id"`
	Made         time.Time  `json:"made"`
	After        time.Time  `json:"after,omitzero"` // see tokens.Token
	Ends         *time.Time `json:"ends,omitempty"`
	Repositories []string   `json:"repositories,omitempty"`
	Actions      []string   `json:"actions"`
	RotatedTo    string     `json:"rotated_to,omitempty"`
	Told         bool       `json:"told,omitempty"` // its end is in the audit stream
}

func readRecord(text []byte) (r record, err error) {
	err = json.Unmarshal(text, &r)
	return r, err
}

func (r *record) text() []byte {
	text, _ := json.Marshal(r) // texts and times of four digits a year cannot fail
	return text
}

func (r *record) owner() authn.Ref {
	return authn.Ref{Directory: r.Directory, Username: r.User, ID: r.LastingID}
}

func (r *record) ended(now time.Time) bool { return r.Ends != nil && !now.Before(*r.Ends) }

// held is the token for a login.
func (r *record) held() (tokens.Held, error) {
	h := tokens.Held{ID: r.ID, Owner: r.owner(), Made: r.Made, After: r.After}
	if r.Ends != nil {
		h.Ends = *r.Ends
	}
	var err error
	h.Ceiling, err = authz.NewCeiling(r.Repositories, r.Actions)
	return h, err
}

// shown is the token for its owner.
func (r *record) shown(u use) Token {
	t := Token{ID: r.ID, Name: r.Name, Created: r.Made, Expires: r.Ends, Repositories: r.Repositories, Actions: r.Actions, Owner: r.owner(), RotatedTo: r.RotatedTo}
	if t.Repositories == nil {
		t.Repositories = []string{}
	}
	if !u.At.IsZero() {
		t.LastUsed, t.LastNetwork = &u.At, u.Network
	}
	return t
}

// is reports whether this is the record of the token that was shown.
func (r *record) is(shown apitoken.Token) bool {
	hash, err := apitoken.ParseHash(r.Hash)
	return err == nil && hash.Equal(shown.Hash)
}

// use is the last use of a token.
type use struct {
	At      time.Time `json:"at"`
	Network string    `json:"network,omitempty"`
}

// networkOf is a client's network as it is shown: /24 or IPv6 /64.
func networkOf(from netip.Addr) string {
	from = from.Unmap().WithZone("")
	bits := 64
	if from.Is4() {
		bits = 24
	}
	if p, err := from.Prefix(bits); err == nil {
		return p.String()
	}
	return ""
}

// sorted puts tokens in the order of their making.
func sorted(list []Token) []Token {
	slices.SortFunc(list, func(a, b Token) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return list
}
