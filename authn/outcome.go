package authn

import (
	"errors"
	"fmt"
)

// The outcomes of a login or a lookup besides an Identity: what every kind of
// directory must be able to say. They arrive wrapped with the cause, which is for
// logs only: what a client is told is decided in package proxy.
var (
	// ErrInvalidCredentials: the directory refused this password, or refuses
	// this person a login (disabled, locked, expired, must change it first).
	ErrInvalidCredentials = errors.New("invalid credentials")
	// ErrNotPassword marks an ErrInvalidCredentials that is not, or not surely, the
	// password's fault (a locked account, a password that must be changed): the same
	// password may be good a moment later, so the refusal is not remembered.
	ErrNotPassword = errors.New("refused for another reason than the password")

	// ErrUnknownUser: the directory answered, and there is no such person, they
	// are disabled, or they are another person than the one of the Ref.
	ErrUnknownUser = errors.New("unknown user")
	// ErrHeld is the ErrUnknownUser of a name that the directory does know, and lets
	// nobody in by (a disabled account, several entries): no later directory is asked.
	ErrHeld = fmt.Errorf("%w, for a login", ErrUnknownUser)
	// ErrAbsent is the ErrUnknownUser of somebody that the directory does not show.
	// It looks the same whether the person was deleted, or a right, an index or a
	// filter broke: servers call both success. A Cache asks for the canary then.
	ErrAbsent = fmt.Errorf("%w: no entry matches users.filter", ErrUnknownUser)

	// ErrNameless is the ErrHeld of an entry that shows no canonical name: it has none,
	// or a right of ours is missing. A Cache asks for the canary then too.
	ErrNameless = fmt.Errorf("%w: the entry shows no name", ErrHeld)

	// ErrBadToken: the token that was shown in the place of a password is not good, or
	// not any more. What wraps it says why, for the log alone.
	ErrBadToken = errors.New("the token is refused")
	// ErrMalformedToken: nothing was looked up.
	ErrMalformedToken = fmt.Errorf("%w: malformed", ErrBadToken)
	// ErrUnknownToken: it is nobody's, or was taken out of the config.
	ErrUnknownToken = fmt.Errorf("%w: unknown", ErrBadToken)
	// ErrExpiredToken: it is somebody's, and has ended.
	ErrExpiredToken = fmt.Errorf("%w: expired", ErrBadToken)
	// ErrRevokedToken: it is on the list of what is revoked.
	ErrRevokedToken = fmt.Errorf("%w: revoked", ErrBadToken)
	// ErrOwnerlessToken: whoever it was issued to is gone, or is no longer the same.
	ErrOwnerlessToken = fmt.Errorf("%w: of nobody any more", ErrBadToken)
	// ErrMismatchedToken: it is good, and not for us, or not for where it is shown.
	ErrMismatchedToken = fmt.Errorf("%w: mismatch", ErrBadToken)

	// ErrUnavailable: the directory is at fault. Nothing is known of the person.
	ErrUnavailable = errors.New("directory unavailable")
	// ErrUnusable is the ErrUnavailable of one person: the directory answers, but
	// what it shows of them cannot be used (too many groups, an account state that
	// is not readable). No stale answer stands in for it, since people may be able
	// to bring it about themselves, to keep the rights that they had.
	ErrUnusable = fmt.Errorf("%w: the person's entry cannot be used", ErrUnavailable)
)

// refused reports whether a directory answered, and the answer is no.
func refused(err error) bool {
	return errors.Is(err, ErrInvalidCredentials) || errors.Is(err, ErrUnknownUser)
}

// classified makes an error that no sentinel describes a fault: what is not
// known is never taken for an answer.
func classified(err error) error {
	throttled := new(ThrottledError)
	if err == nil || refused(err) || errors.Is(err, ErrUnavailable) || errors.As(err, &throttled) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
