package machine

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/authn/authntest"
)

var start = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// made is a token and its hash as the config has it.
func made(t testing.TB) (authn.Secret, string, apitoken.Hash) {
	t.Helper()
	text := apitoken.Machine.New()
	token, err := apitoken.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return text, token.Hash.String(), token.Hash
}

func at(d time.Duration) Expiry { return Expiry{Time: start.Add(d)} }

const day = 24 * time.Hour

// directory makes one that may have warnings.
func directory(t testing.TB, now func() time.Time, machines ...Machine) *Directory {
	t.Helper()
	d, err := New(Config{Name: "robots", Machines: machines, Now: now})
	if d == nil {
		t.Fatal(err)
	}
	return d
}

func TestConformance(t *testing.T) {
	text, hash, _ := made(t)
	d := directory(t, nil, Machine{Name: "team/jenkins", Groups: []string{"CI", "builders"}, Tokens: []Token{{Hash: hash}}})
	authntest.Conformance(t, authntest.Subject{Directory: d, Login: "team/jenkins", Username: "team/jenkins", Password: text, Groups: []string{"builders", "ci"}})
}

// TestOwner: which token is taken, when, and from where.
func TestOwner(t *testing.T) {
	now := start
	_, oldHash, old := made(t)
	_, newHash, fresh := made(t)
	_, otherHash, other := made(t)
	_, _, nobodys := made(t)
	d := directory(t, func() time.Time { return now },
		Machine{Name: "jenkins", Tokens: []Token{{Hash: oldHash, Expires: at(day)}, {Hash: newHash, Expires: at(100 * day)}}},
		Machine{Name: "office", Networks: []string{"10.0.0.0/8", "2001:db8::1"}, Tokens: []Token{{Hash: otherHash}}})
	for _, c := range []struct {
		name   string
		hash   apitoken.Hash
		source string
		after  time.Duration
		want   string
		err    error
	}{
		{"the old one", old, "192.0.2.1", 0, "jenkins", nil},
		{"the new one beside it", fresh, "192.0.2.1", 0, "jenkins", nil},
		{"no address", fresh, "", 0, "jenkins", nil},
		{"a moment before its end", old, "", day - 1, "jenkins", nil},
		{"at its end", old, "", day, "jenkins", authn.ErrExpiredToken},
		{"the new one after that", fresh, "", day, "jenkins", nil},
		{"nobody's", nobodys, "", 0, "", authn.ErrUnknownToken},
		{"no hash", apitoken.Hash{}, "", 0, "", authn.ErrUnknownToken},
		{"in a network", other, "10.1.2.3", 0, "office", nil},
		{"in a network, mapped", other, "::ffff:10.1.2.3", 0, "office", nil},
		{"an address", other, "2001:db8::1%eth0", 0, "office", nil},
		{"elsewhere", other, "192.0.2.1", 0, "office", authn.ErrMismatchedToken},
		{"from where is not known", other, "", 0, "office", authn.ErrMismatchedToken},
	} {
		now = start.Add(c.after)
		source, _ := netip.ParseAddr(c.source)
		id, err := d.Owner(c.hash, source)
		if !errors.Is(err, c.err) || c.err != nil && !errors.Is(err, authn.ErrBadToken) || id.Username != c.want || c.want != "" && !id.Machine {
			t.Errorf("%s: %+v, %v", c.name, id, err)
		}
	}
}

