package tokens

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/authn"
)

// ErrRevoked: good, but on the list of what is revoked. It wraps ErrInvalidToken.
var ErrRevoked = fmt.Errorf("%w: revoked", ErrInvalidToken)

// Revocation ends tokens before their time, access and refresh tokens alike: one
// token, or all of a person, or those issued before a moment. Where several of
// its conditions are set, a token must meet all of them.
type Revocation struct {
	ID        string    // the jti of one token; it stands alone
	Directory string    // with Username: the person's; empty: any directory
	Username  string    // the person's canonical name
	Before    time.Time // issued before this; zero: whenever
}

// revocations are compiled for a look at every request: nearly always there are
// none, and then it costs nothing.
type revocations struct {
	ids    map[string]bool
	people map[string][]Revocation // by name in lower case
	before time.Time               // of everybody
}

// compileRevocations checks the list. Its errors are *authn.KeyError values with
// keys relative to `tokens` (`revoked[2]`).
func compileRevocations(list []Revocation) (r revocations, faults []error) {
	r = revocations{ids: map[string]bool{}, people: map[string][]Revocation{}}
	for i, v := range list {
		v.Username, v.Directory = strings.ToLower(v.Username), strings.ToLower(v.Directory)
		switch {
		case v.ID != "" && (v.Username != "" || !v.Before.IsZero()), v.ID == "" && v.Username == "" && v.Before.IsZero(), v.Username == "" && v.Directory != "":
			faults = append(faults, &authn.KeyError{Key: fmt.Sprintf("revoked[%d]", i),
				Err: errors.New("needs token alone, or user, or issued_before, or user and issued_before")})
		case v.ID != "":
			r.ids[v.ID] = true
		case v.Username != "":
			r.people[v.Username] = append(r.people[v.Username], v)
		case v.Before.After(r.before):
			r.before = v.Before
		}
	}
	return r, faults
}

// revoked says whether a token is on the list.
func (r *revocations) revoked(t *Token) bool {
	if r.ids[t.ID] || t.IssuedAt.Before(r.before) {
		return true
	}
	if t.Subject.Directory == "" {
		return false
	}
	for _, v := range r.people[t.Subject.Username] {
		if (v.Directory == "" || v.Directory == t.Subject.Directory) && (v.Before.IsZero() || t.IssuedAt.Before(v.Before)) {
			return true
		}
	}
	return false
}
