package tokens

import (
	"errors"
	"time"
)

// MaxSession is the longest session of a browser, from the login.
const MaxSession = 24 * time.Hour

// Renew signs a session that was verified once more, with another end: it keeps its id
// and the moment of its login.
func (k *Keyring) Renew(t Token, ends time.Time) (string, Token, error) {
	t.Expires = later(ends.Truncate(time.Second), t.IssuedAt.Add(time.Second))
	if last := t.IssuedAt.Add(MaxSession); t.Expires.After(last) {
		t.Expires = last
	}
	return k.write(t)
}

// Survived is the moment up to which ends of all that the person had spare the token: After of
// what is made with it, which ends with whatever ends it.
func (t *Token) Survived() time.Time { return later(t.After, t.IssuedAt) }

// given is when the person was given the token: one that comes of a refresh token of theirs ends
// with that, also where a gateway that had not heard of the end issued it later.
func (t *Token) given() time.Time {
	if t.Credential.Kind == FromRefresh && !t.After.IsZero() {
		return t.After
	}
	return t.IssuedAt
}

// checkSession wants a person who showed a password, and no scope.
func checkSession(c *claims) error {
	if c.Directory == "" || c.Credential != "" || len(c.Scope) > 0 || c.Expires-c.IssuedAt > int64(MaxSession/time.Second) {
		return errors.New("a session that none of ours can be")
	}
	return nil
}