// TestOwnerOfAHead: tokens whose hashes begin alike are told apart.
func TestOwnerOfAHead(t *testing.T) {
	_, text, hash := made(t)
	near := hash
	near[31] ^= 1
	d := directory(t, nil, Machine{Name: "a", Tokens: []Token{{Hash: text}}}, Machine{Name: "b", Tokens: []Token{{Hash: near.String()}}})
	for name, h := range map[string]apitoken.Hash{"a": hash, "b": near} {
		if id, err := d.Owner(h, netip.Addr{}); err != nil || id.Username != name {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
	near[30] ^= 1
	if id, err := d.Owner(near, netip.Addr{}); !errors.Is(err, authn.ErrUnknownToken) {
		t.Errorf("%+v, %v", id, err)
	}
}

// TestLookup: what was issued for a token goes on as long as that token does.
func TestLookup(t *testing.T) {
	now := start
	_, firstHash, first := made(t)
	_, secondHash, second := made(t)
	m := Machine{Name: "jenkins", Groups: []string{"ci"}, Networks: []string{"10.0.0.0/8"}, Tokens: []Token{{Hash: firstHash, Expires: at(day)}, {Hash: secondHash, Expires: at(9 * day)}}}
	d := directory(t, func() time.Time { return now }, m)
	inside := netip.MustParseAddr("10.0.0.1")
	refs := map[string]authn.Ref{}
	for name, hash := range map[string]apitoken.Hash{"first": first, "second": second} {
		id, err := d.Owner(hash, inside)
		if err != nil || id.ValidUntil.IsZero() {
			t.Fatal(id, err)
		}
		refs[name] = authn.Ref{Directory: "robots", Username: id.Username, ID: id.ID, Stamp: id.PasswordStamp}
	}
	one := m
	one.Tokens = m.Tokens[1:]
	none := directory(t, nil, Machine{Name: "other", Tokens: m.Tokens[1:]})
	dropped := directory(t, func() time.Time { return now }, one)
	strict := func(r authn.Ref, source string) authn.Ref {
		r.Strict, r.Source = true, netip.MustParseAddr(source)
		return r
	}
	bare := refs["first"]
	bare.Stamp = ""
	for _, c := range []struct {
		name  string
		d     *Directory
		ref   authn.Ref
		after time.Duration
		ok    bool
	}{
		{"both go on", d, refs["first"], 0, true}, {"both go on", d, refs["second"], 0, true},
		{"at its end", d, refs["first"], day, false}, {"the other one then", d, refs["second"], day, true},
		{"its hash is dropped", dropped, refs["first"], 0, false}, {"the other is not", dropped, refs["second"], 0, true},
		{"the machine is dropped", none, refs["second"], 0, false}, {"no token", d, bare, 0, false},
		{"a login from inside", d, strict(refs["first"], "10.0.0.9"), 0, true}, {"and from elsewhere", d, strict(refs["first"], "192.0.2.1"), 0, false},
	} {
		now = start.Add(c.after)
		id, err := c.d.Lookup(t.Context(), c.ref)
		if c.ok && (err != nil || id.PasswordStamp != c.ref.Stamp || len(id.Groups) != 1) || !c.ok && !errors.Is(err, authn.ErrUnknownUser) {
			t.Errorf("%s: %+v, %v", c.name, id, err)
		}
	}
}

// TestLookupIsCheap: each request of a machine makes one, and it leaves nothing behind.
func TestLookupIsCheap(t *testing.T) {
	_, text, hash := made(t)
	d := directory(t, nil, Machine{Name: "jenkins", Tokens: []Token{{Hash: text}}})
	id, err := d.Owner(hash, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	ref := authn.Ref{Username: id.Username, ID: id.ID, Stamp: id.PasswordStamp}
	if n := testing.AllocsPerRun(100, func() { d.Lookup(t.Context(), ref) }); n > 1 { // the context
		t.Errorf("%v allocations", n)
	}
}

func TestExpiry(t *testing.T) {
	for text, want := range map[string]string{
		"2027-03-01": "2027-03-02T00:00:00Z", "2027-12-31": "2028-01-01T00:00:00Z", "2027-03-01T12:00:00+01:00": "2027-03-01T11:00:00Z", "never": "never",
		"": "", "2027-3-1": "", "2027-02-30": "", "90d": "", "2027-03-01T12:00:00": "", "Never": "", "tomorrow": "", "2027": "",
	} {
		var e Expiry
		switch err := e.UnmarshalText([]byte(text)); {
		case want == "" && err == nil:
			t.Errorf("%q is %s", text, e)
		case want != "" && (err != nil || e.String() != want):
			t.Errorf("%q is %s (%v), want %s", text, e, err, want)
		}
	}
}

func TestValidName(t *testing.T) {
	for _, name := range []string{"a", "jenkins", "octo-org/app", "a.b_c-d/0", "...", "-", strings.Repeat("a", 256)} {
		if !ValidName(name) {
			t.Errorf("%q is refused", name)
		}
	}
	for _, name := range []string{"", "A", "a/", "/a", "a//b", ".", "..", "a/..", "a/./b", "ä", "a b", "a:b", "a*", "**", "a\x00", strings.Repeat("a", 257)} {
		if ValidName(name) {
			t.Errorf("%q is taken", name)
		}
	}
}

// TestConfig: each fault and warning names its key.
func TestConfig(t *testing.T) {
	_, a, _ := made(t)
	_, b, _ := made(t)
	_, c, _ := made(t)
	good := []Token{{Hash: a, Expires: at(99 * day)}}
	one := func(change func(*Machine)) []Machine {
		m := Machine{Name: "jenkins", Tokens: []Token{{Hash: a, Expires: at(99 * day)}}}
		change(&m)
		return []Machine{m}
	}
	for _, tt := range []struct {
		name     string
		machines []Machine
		want     string // the finding; empty: none
		warning  bool
	}{
		{"good", one(func(*Machine) {}), "", false},
		{"no machines", []Machine{}, "machines: has no machines", true},
		{"a name in upper case", one(func(m *Machine) { m.Name = "Jenkins" }), `machines[0].name: "Jenkins" is no name of a machine`, false},
		{"a name that climbs", one(func(m *Machine) { m.Name = "a/.." }), "machines[0].name:", false},
		{"a name twice", append(one(func(*Machine) {}), Machine{Name: "jenkins", Tokens: []Token{{Hash: b, Expires: at(99 * day)}}}), `machines[1].name: "jenkins" stands twice`, false},
		{"a hash twice", append(one(func(*Machine) {}), Machine{Name: "other", Tokens: good}), "machines[1].tokens[0].hash: stands twice", false},
		{"a hash twice in one", one(func(m *Machine) { m.Tokens = append(m.Tokens, m.Tokens[0]) }), "machines[0].tokens[1].hash: stands twice", false},
		{"no hash", one(func(m *Machine) { m.Tokens[0].Hash = "" }), "machines[0].tokens[0].hash: is no hash of a token", false},
		{"a token for a hash", one(func(m *Machine) { m.Tokens[0].Hash = string(apitoken.Machine.New()) }), "machines[0].tokens[0].hash: is no hash of a token", false},
		{"no token", one(func(m *Machine) { m.Tokens = nil }), "machines[0].tokens: required", false},
		{"three tokens", one(func(m *Machine) {
			m.Tokens = append(m.Tokens, Token{Hash: b, Expires: at(99 * day)}, Token{Hash: c, Expires: at(99 * day)})
		}), "machines[0].tokens: 3 tokens", false},
		{"ended", one(func(m *Machine) { m.Tokens[0].Expires = at(0) }), "machines[0].tokens: the last token ended", false},
		{"both ended", one(func(m *Machine) {
			m.Tokens = []Token{{Hash: a, Expires: at(-day)}, {Hash: b, Expires: at(-9 * day), Note: "older"}}
		}), "machines[0].tokens: the last token ended at 2026-11-25T12:00:00Z", false},
		{"one of two ended", one(func(m *Machine) { m.Tokens = append(m.Tokens, Token{Hash: b, Expires: at(-day)}) }), "", false},
		{"ends soon", one(func(m *Machine) { m.Tokens[0].Expires, m.Tokens[0].Note = at(14*day), "of March" }), "machines[0].tokens: the last token (of March) ends at", true},
		{"ends later", one(func(m *Machine) { m.Tokens[0].Expires = at(14*day + 1) }), "", false},
		{"one ends soon", one(func(m *Machine) { m.Tokens = append(m.Tokens, Token{Hash: b, Expires: at(day)}) }), "", false},
		{"never", one(func(m *Machine) { m.Tokens[0].Expires = Expiry{} }), "machines[0].tokens[0].expires: the token never ends", true},
		{"no network", one(func(m *Machine) { m.Networks = []string{"10.0.0.0/8", "office"} }), `machines[0].networks[1]: "office" is no network`, false},
		{"host bits", one(func(m *Machine) { m.Networks = []string{"10.1.0.0/8"} }), "machines[0].networks[0]:", true},
		{"an empty group", one(func(m *Machine) { m.Groups = []string{"ci", " "} }), "machines[0].groups[1]: an empty group name", false},
	} {
		d, err := New(Config{Name: "robots", Machines: tt.machines, Now: func() time.Time { return start }})
		if (d == nil) == (tt.want == "" || tt.warning) || fmt.Sprint(err) != "<nil>" && tt.want == "" || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s: %v, %v; want %q", tt.name, d != nil, err, tt.want)
		}
	}
}

func TestCountAndHeld(t *testing.T) {
	now := start
	_, a, hash := made(t)
	_, b, _ := made(t)
	d := directory(t, func() time.Time { return now }, Machine{Name: "jenkins", Tokens: []Token{{Hash: a, Note: "of March"}, {Hash: b, Expires: at(20 * day)}}})
	held, ok := d.Held(hash)
	if _, other := d.Held(apitoken.Hash{}); !ok || other || held.Note != "of March" || held.Ended || held.Identity.Username != "jenkins" || d.Name() != "robots" {
		t.Errorf("%+v %v %v", held, ok, other)
	}
	for _, c := range []struct {
		after time.Duration
		want  [3]int
	}{{0, [3]int{2, 0, 0}}, {6 * day, [3]int{1, 1, 0}}, {20 * day, [3]int{1, 0, 1}}} {
		now = start.Add(c.after)
		if active, expiring, expired := d.Count(); [3]int{active, expiring, expired} != c.want {
			t.Errorf("after %s: %d %d %d", c.after, active, expiring, expired)
		}
	}
}

// TestLacks: there are the machines of the config and their groups, and no people.
func TestLacks(t *testing.T) {
	_, hash, _ := made(t)
	d := directory(t, func() time.Time { return start }, Machine{Name: "team/jenkins", Groups: []string{"CI"}, Tokens: []Token{{Hash: hash, Expires: at(time.Hour)}}})
	ask := []authn.Named{{Kind: authn.Person, Name: "team/jenkins"}, {Kind: authn.GroupName, Name: "ci"}, {Kind: authn.GroupName, Name: "team"},
		{Kind: authn.MachineName, Name: "team/jenkins"}, {Kind: authn.MachineName, Name: "jenkins"}}
	if got, err := d.Lacks(t.Context(), ask); err != nil || !slices.Equal(got, []authn.Named{ask[0], ask[2], ask[4]}) {
		t.Errorf("%v %v", got, err)
	}
}
