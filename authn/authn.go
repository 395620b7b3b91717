// Package authn says who somebody is: it checks passwords at a login, and on
// every later request it says again whether that person is still there, enabled,
// and in which groups.
//
// A Directory is one source of people. Static holds those of the config; the
// packages below this one ask servers, and a Cache stands in front of such a source
// and remembers what it said. A Chain asks several directories in order and adds
// what all logins share: the throttle, and a refusal that takes the same time
// whatever its cause.
//
//	login, password ──> Chain ──> Throttle
//	                      ├─────> Static
//	                      └─────> Cache ──> ldap.Directory ──> servers
//
// Three outcomes are kept apart everywhere, because mixing them up locks a
// company out or lets a stranger in: the person is known (an Identity), the
// directory answered that there is no such person (ErrUnknownUser), or it could
// not answer (ErrUnavailable). A fault is never "unknown".
package authn

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"
)

// ThrottledError says that a request was refused because somebody has had enough.
type ThrottledError struct {
	// RetryAfter is how long further ones will be refused, at least a second.
	RetryAfter time.Duration
	// Limit is the config's key of the limit that was reached, such as failures.
	Limit string
}

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("%s (%s), retry after %s", e.Message(), e.Limit, e.RetryAfter)
}

// Message is what the caller may be told.
func (e *ThrottledError) Message() string {
	switch e.Limit {
	case "failures", "users_per_source", "tokens_per_source":
		return "too many failed logins"
	}
	return "too many requests at once"
}

// Secret is a password or another text that must never be seen: every way of
// printing, logging or marshalling it gives stars. string(s) is the text.
type Secret string

const stars = "***"

func (Secret) Format(f fmt.State, _ rune)   { io.WriteString(f, stars) } // %d too, which shows a String's text
func (Secret) String() string               { return stars }
func (Secret) LogValue() slog.Value         { return slog.StringValue(stars) }
func (Secret) MarshalText() ([]byte, error) { return []byte(stars), nil }

// Group is one group of a person. DN is empty for a group that the config gives
// to a static user, else the normalised distinguished name (RFC 4514, types and
// values in lower case). Name is lower case: the config's, or the group's
// name attribute, or the value of the DN's first RDN.
type Group struct {
	// Name is what rules call the group, in lower case.
	Name string
	// DN is where an LDAP directory keeps it; empty for a group of the config.
	DN string
}

// Identity is one person, or one machine, as a directory shows them at one moment. The
// zero Identity is the anonymous caller. It is immutable: caches share it.
type Identity struct {
	// Directory is the name of the directory that knows the person; empty: anonymous.
	Directory string
	// Username is the canonical name, in lower case: what the directory calls
	// the person, however it was spelled at the login.
	Username string
	// ID is the lasting id: it differs for a person re-created under the same name.
	ID string
	// DN is where an LDAP directory keeps the person; empty for static users.
	DN string
	// Groups are the groups, each once, sorted by name. A list never changes: whoever
	// wants others makes a new one.
	Groups []Group
	// PasswordStamp changes whenever the person's password does; empty where the
	// directory shows nothing of the kind. It is no secret.
	PasswordStamp string
	// NoLogin says why the person may not log in now although their running
	// tokens go on (a temporary lock after wrong passwords); empty: they may.
	NoLogin string
	// Note is what an operator should know of the entry; it decides nothing.
	Note string
	// ValidUntil is when the account ends by itself, of a machine the token that it
	// showed; zero: it does not.
	ValidUntil time.Time
	// Machine: it is a machine, whose name may have slashes, and no person.
	Machine bool
	// Ceiling is what the token that they showed lets them do at most; nil: whatever the
	// rules say.
	Ceiling Ceiling
	// Proof is what somebody else has proved of a machine; nil for all others.
	Proof *Proof
}

// Proof is what an ID token or a client's certificate says, as far as it is needed later.
// It is immutable.
type Proof struct {
	// ID is the credential's own: the jti of an ID token, the serial number of a
	// certificate; empty: it has none. It is no secret.
	ID string
	// Subject is who it was issued to, as its issuer calls them.
	Subject string
	// Recorded are the claims that log and audit show.
	Recorded []Claim
	// Carried is what a later Lookup needs, as JSON: tokens carry it.
	Carried string
	// Session is when refresh tokens that are issued for it end; zero: none are.
	Session time.Time
}

// Claim is one claim, for log and audit.
type Claim struct {
	// Name is the claim's.
	Name string
	// Value is its text, 256 bytes at most.
	Value string
}

