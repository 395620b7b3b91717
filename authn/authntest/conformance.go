package authntest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/authn"
)

// Subject is a Directory under Conformance, with one person that it knows.
// What is left empty below Groups is not checked.
type Subject struct {
	// Directory is what is tested.
	Directory authn.Directory
	// Login is what the person types, Username the canonical name.
	Login, Username string
	// Password is the person's until Change.
	Password authn.Secret
	// Groups are the names of the groups, sorted.
	Groups []string

	// Names are further spellings under which the person is known (a mail address).
	Names []string
	// Held are people that the directory knows and does not let in.
	Held []Held
	// Change gives the person another password. The stamp must change with it.
	Change func(password authn.Secret)
	// Remove deletes the person and Recreate adds them again, with Password.
	Remove, Recreate func()
	// Patience is how long the directory may take to notice a change: a cache's
	// freshness. 0: it notices at once.
	Patience time.Duration
}

// Held is a person whose account is in a state that forbids something.
type Held struct {
	// Login is what the person types.
	Login string
	// Password is the right one: it is the state that forbids the login.
	Password authn.Secret
	// Gone: nobody by that name is known, and their tokens end. Else the person is known,
	// and it is the login alone that is refused.
	Gone bool
	// Reason is a part of the error's text.
	Reason string
}

// Conformance checks what every Directory promises, whatever is behind it.
func Conformance(t *testing.T, subject Subject) {
	for _, check := range []struct {
		name string
		run  func(*testing.T, Subject)
		may  bool
	}{
		{"identity", checkIdentity, true},
		{"names", checkNames, true},
		{"passwords", checkPasswords, true},
		{"unknown", checkUnknown, true},
		{"lookup", checkLookup, true},
		{"parallel", checkParallel, true},
		{"leaving", checkLeaving, true},
		{"held", checkHeld, len(subject.Held) > 0},
		{"change", checkChange, subject.Change != nil},
		{"gone", checkGone, subject.Remove != nil},
	} {
		if check.may {
			t.Run(check.name, func(t *testing.T) { check.run(t, subject) })
		}
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
}

// checkNames: however a person's name is spelled, there is one person, and what the
// tokens would hold is the same.
func checkNames(t *testing.T, s Subject) {
	id := find(t, s)
	for _, name := range append([]string{s.Login, s.Username}, s.Names...) {
		for _, spelling := range []string{name, strings.ToUpper(name), strings.ToLower(name), strings.ToUpper(name[:1]) + name[1:]} {
			if got, err := s.Directory.Find(t.Context(), spelling); err != nil || !reflect.DeepEqual(got, id) {
				t.Errorf("%q is %+v, %v; want %+v", spelling, got, err, id)
			}
		}
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
	id, err := s.Directory.Verify(t.Context(), find(t, s), s.Password)
	if err != nil {
		t.Fatal(err)
	}
	ref := id.Ref()
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

// checkHeld: each reason keeps its kind, and its text reaches the log.
func checkHeld(t *testing.T, s Subject) {
	for _, held := range s.Held {
		id, err := s.Directory.Find(t.Context(), held.Login)
		if held.Gone {
			if !errors.Is(err, authn.ErrHeld) || !errors.Is(err, authn.ErrUnknownUser) || !strings.Contains(err.Error(), held.Reason) {
				t.Errorf("Find(%q) = %+v, %v; want it held: %s", held.Login, id, err, held.Reason)
			}
			continue
		}
		if err != nil {
			t.Errorf("Find(%q): %v; want it known", held.Login, err)
			continue
		}
		if _, err := s.Directory.Verify(t.Context(), id, held.Password); !errors.Is(err, authn.ErrInvalidCredentials) || !strings.Contains(err.Error(), held.Reason) {
			t.Errorf("Verify of %q: %v; want it refused: %s", held.Login, err, held.Reason)
		}
		if _, err := s.Directory.Lookup(t.Context(), id.Ref()); err != nil {
			t.Errorf("Lookup of %q: %v; want running tokens to go on", held.Login, err)
		}
	}
}

// checkLeaving: a caller who stops waiting learns nothing of the person.
func checkLeaving(t *testing.T, s Subject) {
	ctx, leave := context.WithCancel(t.Context())
	leave()
	for _, login := range []string{s.Login, s.Login + "y"} {
		if _, err := s.Directory.Find(ctx, login); err != nil && !errors.Is(err, authn.ErrUnavailable) && !errors.Is(err, authn.ErrUnknownUser) {
			t.Errorf("Find(%q) by one who left: %v", login, err)
		}
	}
	find(t, s)
}

// checkChange: a new password works, the old one does not, and the stamp that
// tokens carry is another.
func checkChange(t *testing.T, s Subject) {
	const changed = "An0ther-pass-word"
	before := find(t, s)
	s.Change(changed)
	defer s.Change(s.Password)
	patiently(t, s, "the old password to end", func() bool {
		_, err := s.Directory.Verify(t.Context(), before, s.Password)
		return errors.Is(err, authn.ErrInvalidCredentials)
	})
	patiently(t, s, "the stamp to change", func() bool {
		id, err := s.Directory.Lookup(t.Context(), before.Ref())
		return err == nil && id.PasswordStamp != before.PasswordStamp
	})
	if id, err := s.Directory.Verify(t.Context(), find(t, s), changed); err != nil || id.PasswordStamp == before.PasswordStamp || id.PasswordStamp == "" {
		t.Errorf("with the new password: %+v, %v; the stamp was %q", id, err, before.PasswordStamp)
	}
}

// checkGone: a person's tokens end with the person, and a namesake does not inherit them.
func checkGone(t *testing.T, s Subject) {
	before := find(t, s)
	gone := func() bool {
		_, err := s.Directory.Lookup(t.Context(), before.Ref())
		if err != nil && !errors.Is(err, authn.ErrUnknownUser) {
			t.Fatalf("Lookup of one who is gone: %v", err)
		}
		return err != nil
	}
	s.Remove()
	patiently(t, s, "the person to be gone", gone)
	if s.Recreate == nil {
		return
	}
	s.Recreate()
	patiently(t, s, "the namesake to be known", func() bool {
		id, err := s.Directory.Find(t.Context(), s.Login)
		return err == nil && id.ID != before.ID
	})
	if !gone() {
		t.Error("a namesake inherited the tokens")
	}
}

// patiently waits for what a directory may notice late; it tells nobody when it does.
func patiently(t *testing.T, s Subject, what string, held func() bool) {
	t.Helper()
	for deadline := time.Now().Add(s.Patience); !held(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func find(t *testing.T, s Subject) authn.Identity {
	t.Helper()
	id, err := s.Directory.Find(t.Context(), s.Login)
	if err != nil {
		t.Fatalf("Find(%q): %v", s.Login, err)
	}
	return id
}
