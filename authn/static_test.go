package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"gatehouse/metrics"
)

// quickHash is bcrypt at a cost that only tests use.
func quickHash(t testing.TB, password string, cost int) Secret {
	t.Helper()
	text, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	return Secret(text)
}

// newStatic wants warnings at most.
func newStatic(t testing.TB, users ...StaticUser) *Static {
	t.Helper()
	s, err := NewStatic(StaticConfig{Name: "local", Users: users})
	if s == nil {
		t.Fatal(err)
	}
	return s
}

func TestStaticVerify(t *testing.T) {
	long := strings.Repeat("x", 73)
	argon, err := HashPassword(Secret(long))
	if err != nil || !strings.HasPrefix(argon, "$argon2id$") {
		t.Fatalf("HashPassword over 72 bytes: %q, %v", argon, err)
	}
	b := quickHash(t, "badmin", 4)
	cut := quickHash(t, long[:72], 4)
	for name, test := range map[string]struct {
		user     StaticUser
		password string
		good     bool
	}{
		"bcrypt":              {StaticUser{PasswordHash: b}, "badmin", true},
		"bcrypt 2y":           {StaticUser{PasswordHash: Secret(strings.Replace(string(b), "$2a$", "$2y$", 1))}, "badmin", true},
		"bcrypt 2b":           {StaticUser{PasswordHash: Secret(strings.Replace(string(b), "$2a$", "$2b$", 1))}, "badmin", true},
		"bcrypt wrong":        {StaticUser{PasswordHash: b}, "Badmin", false},
		"bcrypt and NUL":      {StaticUser{PasswordHash: b}, "badmin\x00", false},
		"bcrypt, 72 bytes":    {StaticUser{PasswordHash: cut}, long[:72], true},
		"bcrypt, over 72":     {StaticUser{PasswordHash: cut}, long, false},
		"argon2id, long":      {StaticUser{PasswordHash: Secret(argon)}, long, true},
		"argon2id, other end": {StaticUser{PasswordHash: Secret(argon)}, long[:72] + "y", false},
		"plain":               {StaticUser{PasswordFile: SecretFile{Secret: "123"}}, "123", true},
		"plain wrong":         {StaticUser{PasswordFile: SecretFile{Secret: "123"}}, "1234", false},
		"empty":               {StaticUser{PasswordFile: SecretFile{Secret: "123"}}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			test.user.Username = "Admin"
			s := newStatic(t, test.user)
			id, err := s.Find(t.Context(), "aDMIN")
			if err != nil || id.Username != "admin" || id.Directory != "local" || id.ID != "static:admin" || id.PasswordStamp == "" {
				t.Fatalf("Find: %+v, %v", id, err)
			}
			_, err = s.Verify(t.Context(), id, Secret(test.password))
			if test.good != (err == nil) || !test.good && !errors.Is(err, ErrInvalidCredentials) {
				t.Errorf("Verify: %v, want good %v", err, test.good)
			}
		})
	}
}

func TestStaticLookup(t *testing.T) {
	s := newStatic(t, StaticUser{Username: "test", PasswordHash: quickHash(t, "123", 4), Groups: []string{"B", "a", "b"}})
	id, err := s.Lookup(t.Context(), Ref{Directory: "local", Username: "test", ID: "static:test"})
	if err != nil || len(id.Groups) != 2 || id.Groups[0].Name != "a" || id.Groups[1].Name != "b" {
		t.Errorf("got %+v, %v", id, err)
	}
	for _, ref := range []Ref{{Username: "test", ID: "static:other"}, {Username: "gone", ID: "static:gone"}, {}} {
		_, err := s.Lookup(t.Context(), ref)
		wantErr(t, err, ErrUnknownUser)
	}
	_, err = s.Verify(t.Context(), Identity{Username: "test", ID: "static:other"}, "123")
	wantErr(t, err, ErrInvalidCredentials)
}