// Ceiling is an authz.Ceiling: only that package knows what it means, and refuses all
// where it is another thing.
type Ceiling interface{ Below() }

// Anonymous reports whether this is the caller who gave no credentials.
func (id Identity) Anonymous() bool { return id.Directory == "" }

// Ref names the person of a token, for Lookup.
type Ref struct {
	// Directory is the name of the directory that knows the person.
	Directory string
	// Username is the canonical name, as in Identity.
	Username string
	// ID is the lasting id, as in Identity: another one is another person.
	ID string
	// Strict refuses a stale answer: at the realm a directory at fault is
	// ErrUnavailable even where a cache remembers the person.
	Strict bool
	// Stamp is the PasswordStamp of the token: a machine has one for each token of its
	// own. Empty: no token is behind the question.
	Stamp string
	// Source is the client's address where Strict is set.
	Source netip.Addr
	// Proof is the Carried of a Proof, which the token has; empty: none.
	Proof string
}

// Ref names the person, or the machine as it has shown itself, for later.
func (id Identity) Ref() Ref {
	r := Ref{Directory: id.Directory, Username: id.Username, ID: id.ID, Stamp: id.PasswordStamp}
	if id.Proof != nil {
		r.Proof = id.Proof.Carried
	}
	return r
}

// Directory is one source of people. Implementations are safe for concurrent
// use; every method returns within the directory's time limit and at once when
// it is known to be at fault. Errors wrap one of the sentinels above.
type Directory interface {
	// Name is the directory's name in the config.
	Name() string
	// Find resolves what somebody typed as their name, at a login. It never
	// answers with stale data. ErrUnknownUser: not one of this directory's, or
	// disabled. A login that this directory refuses without asking is unknown too.
	Find(ctx context.Context, login string) (Identity, error)
	// Verify checks the password of a person that Find has just returned, and
	// returns the identity to use from now on: it is another than id only where
	// the directory had to be asked again. ErrInvalidCredentials: refused.
	Verify(ctx context.Context, id Identity, password Secret) (Identity, error)
	// Lookup asks whether the person of a token is still there, and for their
	// groups as they are now. ErrUnknownUser: gone, disabled or re-created.
	Lookup(ctx context.Context, ref Ref) (Identity, error)
}

// Machines is a Directory of callers who show a token of their own and no name. Nobody
// is found in it by a name that was typed at a login, so it takes no name from the
// directories of people.
type Machines interface {
	Directory
	// Owner returns the machine that the token with this SHA-256 is of, for a login
	// from source. The error wraps ErrBadToken.
	Owner(hash [sha256.Size]byte, source netip.Addr) (Identity, error)
}

// Issuer is a Directory of machines that show what an issuer has signed for them. Nobody
// is found in it by a name.
type Issuer interface {
	Directory
	// Issuer is who signs, exactly as the tokens' iss has it.
	Issuer() string
	// Audiences are who a token may be for, the first of them who it should be for.
	Audiences() []string
	// Prove returns the machine that a token is of. The error wraps ErrBadToken or
	// ErrUnavailable; what the log may show of the token is returned beside it.
	Prove(ctx context.Context, token Secret) (Identity, error)
}

// Certificates is a Directory of machines that show a certificate when they connect.
// Nobody is found in it by a name.
type Certificates interface {
	Directory
	// Certify returns the machine that a certificate is of, which comes first and then
	// those that signed it, as the client sent them. The error wraps ErrBadToken or
	// ErrUnavailable; what the log may show of it is returned beside it.
	Certify(sent []*x509.Certificate) (Identity, error)
}

// Source is what a Cache stands before: a Directory that answers from afar.
type Source interface {
	Directory
	// Timeout bounds one question in all, whatever its steps; 0: nothing does.
	Timeout() time.Duration
	// Canary asks for what must be there whoever else is not. An error: it is not
	// shown, or nothing could be asked.
	Canary(context.Context) error
	// Available reports whether the source is not known to be at fault, without asking it.
	Available() bool
	// Close lets go of idle connections and stops background work.
	Close()
}

// Attempt is one login.
type Attempt struct {
	// Login is the name as it was typed.
	Login string
	// Password is as it was typed.
	Password Secret
	// Source is the client's address, for the throttle; zero: not known.
	Source netip.Addr
	// Via is the proxy that did not say Source, where that is not known.
	Via netip.Addr
	// Admit may refuse a person whose password is right, with an error that wraps
	// ErrInvalidCredentials; nil: everybody is let in. It counts, and takes the time, as
	// a wrong password does.
	Admit func(Identity) error `json:"-"`
}
