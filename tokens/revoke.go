package tokens

import (
	"fmt"
	"slices"
	"time"

	"gatehouse/authn"
)

// ErrRevoked: good, but on the list of what is revoked. It wraps ErrInvalidToken.
var ErrRevoked = fmt.Errorf("%w: revoked", ErrInvalidToken)

// revocations are compiled for a look at every request: nearly always there are
// none, and then it costs nothing.
type revocations struct {
	ids    map[string]bool
	people map[string][]revokedPerson // by name
	before time.Time                  // of everybody
}

// revokedPerson are the tokens of one name.
type revokedPerson struct {
	directory string    // empty: any
	before    time.Time // zero: all
	told      bool      // what was issued since says that it was, see Token.After
}

// compileRevocations checks the list. Its errors are *authn.KeyError values with
// keys relative to `tokens` (`revoked[2]`).
func compileRevocations(list []Revocation) (r revocations, faults []error) {
	r = revocations{ids: map[string]bool{}, people: map[string][]revokedPerson{}}
	for i, v := range list {
		directory, name := v.Person()
		switch {
		case v.shape() != nil, v.User != "" && name == "":
			faults = append(faults, &authn.KeyError{Key: fmt.Sprintf("revoked[%d]", i), Err: errShape})
		case v.ID != "":
			r.ids[v.ID] = true
		case name != "":
			r.people[name] = append(r.people[name], revokedPerson{directory: directory, before: v.Before})
		case v.Before.After(r.before):
			r.before = v.Before
		}
	}
	return r, faults
}

// revoked reports whether a token is on the list.
func (r *revocations) revoked(t *Token) bool {
	return r.ids[t.ID] || r.ids[t.Credential.ID] || r.ids[t.Via] || t.given().Before(r.before) || r.ends(t.Subject.Directory, t.Subject.Username, t.given(), t.After)
}

// ends reports whether the list ends what the person was given at that moment, after being
// as Token.After. The anonymous caller, who is of no directory, has no name.
func (r *revocations) ends(directory, name string, issued, after time.Time) bool {
	return directory != "" && slices.ContainsFunc(r.people[name], func(p revokedPerson) bool {
		return p.of(directory) && (p.before.IsZero() || issued.Before(p.before) && !(p.told && !after.Before(p.before)))
	})
}

func (p *revokedPerson) of(directory string) bool {
	return p.directory == "" || directory == "" || p.directory == directory
}

// last is the latest Revoked.Before of the person; no directory: of all who have the name.
func (r *revocations) last(directory, name string) (at time.Time) {
	for _, p := range r.people[name] {
		if p.told && p.of(directory) {
			at = later(at, p.before)
		}
	}
	return at
}

// since notes what of the caller's had been ended when the login began: what ends while it
// goes on takes what comes of it.
func (l *Login) since(seen *revocations) {
	l.After = seen.last(l.Identity.Directory, l.Identity.Username)
}
