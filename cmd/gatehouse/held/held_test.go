package held

import (
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/cmd/gatehouse/assembly"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/tokens"
	"gatehouse/tokens/personal"
	"gatehouse/tokens/store"
)

// bureau is an office with a store of its own.
type bureau struct {
	*Office
	desk *personal.Desk
	told []string // names of tokens
}

func newBureau(t *testing.T) *bureau {
	t.Helper()
	file, err := store.OpenFile(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	kept := store.Watched(file, store.Config{}, nil, nil)
	revoker := tokens.NewRevoker(nil, nil)
	if err := revoker.Use(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	b := &bureau{desk: &personal.Desk{Book: personal.NewBook(revoker, nil), Keep: time.Hour}}
	b.desk.Defaults()
	b.desk.Book.Use(kept)
	b.desk.Makers, _ = authz.NewAudience([]string{"people"}, []string{"corp"}, nil)
	key, err := tokens.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := tokens.NewKeyring(tokens.Config{Issuer: "g", Service: "g", Lifetime: time.Minute, KeyFiles: []authn.SecretFile{key}, Revoker: revoker, Personal: b.desk})
	if err != nil {
		t.Fatal(err)
	}
	sn := &assembly.Snapshot{Desk: b.desk, Keyring: keyring, Chain: authn.NewChain(authn.ChainConfig{}), Config: &config.Config{}}
	b.Office = &Office{Use: func(do func(*assembly.Snapshot) error) error { return do(sn) }, Told: func(t personal.Token) { b.told = append(b.told, t.Name) }}
	return b
}

func (b *bureau) make(t *testing.T, user, name string, lifetime time.Duration) (authn.Secret, personal.Token) {
	t.Helper()
	secret, made, err := b.desk.Make(t.Context(), authn.Identity{Directory: "corp", Username: user, ID: "u-" + user}, personal.Order{Name: name, Lifetime: &lifetime})
	if err != nil {
		t.Fatal(err)
	}
	return secret, made
}

func (b *bureau) names(t *testing.T, query string) string {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	list, err := b.list(t.Context(), values)
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, one := range list.([]Listed) {
		names = append(names, one.User+":"+one.Name)
	}
	return strings.Join(names, " ")
}

// TestList: all, those of a person, those that end soon.
func TestList(t *testing.T) {
	b := newBureau(t)
	b.make(t, "alice", "long", 1000*time.Hour)
	b.make(t, "alice", "short", time.Hour)
	b.make(t, "bob", "only", time.Hour)
	for query, want := range map[string]string{"user=alice": "corp/alice:long corp/alice:short", "user=CORP/Bob": "corp/bob:only", "user=lab/bob": "", "user=nobody": "",
		"user=alice&expiring=2h": "corp/alice:short", "expiring=1m": ""} {
		if got := b.names(t, query); len(got) != len(want) || query != "user=alice" && got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if got := b.names(t, "expiring=soon"); !strings.Contains(got, "duration") {
		t.Error(got)
	}
}

// TestRevoke: by id, by person, by the token itself; what is not there is 404.
func TestRevoke(t *testing.T) {
	b := newBureau(t)
	_, first := b.make(t, "alice", "first", time.Hour)
	leaked, second := b.make(t, "alice", "second", time.Hour)
	b.make(t, "alice", "third", time.Hour)
	b.make(t, "bob", "fourth", time.Hour)
	for _, c := range []struct {
		asked  Revocation
		ended  int
		status int
	}{
		{Revocation{IDs: []string{first.ID}}, 1, 0}, {Revocation{IDs: []string{first.ID}}, 0, http.StatusNotFound}, {Revocation{}, 0, http.StatusNotFound},
		{Revocation{Leaked: []string{"x", string(leaked), string(leaked)}}, 1, 0}, {Revocation{IDs: []string{second.ID}}, 0, http.StatusNotFound},
		{Revocation{User: "alice"}, 1, 0}, {Revocation{User: "nobody"}, 0, 0}, {Revocation{User: "corp/bob"}, 1, 0},
	} {
		done, err := b.revoke(t.Context(), c.asked)
		status := 0
		if refused := new(admin.Fault); errors.As(err, &refused) {
			status = refused.Status
		}
		if got := done.(Revoked); len(got.Ended) != c.ended || status != c.status {
			t.Errorf("%+v: %+v, %v", c.asked, got, err)
		}
	}
	if got := strings.Join(b.told, " "); got != "first third fourth" {
		t.Errorf("told of %q", got)
	}
	b.desk.Book.Use(nil)
	_, err := b.revoke(t.Context(), Revocation{IDs: []string{first.ID}})
	if refused := new(admin.Fault); !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable {
		t.Errorf("without a store: %v", err)
	}
}