// TestStaticStamp: it stays over restarts, and changes with the password.
func TestStaticStamp(t *testing.T) {
	stamp := func(name, password string) string {
		id, err := newStatic(t, StaticUser{Username: name, PasswordFile: SecretFile{Secret: Secret(password)}}).Find(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return id.PasswordStamp
	}
	if first, second := stamp("a", "1"), stamp("a", "1"); first != second {
		t.Error("the stamp changes over a restart")
	}
	if stamp("a", "1") == stamp("a", "2") || stamp("a", "1") == stamp("b", "1") {
		t.Error("different passwords or people have one stamp")
	}
}

func TestNewStaticFaults(t *testing.T) {
	good := quickHash(t, "x", 4)
	withCost := func(c string) Secret { return good[:4] + Secret(c) + good[6:] }
	argon := func(m, t, p, salt, key string) Secret {
		return Secret(fmt.Sprintf("$argon2id$v=19$m=%s,t=%s,p=%s$%s$%s", m, t, p, salt, key))
	}
	salt, key := "AAAAAAAAAAAAAAAAAAAAAA", strings.Repeat("A", 43)
	one := func(u StaticUser) []StaticUser { return []StaticUser{u} }
	for name, test := range map[string]struct {
		users   []StaticUser
		key     string
		warning bool
	}{
		"no name":           {one(StaticUser{PasswordHash: good}), "static[0].username", false},
		"space":             {one(StaticUser{Username: "a b", PasswordHash: good}), "static[0].username", false},
		"slash":             {one(StaticUser{Username: "a/b", PasswordHash: good}), "static[0].username", false},
		"colon":             {one(StaticUser{Username: "a:b", PasswordHash: good}), "static[0].username", false},
		"control":           {one(StaticUser{Username: "a\nb", PasswordHash: good}), "static[0].username", false},
		"no UTF-8":          {one(StaticUser{Username: "a\xff", PasswordHash: good}), "static[0].username", false},
		"twice":             {[]StaticUser{{Username: "a", PasswordHash: withCost("10")}, {Username: "A", PasswordHash: withCost("10")}}, "static[1].username", false},
		"no password":       {one(StaticUser{Username: "a"}), "static[0].password_hash", false},
		"both":              {one(StaticUser{Username: "a", PasswordHash: good, PasswordFile: SecretFile{Secret: "x"}}), "static[0].password_hash", false},
		"empty group":       {one(StaticUser{Username: "a", PasswordHash: withCost("10"), Groups: []string{"g", ""}}), "static[0].groups[1]", false},
		"plain text":        {one(StaticUser{Username: "a", PasswordHash: "badmin"}), "static[0].password_hash", false},
		"md5":               {one(StaticUser{Username: "a", PasswordHash: "$apr1$x$y"}), "static[0].password_hash", false},
		"2x":                {one(StaticUser{Username: "a", PasswordHash: "$2x$" + good[4:]}), "static[0].password_hash", false},
		"cost bomb":         {one(StaticUser{Username: "a", PasswordHash: withCost("15")}), "static[0].password_hash", false},
		"cost 31":           {one(StaticUser{Username: "a", PasswordHash: withCost("31")}), "static[0].password_hash", false},
		"cost 3":            {one(StaticUser{Username: "a", PasswordHash: withCost("03")}), "static[0].password_hash", false},
		"weak":              {one(StaticUser{Username: "a", PasswordHash: withCost("09")}), "static[0].password_hash", true},
		"newline":           {one(StaticUser{Username: "a", PasswordHash: withCost("10") + "\n"}), "static[0].password_hash", false},
		"argon memory bomb": {one(StaticUser{Username: "a", PasswordHash: argon("4294967295", "1", "1", salt, key)}), "static[0].password_hash", false},
		"argon time bomb":   {one(StaticUser{Username: "a", PasswordHash: argon("65536", "99999", "1", salt, key)}), "static[0].password_hash", false},
		"argon overflow":    {one(StaticUser{Username: "a", PasswordHash: argon("8", "9999999999", "1", salt, key)}), "static[0].password_hash", false},
		"argon zero":        {one(StaticUser{Username: "a", PasswordHash: argon("65536", "0", "1", salt, key)}), "static[0].password_hash", false},
		"argon threads":     {one(StaticUser{Username: "a", PasswordHash: argon("65536", "1", "255", salt, key)}), "static[0].password_hash", false},
		"argon weak":        {one(StaticUser{Username: "a", PasswordHash: argon("1024", "1", "1", salt, key)}), "static[0].password_hash", true},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := NewStatic(StaticConfig{Name: "local", Users: test.users})
			found := new(KeyError)
			if !errors.As(err, &found) || found.Key != test.key || found.Warning != test.warning {
				t.Errorf("got %v, want a fault of %s", err, test.key)
			}
			if (s != nil) != test.warning {
				t.Errorf("a directory: %v", s != nil)
			}
			if strings.Contains(fmt.Sprint(err), "badmin") || strings.Contains(fmt.Sprint(err), string(good[8:])) {
				t.Errorf("the message shows the secret: %v", err)
			}
		})
	}
}

func TestHashPassword(t *testing.T) {
	if _, err := HashPassword(""); err == nil {
		t.Error("an empty password has a hash")
	}
	text, err := HashPassword("badmin")
	if err != nil {
		t.Fatal(err)
	}
	h, weak, err := parseHash(text)
	if err != nil || weak != nil || h.bcrypt != bcryptCost || !h.matches("badmin") {
		t.Errorf("%q: %+v, %v, %v", text, h.cost, weak, err)
	}
}

// TestDummy: a dummy takes the work of its cost, and no password.
func TestDummy(t *testing.T) {
	for _, c := range []cost{{bcrypt: 4}, {memory: 8, time: 1, threads: 1, size: 32}} {
		d := c.dummy()
		if d.cost != c || d.matches("") || d.matches("a password") {
			t.Errorf("%+v: %+v", c, d)
		}
		if c.bcrypt != 0 {
			if err := bcrypt.CompareHashAndPassword(d.text, nil); !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
				t.Errorf("the dummy is no hash, so it takes no time: %v", err)
			}
		}
	}
	if argon2.Version != 19 {
		t.Errorf("argon2 version %d", argon2.Version)
	}
}

