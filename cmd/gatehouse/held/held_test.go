package held

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/authn/oidc"
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
	desk     *personal.Desk
	revoker  *tokens.Revoker
	snapshot *assembly.Snapshot
	told     []string // names of tokens
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
	b := &bureau{desk: &personal.Desk{Book: personal.NewBook(revoker, nil), Keep: time.Hour}, revoker: revoker}
	b.desk.Defaults()
	b.desk.Book.Use(kept)
	b.desk.Makers, _ = authz.NewAudience([]string{"people"}, []string{"corp"}, nil)
	key, err := tokens.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := tokens.NewKeyring(tokens.Config{Issuer: "g", Service: "g", Lifetime: time.Minute, RefreshLifetime: time.Hour, KeyFiles: []authn.SecretFile{key}, Revoker: revoker, Personal: b.desk})
	if err != nil {
		t.Fatal(err)
	}
	sn := &assembly.Snapshot{Desk: b.desk, Keyring: keyring, Chain: authn.NewChain(authn.ChainConfig{}), Config: &config.Config{}}
	b.snapshot = sn
	b.Office = &Office{Use: func(do func(*assembly.Snapshot) error) error { return do(sn) }, Told: func(what ...any) {
		said := map[any]any{"credential": "", "name": ""}
		for i := 0; i < len(what); i += 2 {
			said[what[i]] = what[i+1]
		}
		b.told = append(b.told, fmt.Sprint(said["credential"], " ", said["user"], " ", said["name"]))
	}}
	return b
}

