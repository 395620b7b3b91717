package authn

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"gatehouse/metrics"
)

// StaticUser is one person of the config.
type StaticUser struct {
	// Username is folded to lower case; it is 1 to 128 bytes of UTF-8 without
	// spaces, control characters, '/' and ':'. Required.
	Username string `yaml:"username,needed"`
	// PasswordHash is bcrypt ($2a$, $2b$, $2y$) or argon2id in its usual text form.
	PasswordHash Secret `yaml:"password_hash" either:"password_file"`
	// PasswordFile holds the plain password. Required: either this or PasswordHash.
	PasswordFile SecretFile `yaml:"password_file"`
	// Groups are the names of the person's groups, in any letter case.
	Groups []string `yaml:"groups"`
}

// StaticConfig is one `static` directory.
type StaticConfig struct {
	// Name is the directory's name in the config.
	Name string
	// Users are the people, each name once.
	Users []StaticUser
	// Hasher compares passwords, shared by all directories; nil: one of its own.
	Hasher *Hasher

	// Metrics counts; nil: nothing does.
	Metrics *metrics.Metrics
}

// Static is a Directory of the people that the config names. It is never at
// fault, but it refuses logins with *ThrottledError where too many wait for
// their password to be compared.
type Static struct {
	name   string
	users  map[string]staticUser
	costs  []cost // each once
	hasher *Hasher

	metrics *metrics.Metrics
}

type staticUser struct {
	id   Identity
	hash passwordHash
}

// NewStatic checks the config. Its error joins *KeyError values whose keys are
// relative to the directory (`static[0].password_hash`), warnings among them;
// where all of them are warnings the *Static is returned as well.
func NewStatic(cfg StaticConfig) (*Static, error) {
	s := &Static{name: cfg.Name, users: map[string]staticUser{}, hasher: cfg.Hasher, metrics: cfg.Metrics}
	if s.hasher == nil {
		s.hasher = NewHasher(passwordsWaiting)
	}
	var faults Faults
	if cfg.Name == "" {
		faults.Add("name", errors.New("a directory needs a name"))
	}
	for i, u := range cfg.Users {
		key := fmt.Sprintf("static[%d]", i)
		name := NormalizeName(u.Username)
		faults.Add(key+".username", s.checkName(u.Username))
		groups := staticGroups(&faults, key, u.Groups)
		hash, stamp := staticHash(&faults, key, cfg.Name, name, u)
		id := Identity{Directory: cfg.Name, Username: name, ID: "static:" + name, Groups: groups, PasswordStamp: stamp}
		s.users[name] = staticUser{id: id, hash: hash}
		if !slices.Contains(s.costs, hash.cost) {
			s.costs = append(s.costs, hash.cost)
		}
	}
	if faults.Fatal() {
		return nil, faults.Err()
	}
	return s, faults.Err()
}

func (s *Static) checkName(typed string) error {
	name := NormalizeName(typed) // which hides what no name may have
	bad := func(r rune) bool { return unicode.IsSpace(r) || ignored(r) || r == '/' || r == ':' }
	_, taken := s.users[name]
	switch {
	case name == "":
		return errors.New("required")
	case len(name) > 128:
		return errors.New("longer than 128 bytes")
	case !utf8.ValidString(typed) || strings.ContainsFunc(typed, bad):
		return fmt.Errorf("%q holds a space, a control character, '/' or ':', or is no UTF-8", typed)
	case taken:
		return fmt.Errorf("%q stands twice in this directory (upper and lower case are the same)", name)
	}
	return nil
}

func staticGroups(faults *Faults, key string, names []string) []Group {
	var groups []Group
	for i, name := range names {
		if NormalizeName(name) == "" {
			faults.Add(fmt.Sprintf("%s.groups[%d]", key, i), errors.New("an empty group name"))
		}
		groups = append(groups, Group{Name: NormalizeName(name)})
	}
	slices.SortFunc(groups, func(a, b Group) int { return cmp.Compare(a.Name, b.Name) })
	return slices.Compact(groups)
}

