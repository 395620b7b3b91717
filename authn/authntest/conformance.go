package authntest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/authn"
)

// Subject is a Directory under Conformance, with one person whom it knows.
type Subject struct {
	Directory authn.Directory
	// Login is what the person types, Username his canonical name.
	Login, Username string
	Password        authn.Secret
	// Groups are the names of his groups, sorted.
	Groups []string
}

// Conformance checks what every Directory promises, whatever is behind it.
func Conformance(t *testing.T, subject Subject) {
	for name, check := range map[string]func(*testing.T, Subject){
		"identity": checkIdentity, "passwords": checkPasswords, "unknown": checkUnknown,
		"lookup": checkLookup, "parallel": checkParallel,
	} {
		t.Run(name, func(t *testing.T) { check(t, subject) })
	}
}

func checkIdentity(t *testing.T, s Subject) {
	id := find(t, s)
	var groups []string
	for _, group := range id.Groups {
		groups = append(groups, group.Name)
	}
	if id.Directory != s.Directory.Name() || id.Username != s.Username || id.ID == "" || id.Anonymous() {
		t.Errorf("identity = %+v", id)
	}
	if strings.ToLower(id.Username) != id.Username {
		t.Errorf("the name %q is not in lower case", id.Username)
	}
	if !slices.Equal(groups, s.Groups) {
		t.Errorf("groups = %q, want %q", groups, s.Groups)
	}
	if again := find(t, s); !reflect.DeepEqual(again, id) {
		t.Errorf("found again as %+v, before %+v", again, id)
	}
	verified, err := s.Directory.Verify(t.Context(), id, s.Password)
	if err != nil || verified.ID != id.ID || verified.Username != id.Username {
		t.Errorf("Verify = %+v, %v", verified, err)
	}
	upper, err := s.Directory.Find(t.Context(), strings.ToUpper(s.Login))
	if err != nil || upper.ID != id.ID || upper.Username != id.Username {
		t.Errorf("in upper case: %+v, %v; want the same person", upper, err)
	}
}

func checkPasswords(t *testing.T, s Subject) {
	for _, password := range []authn.Secret{
		"", " ", "\x00", s.Password + "\x00", s.Password + " ", " " + s.Password, s.Password[:len(s.Password)-1],
		s.Password + s.Password, "*", authn.Secret(strings.Repeat("x", 5000)),
	} {
		id, err := s.Directory.Verify(t.Context(), find(t, s), password)
		if !errors.Is(err, authn.ErrInvalidCredentials) {
			t.Errorf("password %q: %+v, %v", string(password), id, err)
		}
	}
	const canary = "x-canary-x"
	if _, err := s.Directory.Verify(t.Context(), find(t, s), canary); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("the error shows the password: %v", err)
	}
	if _, err := s.Directory.Verify(t.Context(), find(t, s), s.Password); err != nil {
		t.Errorf("good password after bad ones: %v", err)
	}
}

func checkUnknown(t *testing.T, s Subject) {
	for _, login := range []string{
		"", " ", "*", s.Login + "x", s.Login + "*", s.Login + "\x00", s.Login + " ", " " + s.Login, "\t" + s.Login,
		s.Login + ")(uid=*", "*)(uid=" + s.Login, s.Login + "\u200b", s.Login + "\xff", strings.Repeat("a", 5000),
	} {
		if id, err := s.Directory.Find(t.Context(), login); !errors.Is(err, authn.ErrUnknownUser) {
			t.Errorf("Find(%q) = %+v, %v", login, id, err)
		}
	}
}

func checkLookup(t *testing.T, s Subject) {
	id := find(t, s)
	ref := authn.Ref{Directory: id.Directory, Username: id.Username, ID: id.ID}
	if again, err := s.Directory.Lookup(t.Context(), ref); err != nil || !reflect.DeepEqual(again.Groups, id.Groups) || again.ID != id.ID {
		t.Errorf("Lookup = %+v, %v; want %+v", again, err, id)
	}
	for name, change := range map[string]func(*authn.Ref){
		"another id":   func(r *authn.Ref) { r.ID += "x" },
		"no id":        func(r *authn.Ref) { r.ID = "" },
		"another name": func(r *authn.Ref) { r.Username += "x" },
		"a pattern":    func(r *authn.Ref) { r.Username = "*" },
		"no name":      func(r *authn.Ref) { r.Username = "" },
	} {
		other := ref
		change(&other)
		if got, err := s.Directory.Lookup(t.Context(), other); !errors.Is(err, authn.ErrUnknownUser) {
			t.Errorf("Lookup with %s = %+v, %v", name, got, err)
		}
	}
}

func checkParallel(t *testing.T, s Subject) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			id, err := s.Directory.Find(context.Background(), s.Login)
			if err != nil {
				t.Errorf("Find: %v", err)
				return
			}
			password, want := s.Password, error(nil)
			if i%2 == 1 {
				password, want = "wrong", authn.ErrInvalidCredentials
			}
			if _, err := s.Directory.Verify(context.Background(), id, password); !errors.Is(err, want) {
				t.Errorf("Verify: %v, want %v", err, want)
			}
		})
	}
	wg.Wait()
}

func find(t *testing.T, s Subject) authn.Identity {
	t.Helper()
	id, err := s.Directory.Find(t.Context(), s.Login)
	if err != nil {
		t.Fatalf("Find(%q): %v", s.Login, err)
	}
	return id
}