func (b *bureau) make(t *testing.T, user, name string, lifetime time.Duration) (authn.Secret, personal.Token) {
	t.Helper()
	secret, made, err := b.desk.Make(t.Context(), authn.Identity{Directory: "corp", Username: user, ID: "u-" + user},
		personal.Order{Name: name, Lifetime: &lifetime, After: b.revoker.Last("corp", user)}) // in a login of now
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
	b.snapshot.Directories = []*assembly.Directory{{Name: "corp", Lookup: knower{name: "corp"}}}
	b.make(t, "alice", "long", 1000*time.Hour)
	b.make(t, "alice", "short", time.Hour)
	b.make(t, "bob", "only", time.Hour)
	for query, want := range map[string]string{"user=alice": "corp/alice:long corp/alice:short", "user=CORP/Bob": "corp/bob:only", "user=lab/bob": `there is no directory "lab"`, "user=nobody": `nobody is called "nobody"`, "user=corp/locked": "",
		"user=alice&expiring=2h": "corp/alice:short", "expiring=1m": ""} {
		if got := b.names(t, query); len(got) != len(want) || query != "user=alice" && got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if got := b.names(t, "expiring=soon"); !strings.Contains(got, "duration") {
		t.Error(got)
	}
}

// TestRevoke: by id, by person, by the token itself; what is not there is told, or is 404.
func TestRevoke(t *testing.T) {
	b := newBureau(t)
	_, first := b.make(t, "alice", "first", time.Hour)
	leaked, second := b.make(t, "alice", "second", time.Hour)
	b.make(t, "alice", "third", time.Hour)
	b.make(t, "bob", "fourth", time.Hour)
	_, fifth := b.make(t, "carol", "fifth", time.Hour)
	for _, c := range []struct {
		asked       Revocation
		ended, none int
		status      int
	}{
		{Revocation{IDs: []string{first.ID}}, 1, 0, 0}, {Revocation{IDs: []string{first.ID}}, 0, 1, 0}, {Revocation{}, 0, 0, http.StatusNotFound},
		{Revocation{Leaked: []string{"x", string(leaked), string(leaked)}}, 1, 0, 0}, {Revocation{Leaked: []string{string(leaked)}}, 0, 0, 0},
		{Revocation{IDs: []string{second.ID, "0123456789", fifth.ID}}, 1, 2, 0},
		{Revocation{User: "alice"}, 1, 0, 0}, {Revocation{User: "nobody"}, 0, 1, 0}, {Revocation{User: "corp/bob"}, 1, 0, 0},
	} {
		done, err := b.revoke(t.Context(), c.asked)
		status := 0
		if refused := new(admin.Fault); errors.As(err, &refused) {
			status = refused.Status
		}
		if got := done.(Revoked); len(got.Ended) != c.ended || len(got.None) != c.none || status != c.status {
			t.Errorf("%+v: %+v, %v", c.asked, got, err)
		}
	}
	if got := strings.Join(b.told, ", "); got != "personal alice first, personal alice , personal carol fifth, personal alice third,  alice ,  nobody , personal bob fourth,  bob " {
		t.Errorf("told of %q", got)
	}
	b.desk.Book.Use(nil)
	_, err := b.revoke(t.Context(), Revocation{IDs: []string{first.ID}})
	if refused := new(admin.Fault); !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable {
		t.Errorf("without a store: %v", err)
	}
}

// knower is a directory of people as revoke --user asks it.
type knower struct {
	authn.Directory
	name string
}

func (k knower) Name() string { return k.name }
func (k knower) Find(_ context.Context, login string) (authn.Identity, error) {
	switch login {
	case "alice", "alice@example.com":
		return authn.Identity{Directory: k.name, Username: "alice"}, nil
	case "locked":
		return authn.Identity{}, authn.ErrHeld
	case "fault":
		return authn.Identity{}, authn.ErrUnavailable
	}
	return authn.Identity{}, authn.ErrUnknownUser
}

// TestRevokeUnknown: a name is told to be nobody's where every directory says so; one at fault
// does not, and what bears the name is ended in any case.
func TestRevokeUnknown(t *testing.T) {
	b := newBureau(t)
	cloud := &assembly.Directory{Name: "cloud", Lookup: knower{name: "cloud"}, OIDC: &oidc.Directory{}}
	for _, dirs := range [][]*assembly.Directory{{{Name: "corp", Lookup: knower{name: "corp"}}, {Name: "robots", Lookup: knower{name: "robots"}}, cloud}} {
		for user, want := range map[string]string{"alice": "", "CORP/Alice": "", "locked": "", "fault": "", "nobody": `nobody is called "nobody"`, "corp/nobody": `nobody is called "nobody"`,
			"alice@example.com": `nobody is called "alice@example.com"; it is a login of robots/alice`, "corp/alice@example.com": `it is a login of corp/alice`,
			"else/alice": `there is no directory "else"`, "cloud/octo-org/app": "", "octo": `nobody`} {
			b.snapshot.Directories = dirs
			done, err := b.revoke(t.Context(), Revocation{User: user})
			if got := strings.Join(done.(Revoked).None, "\n"); err != nil || (got == "") != (want == "") || !strings.Contains(got, want) {
				t.Errorf("%s: %q, %v, want %q", user, got, err, want)
			}
		}
	}
	_, name := personal.Person("corp/nobody")
	text, _, err := b.snapshot.Keyring.Issue(tokens.Token{Kind: tokens.Access, Subject: authn.Ref{Directory: "corp", Username: name, ID: "u"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.revoke(t.Context(), Revocation{User: "corp/nobody"}); err != nil {
		t.Error(err)
	}
	if _, err := b.snapshot.Keyring.Verify(text, tokens.Access, 0); !errors.Is(err, tokens.ErrRevoked) {
		t.Errorf("what bears the name goes on: %v", err)
	}
}

// TestLeaked: an admin ends whatever is ours, however many strange lines stand before it.
func TestLeaked(t *testing.T) {
	b := newBureau(t)
	b.snapshot.Chain = authn.NewChain(authn.ChainConfig{Throttle: authn.NewThrottle(authn.ThrottleConfig{TokensPerSource: 5, Window: time.Minute})})
	secret, _ := b.make(t, "alice", "one", time.Hour)
	list := []string{}
	for range 20 {
		list = append(list, string(apitoken.Personal.New()), string(apitoken.Machine.New()))
	}
	list = append(list, string(secret))
	for _, kind := range []tokens.Kind{tokens.Access, tokens.Refresh, tokens.Session} {
		text, _, err := b.snapshot.Keyring.Issue(tokens.Token{Kind: kind, Life: time.Minute, PasswordStamp: "p", Subject: authn.Ref{Directory: "corp", Username: "alice", ID: "u"}})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, text)
	}
	done, err := b.revoke(t.Context(), Revocation{Leaked: list})
	if got := done.(Revoked); err != nil || len(got.Ended) != 4 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got := strings.Join(b.told, ", "); got != "personal alice , access alice , refresh alice , ui alice " {
		t.Errorf("told of %q", got)
	}
	for _, text := range list[len(list)-3:] {
		if _, err := b.snapshot.Keyring.Examine(t.Context(), b.snapshot.Chain, text); !errors.Is(err, tokens.ErrInvalidToken) {
			t.Errorf("goes on: %v", err)
		}
	}
}

// TestExpiringEnded: what has ended is none of those that end soon, but it is listed.
func TestExpiringEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBureau(t)
		b.make(t, "alice", "ended", time.Hour)
		b.make(t, "alice", "goes on", 3*time.Hour)
		time.Sleep(2 * time.Hour)
		for query, want := range map[string]string{"expiring=24h": "corp/alice:goes on", "user=alice&expiring=24h": "corp/alice:goes on", "expiring=1m": ""} {
			if got := b.names(t, query); got != want {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
		}
		if got := b.names(t, "user=alice"); !strings.Contains(got, "ended") || !strings.Contains(got, "goes on") {
			t.Errorf("all: %q", got)
		}
	})
}

// TestReason: each end is told with why, in the words of who asked for it, or else by how it was
// named.
func TestReason(t *testing.T) {
	b := newBureau(t)
	var why []any
	b.Told = func(what ...any) { why = append(why, what[len(what)-2:]...) }
	for _, c := range []struct{ given, byID, byUser, byText string }{
		{"", "by its id", "all of a person", "leaked"},
		{"left the firm", "left the firm", "left the firm", "left the firm"},
		{strings.Repeat("x", 600), strings.Repeat("x", 500), strings.Repeat("x", 500), strings.Repeat("x", 500)},
	} {
		_, first := b.make(t, "alice", "first", time.Hour)
		leaked, _ := b.make(t, "alice", "second", time.Hour)
		for _, asked := range []Revocation{{IDs: []string{first.ID}}, {User: "alice"}, {Leaked: []string{string(leaked)}}} {
			asked.Reason = c.given
			want := c.byID
			switch {
			case asked.User != "":
				want = c.byUser
				leaked, _ = b.make(t, "bob", "third", time.Hour)
			case asked.Leaked != nil:
				want, asked.Leaked = c.byText, []string{"strange", string(leaked), "strange too"}
			}
			why = nil
			done, err := b.revoke(t.Context(), asked)
			if err != nil || len(why) == 0 {
				t.Fatalf("%+v: %v, %v", asked, done, err)
			}
			for i := 0; i < len(why); i += 2 {
				if why[i] != "reason" || why[i+1] != want {
					t.Errorf("%+v: told %v, want %q", asked, why[i:i+2], want)
				}
			}
			if not := done.(Revoked).Not; asked.Leaked != nil && fmt.Sprint(not) != "[0 2]" {
				t.Errorf("not ended: %v", not)
			}
		}
	}
}