// staticHash returns the user's hash and a stamp of it. A plain password becomes
// argon2id with a salt that stays the same over restarts, so that the stamp does
// too, and so that guessing the password from the stamp is as slow as from a hash.
func staticHash(faults *Faults, key, directory, name string, u StaticUser) (passwordHash, string) {
	text := string(u.PasswordHash)
	switch {
	case u.PasswordFile.Secret != "" && u.PasswordHash != "":
		faults.Add(key+".password_hash", errors.New("either password_hash or password_file, not both"))
		return passwordHash{}, ""
	case u.PasswordFile.Secret != "":
		salt := sha256.Sum256([]byte(join("gatehouse static salt", directory, name)))
		text = hashArgon(u.PasswordFile.Secret, salt[:16])
	case u.PasswordHash == "" && u.PasswordFile.Name != "":
		faults.Add(key+".password_file", errors.New("holds no password"))
		return passwordHash{}, ""
	case u.PasswordHash == "":
		faults.Add(key+".password_hash", errors.New("required: password_hash, or a password_file that is not empty"))
		return passwordHash{}, ""
	}
	hash, weak, err := parseHash(text)
	faults.Add(key+".password_hash", err)
	faults.Warn(key+".password_hash", weak)
	sum := sha256.Sum256([]byte(join("gatehouse static stamp", text)))
	return hash, hex.EncodeToString(sum[:16])
}

// Name is the directory's name in the config.
func (s *Static) Name() string { return s.name }

// Find resolves a name, upper and lower case alike.
func (s *Static) Find(_ context.Context, login string) (_ Identity, err error) {
	defer s.count("lookup", time.Now(), &err)
	u, ok := s.users[norm.NFKC.String(strings.ToLower(login))]
	if !ok {
		return Identity{}, ErrUnknownUser
	}
	return u.id, nil
}

// Verify compares the password with the configured hash.
func (s *Static) Verify(ctx context.Context, id Identity, password Secret) (_ Identity, err error) {
	defer s.count("login", time.Now(), &err)
	u, ok := s.users[id.Username]
	if !ok || u.id.ID != id.ID || password == "" {
		return Identity{}, ErrInvalidCredentials
	}
	if !u.hash.accepts(password) {
		return Identity{}, fmt.Errorf("%w: %w: a password over %d bytes, at which its bcrypt hash ends; make an argon2id one with: gatehouse hash-password",
			ErrInvalidCredentials, ErrNotPassword, bcryptMax)
	}
	same, err := s.hasher.compare(ctx, join(s.name, id.Username), u.hash, password)
	if err != nil {
		return Identity{}, err
	}
	if !same {
		return Identity{}, fmt.Errorf("%w: wrong password", ErrInvalidCredentials)
	}
	return u.id, nil
}

// count records the end of a question at a login. One that was not answered, for
// want of a free core or because the client has gone, is none.
func (s *Static) count(operation string, start time.Time, err *error) {
	result := "ok"
	switch {
	case errors.Is(*err, ErrUnknownUser):
		result = "unknown"
	case errors.Is(*err, ErrInvalidCredentials):
		result = "refused"
	case *err != nil:
		return
	}
	s.metrics.DirectoryRequest(s.name, operation, result, time.Since(start))
}

// Lookup asks whether the person of a token is still in the config. It is not
// counted: each request asks, as one asks a cache.
func (s *Static) Lookup(_ context.Context, ref Ref) (Identity, error) {
	u, ok := s.users[ref.Username]
	if !ok || u.id.ID != ref.ID {
		return Identity{}, fmt.Errorf("%w in directory %s", ErrUnknownUser, s.name)
	}
	return u.id, nil
}

// compareOthers makes one comparison of each of the directory's costs that done lacks,
// so that every refusal has cost the same work. Like that of somebody who exists
// it is shared by logins side by side with the same name and password.
func (s *Static) compareOthers(ctx context.Context, done *work, a Attempt) error {
	for _, c := range s.costs {
		if done.comparisons[c] > 0 {
			continue
		}
		key := join("nobody", strings.ToLower(a.Login), string(a.Password))
		if _, err := s.hasher.compare(ctx, key, c.dummy(), "a password"); err != nil {
			return err
		}
	}
	return nil
}
