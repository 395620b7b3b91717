package authn

import "context"

// StaticUser is one person of the config.
type StaticUser struct {
	Username string
	// PasswordHash is bcrypt ($2a$, $2b$, $2y$) or argon2id in its usual text form.
	PasswordHash Secret
	// Password is the plain password, from password_file; either this or PasswordHash.
	Password Secret
	Groups   []string
}

// StaticConfig is one `static` directory.
type StaticConfig struct {
	Name  string
	Users []StaticUser
}

// Static is a Directory of the people that the config names.
type Static struct{}

// NewStatic checks the config. Its error joins *KeyError values whose keys are
// relative to the directory (`static[0].password_hash`), warnings among them;
// where all of them are warnings the *Static is returned as well.
func NewStatic(cfg StaticConfig) (*Static, error) { panic("being built") }

// HashPassword returns a hash for `password_hash`; over 72 bytes it is argon2id,
// because bcrypt ignores what follows.
func HashPassword(password Secret) (string, error) { panic("being built") }

func (s *Static) Name() string { panic("being built") }
func (s *Static) Find(ctx context.Context, login string) (Identity, error) {
	panic("being built")
}
func (s *Static) Verify(ctx context.Context, id Identity, password Secret) (Identity, error) {
	panic("being built")
}
func (s *Static) Lookup(ctx context.Context, ref Ref) (Identity, error) { panic("being built") }
