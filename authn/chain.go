package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"
)

// ChainConfig says what a Chain is made of.
type ChainConfig struct {
	// Directories are asked in this order. Their names are unique. Those that are
	// Machines, an Issuer or Certificates are never asked of a name.
	Directories []Directory
	// Throttle limits failed logins; nil: no limit.
	Throttle *Throttle
	// Refusals is how long refusals take; nil: this chain's alone.
	Refusals *RefusalTime
	// Logger gets the reasons of refused logins (never a password); nil discards.
	Logger *slog.Logger
}

const (
	// maxLogin and maxPassword are the longest name and password, in bytes, that any
	// directory is asked about.
	maxLogin    = 256
	maxPassword = 4096
)

// Chain is all directories as one. At a login the first directory that knows
// the name decides alone, and its fault never hands the name on; a token's
// person is asked of their own directory only.
type Chain struct {
	directories []Directory // of people
	machines    []Machines
	issuers     []Issuer
	certified   Certificates // nil: there are none
	byName      map[string]Directory
	statics     []*Static
	throttle    *Throttle
	refusals    *RefusalTime
	log         *slog.Logger
}

// NewChain returns the chain.
func NewChain(cfg ChainConfig) *Chain {
	c := &Chain{byName: map[string]Directory{}, throttle: cfg.Throttle, refusals: cfg.Refusals, log: cfg.Logger}
	if c.refusals == nil {
		c.refusals = NewRefusalTime()
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	for _, d := range cfg.Directories {
		c.byName[d.Name()] = d
		switch kind := d.(type) {
		case Machines:
			c.machines = append(c.machines, kind)
			continue
		case Issuer:
			c.issuers = append(c.issuers, kind)
			continue
		case Certificates:
			c.certified = kind
			continue
		case *Static:
			c.statics = append(c.statics, kind)
		}
		c.directories = append(c.directories, d)
	}
	return c
}

// Authenticate checks a login. Besides the sentinels it returns *ThrottledError.
// The identity returned beside ErrInvalidCredentials, where one was found, is for
// the log. Every refusal takes about the same time, whatever its cause, so that
// time tells nobody which names exist.
func (c *Chain) Authenticate(ctx context.Context, a Attempt) (Identity, error) {
	began := time.Now()
	ctx, done := withWork(ctx)
	id, err := c.login(ctx, a)
	if done.asked != "" && !done.remembered && (err == nil || refused(err)) {
		c.refusals.observe(done.asked, time.Since(began))
	}
	if refused(err) && !errors.Is(err, errEmpty) { // which tells nothing of any name
		err = c.level(ctx, began, done, a, err)
	}
	if err != nil {
		c.log.LogAttrs(ctx, slog.LevelInfo, "login refused", slog.String("directory", id.Directory),
			slog.String("user", id.Username), slog.Any("reason", err))
	}
	return id, err
}

var errEmpty = fmt.Errorf("%w: empty name or password", ErrInvalidCredentials)

// login is Authenticate without the levelling of time. Its order matters: the
// throttle stands before every question to a directory that could hurt.
func (c *Chain) login(ctx context.Context, a Attempt) (Identity, error) {
	if blank(a.Login) || blank(string(a.Password)) {
		return Identity{}, errEmpty
	}
	if err := c.throttle.precheck(ctx, a); err != nil {
		return Identity{}, err
	}
	d, id, began, err := c.findFor(ctx, a)
	if err != nil && !refused(err) {
		return Identity{}, err
	}
	try, held := c.throttle.admit(ctx, a, id)
	if held != nil {
		return id, held
	}
	defer func() { try.settle(ctx, err) }()
	if err != nil {
		return Identity{}, err
	}
	workOf(ctx).ask(d.Name())
	got, err := verifyBy(ctx, d, began, id, a.Password)
	if err == nil && a.Admit != nil {
		err = a.Admit(got)
	}
	if err != nil {
		err = explainPassword(classified(err), a.Password)
		return id, err
	}
	return got, nil
}

// findFor is find, for a login whose password is worth it.
func (c *Chain) findFor(ctx context.Context, a Attempt) (Directory, Identity, time.Time, error) {
	if len(a.Password) > maxPassword {
		return nil, Identity{}, time.Time{}, fmt.Errorf("%w: a password over %d bytes", ErrInvalidCredentials, maxPassword)
	}
	return c.find(ctx, a.Login)
}

// explainPassword adds to a refusal what clients that write another encoding
// cannot see: directories compare bytes.
func explainPassword(err error, password Secret) error {
	if errors.Is(err, ErrInvalidCredentials) && !utf8.ValidString(string(password)) {
		return fmt.Errorf("%w (the password is not UTF-8)", err)
	}
	return err
}

// verifyBy checks the password within the time that the directory has for all of
// a login, which began with the search for the person.
func verifyBy(ctx context.Context, d Directory, began time.Time, id Identity, password Secret) (Identity, error) {
	if l, ok := d.(interface{ Timeout() time.Duration }); ok && l.Timeout() > 0 {
		limited, cancel := context.WithDeadlineCause(ctx, began.Add(l.Timeout()), fmt.Errorf("no answer within %s", l.Timeout()))
		defer cancel()
		ctx = limited
	}
	return d.Verify(ctx, id, password)
}

// find asks the directories in order, and returns when it began with the one that
// decides. An error is ErrUnknownUser from all of them, with the reason of each, or
// the fault of the first that could not answer. It never holds the name: people
// type passwords there.
func (c *Chain) find(ctx context.Context, login string) (d Directory, id Identity, began time.Time, err error) {
	switch {
	case len(login) > maxLogin:
		return nil, Identity{}, began, tooLong()
	case !utf8.ValidString(login):
		return nil, Identity{}, began, fmt.Errorf("%w: a name that is not UTF-8", ErrUnknownUser)
	}
	var reasons []string
	for _, d := range c.directories {
		began := time.Now()
		id, err := d.Find(ctx, login)
		if errors.Is(err, ErrUnknownUser) && !errors.Is(err, ErrHeld) {
			reasons = append(reasons, d.Name()+": "+strings.TrimPrefix(err.Error(), ErrUnknownUser.Error()+": "))
			continue
		}
		return d, id, began, classified(err)
	}
	return nil, Identity{}, began, fmt.Errorf("%w in any directory (%s)", ErrUnknownUser, strings.Join(reasons, "; "))
}

func tooLong() error { return fmt.Errorf("%w: a name over %d bytes", ErrUnknownUser, maxLogin) }

// level makes a refusal cost the same work and time as any other: one comparison
// of each cost that static users have, and the time that logins take. The refusal
// it returns is ErrInvalidCredentials whatever it was.
func (c *Chain) level(ctx context.Context, began time.Time, done *work, a Attempt, refusal error) error {
	for _, s := range c.statics {
		if err := s.compareOthers(ctx, done, a); err != nil {
			return err
		}
	}
	c.refusals.wait(ctx, c.byName, began)
	if errors.Is(refusal, ErrInvalidCredentials) {
		return refusal
	}
	return fmt.Errorf("%w: %w", ErrInvalidCredentials, refusal)
}

// blank reports whether nothing but NULs is there: some servers stop reading at the
// first, and an empty password would be an anonymous bind (RFC 4513, 5.1.2).
func blank(s string) bool { return strings.Trim(s, "\x00") == "" }

// Lookup asks the directory that ref names for the person of a token.
// ErrUnknownUser also where no such directory exists (any more).
func (c *Chain) Lookup(ctx context.Context, ref Ref) (Identity, error) {
	d, ok := c.byName[ref.Directory]
	if !ok {
		return Identity{}, fmt.Errorf("%w: no directory %q", ErrUnknownUser, ref.Directory)
	}
	id, err := d.Lookup(ctx, ref)
	if err != nil {
		return Identity{}, classified(err)
	}
	if id.ID != ref.ID || id.Directory != ref.Directory {
		return Identity{}, fmt.Errorf("%w: %s is another person now", ErrUnknownUser, ref.Username)
	}
	return id, nil
}

// Asked is when their directory was asked for what is known of a person; zero: it is asked
// each time.
func (c *Chain) Asked(id Identity) time.Time {
	if d, ok := c.byName[id.Directory].(interface{ Asked(Identity) time.Time }); ok {
		return d.Asked(id)
	}
	return time.Time{}
}

// Find resolves a login without a password, for explain and check: the first
// directory that knows the name, or the error of the first at fault.
func (c *Chain) Find(ctx context.Context, login string) (Identity, error) {
	_, id, _, err := c.find(ctx, login)
	return id, err
}
