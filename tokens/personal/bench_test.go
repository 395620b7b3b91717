package personal

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/tokens"
	"gatehouse/tokens/store"
)

// crowd is how many tokens the store of the benchmarks has.
const crowd = 100_000

// hall is a realm whose store has a crowd of tokens, of one static person each 25.
type hall struct {
	path    string
	desk    *Desk
	keyring *tokens.Keyring
	chain   *authn.Chain
	granter *tokens.Granter
	secrets []authn.Secret // some of them
}

var oneHall = sync.OnceValues(newHall)

const benchPassword = "$2a$10$CsfRn8HsrSeuHDzILxlPreTjHTRSe0ykNjT8Pq2ofCRVTwC/VPfzC" // whatever it is of

func newHall() (*hall, error) {
	key, err := tokens.GenerateKey()
	if err != nil {
		return nil, err
	}
	h := &hall{path: filepath.Join(benchDir, "store.db")}
	file, err := store.OpenFile(h.path)
	if err != nil {
		return nil, err
	}
	kept := store.Watched(file, store.Config{}, nil, nil)
	revoker := tokens.NewRevoker(nil, nil)
	h.desk = &Desk{Book: NewBook(revoker, nil), Keep: time.Hour}
	h.desk.Defaults()
	h.desk.Book.Use(kept)
	var users []authn.StaticUser
	for i := range crowd / 25 {
		users = append(users, authn.StaticUser{Username: fmt.Sprintf("user%d", i), PasswordHash: benchPassword})
	}
	static, err := authn.NewStatic(authn.StaticConfig{Name: "local", Users: users, Hasher: authn.NewHasher(1)})
	if static == nil {
		return nil, err
	}
	h.chain = authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{static}})
	h.desk.Makers, _ = authz.NewAudience([]string{"people"}, []string{"local"}, nil)
	if h.keyring, err = tokens.NewKeyring(tokens.Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: 15 * time.Minute, KeyFiles: []authn.SecretFile{key}, Personal: h.desk, Revoker: revoker}); err != nil {
		return nil, err
	}
	policy, err := authz.New(authz.Config{Directories: []string{"local"}, Rules: []authz.Rule{{Allow: []string{"pull"}, Repositories: []string{"**"}, To: []string{"authenticated"}}}})
	if policy == nil {
		return nil, err
	}
	h.granter = tokens.NewGranter(tokens.GranterConfig{Keyring: h.keyring, Chain: h.chain, Policy: policy})
	return h, h.fill(kept, users)
}

// fill makes the tokens, many in one change.
func (h *hall) fill(kept *store.Store, users []authn.StaticUser) error {
	var writes []store.Write
	for i, u := range users {
		for n := range 25 {
			r, secret, err := h.desk.record(authn.Identity{Directory: "local", Username: u.Username, ID: "static:" + u.Username}, Order{Name: fmt.Sprint(n), Repositories: []string{"team/**"}})
			if err != nil {
				return err
			}
			if n == 0 {
				h.secrets = append(h.secrets, secret)
			}
			writes = append(writes, written(r)...)
		}
		if len(writes) > 20_000 || i == len(users)-1 {
			if err := kept.Put(context.Background(), writes...); err != nil {
				return err
			}
			writes = nil
		}
	}
	return nil
}

func benchHall(b *testing.B) *hall {
	b.Helper()
	h, err := oneHall()
	if err != nil {
		b.Fatal(err)
	}
	return h
}

// BenchmarkRealm is a token from the realm for a personal token, of 100,000 in a file.
func BenchmarkRealm(b *testing.B) {
	h := benchHall(b)
	for i := 0; b.Loop(); i++ {
		a := authn.Attempt{Password: h.secrets[i%len(h.secrets)]}
		if _, err := h.granter.Grant(b.Context(), tokens.GrantRequest{Attempt: &a, Scopes: []string{"repository:team/app:pull"}}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLogin is what a personal token costs without what is signed for it.
func BenchmarkLogin(b *testing.B) {
	h := benchHall(b)
	for i := 0; b.Loop(); i++ {
		if _, err := h.keyring.Login(b.Context(), h.chain, authn.Attempt{Password: h.secrets[i%len(h.secrets)]}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSweep is a look through 100,000 tokens, as at the start and each minute.
func BenchmarkSweep(b *testing.B) {
	h := benchHall(b)
	for b.Loop() {
		if ended, err := h.desk.Book.Sweep(b.Context(), 0); err != nil || len(ended) > 0 {
			b.Fatal(len(ended), err)
		}
	}
}

// BenchmarkOpen is the start with 100,000 tokens in a file: all of it is verified.
func BenchmarkOpen(b *testing.B) {
	h := benchHall(b)
	copied := filepath.Join(b.TempDir(), "copy.db")
	in, err := h.desk.Book.in()
	if err != nil {
		b.Fatal(err)
	}
	whole, err := in.Backend.(*store.File).Copy()
	if err != nil {
		b.Fatal(err)
	}
	defer whole.Close()
	if err := store.Backup(copied, func(w io.Writer) error { _, err := io.Copy(w, whole); return err }); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		f, err := store.OpenFile(copied)
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}