// TestHasherIsBounded (G9): as many comparisons as there are cores run at once, so
// many wait, and the next is told to come again.
func TestHasherIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewHasher(3)
		for range cap(q.slots) {
			q.slots <- struct{}{}
			q.waiting.Add(1)
		}
		ctx, leave := context.WithCancel(t.Context())
		leave()
		for i := range 3 {
			_, err := q.compare(ctx, fmt.Sprint(i), cost{bcrypt: 4}.dummy(), "x")
			wantErr(t, err, ErrUnavailable)
			synctest.Wait()
		}
		busy := new(ThrottledError)
		if _, err := q.compare(t.Context(), "next", cost{bcrypt: 4}.dummy(), "x"); !errors.As(err, &busy) || busy.RetryAfter < time.Second || busy.Limit != "passwords_waiting" {
			t.Errorf("a full queue: %v", err)
		}
		q.Configure(4)
		result := make(chan error)
		go func() {
			_, err := q.compare(t.Context(), "next", cost{bcrypt: 4}.dummy(), "x")
			result <- err
		}()
		synctest.Wait()
		for range cap(q.slots) {
			<-q.slots
			q.waiting.Add(-1)
		}
		if err := <-result; err != nil {
			t.Errorf("with room for it: %v", err)
		}
		synctest.Wait()
		if n := q.waiting.Load(); n != 0 || len(q.slots) != 0 {
			t.Errorf("%d still wait, %d run", n, len(q.slots))
		}
	})
}

// TestHasherShares (H13): a cluster that logs in with one secret costs one
// comparison, now and for a moment; any other password is compared, always.
func TestHasherShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text, err := bcrypt.GenerateFromPassword([]byte("good"), 4)
		if err != nil {
			t.Fatal(err)
		}
		h, _, err := parseHash(string(text))
		if err != nil {
			t.Fatal(err)
		}
		q := NewHasher(0) // nobody may wait
		for range cap(q.slots) - 1 {
			q.slots <- struct{}{}
			q.waiting.Add(1)
		}
		q.slots <- struct{}{} // and the last core is busy too
		var nodes sync.WaitGroup
		for range 1000 {
			nodes.Go(func() {
				if same, err := q.compare(t.Context(), "corp/ci", h, "good"); !same || err != nil {
					t.Errorf("a node: %v, %v", same, err)
				}
			})
		}
		synctest.Wait()
		if n := q.waiting.Load(); n != int64(cap(q.slots)) {
			t.Errorf("%d comparisons for one password", n-int64(cap(q.slots)-1))
		}
		<-q.slots
		nodes.Wait()
		q.Configure(-cap(q.slots)) // no comparison at all
		if same, err := q.compare(t.Context(), "corp/ci", h, "good"); !same || err != nil {
			t.Errorf("a moment later: %v, %v", same, err)
		}
		other, _, _ := parseHash(otherDigest(string(text)))
		for name, compare := range map[string]func() (bool, error){
			"another password": func() (bool, error) { return q.compare(t.Context(), "corp/ci", h, "goo") },
			"another person":   func() (bool, error) { return q.compare(t.Context(), "corp/bob", h, "good") },
			"another hash":     func() (bool, error) { return q.compare(t.Context(), "corp/ci", other, "good") },
			"after goodFor":    func() (bool, error) { time.Sleep(goodFor); return q.compare(t.Context(), "corp/ci", h, "good") },
		} {
			if same, err := compare(); same || err == nil {
				t.Errorf("%s was remembered: %v, %v", name, same, err)
			}
		}
	})
}

// TestStaticMetrics: logins are counted as those at any directory, and a token's
// lookup is not.
func TestStaticMetrics(t *testing.T) {
	m := metrics.New(metrics.BuildInfo{})
	s, err := NewStatic(StaticConfig{Name: "local", Metrics: m, Users: []StaticUser{{Username: "anna", PasswordHash: quickHash(t, "good", 4)}}})
	if s == nil {
		t.Fatal(err)
	}
	anna, err := s.Find(t.Context(), "Anna")
	if err != nil {
		t.Fatal(err)
	}
	s.Find(t.Context(), "otto")
	s.Verify(t.Context(), anna, "good")
	s.Verify(t.Context(), anna, "bad")
	s.Lookup(t.Context(), Ref{Directory: "local", Username: "anna", ID: anna.ID})
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`operation="lookup",result="ok"} 1`, `operation="lookup",result="unknown"} 1`, `operation="login",result="ok"} 1`, `operation="login",result="refused"} 1`} {
		if want = `gatehouse_directory_requests_total{directory="local",` + want + "\n"; !strings.Contains(rec.Body.String(), want) {
			t.Errorf("no %s", want)
		}
	}
}

// otherDigest is a hash that differs from text in one letter of its digest.
func otherDigest(text string) string {
	at, letter := len(text)-10, "a"
	if text[at] == 'a' {
		letter = "b"
	}
	return text[:at] + letter + text[at+1:]
}
