package authn

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"unsafe"

	"gatehouse/metrics"
)

// TestGroupsAreShared (A19): what people have in common is held once: their groups'
// names, and of one person all of the list while it stays as it is.
func TestGroupsAreShared(t *testing.T) {
	m := newMemory(cacheConfig, func() {})
	groups := func() []Group {
		var list []Group
		for i := range 300 {
			list = append(list, Group{Name: fmt.Sprint("group", i), DN: fmt.Sprintf("cn=group%d,ou=groups,dc=example,dc=com", i)})
		}
		return list
	}
	keep := func(name string) []Group {
		id := Identity{Username: name, Groups: groups()}
		m.remember(keyOf(id), id, id.ValidUntil, 0)
		p, _ := m.people.Peek(keyOf(id))
		if len(p.id.Groups) != 300 || p.id.Groups[7] != id.Groups[7] {
			t.Fatalf("%s has other groups than before", name)
		}
		return p.id.Groups
	}
	bach, haydn := keep("bach"), keep("haydn")
	for i := range bach {
		if unsafe.StringData(bach[i].DN) != unsafe.StringData(haydn[i].DN) || unsafe.StringData(bach[i].Name) != unsafe.StringData(haydn[i].Name) {
			t.Fatalf("group %d is held twice", i)
		}
	}
	if again := keep("bach"); &again[0] != &bach[0] {
		t.Error("a lookup that changes nothing makes another list")
	}
	id := Identity{Username: "kant"}
	m.remember(keyOf(id), id, id.ValidUntil, 0)
	if p, _ := m.people.Peek(keyOf(id)); p.id.Groups != nil {
		t.Errorf("groups of somebody without: %v", p.id.Groups)
	}
}

// TestMaxPeople (A19): as many people are remembered as the config says, and each
// who is forgotten for want of room is counted.
func TestMaxPeople(t *testing.T) {
	cfg := cacheConfig
	cfg.MaxPeople, cfg.Metrics = 50, metrics.New(metrics.BuildInfo{})
	withCache(t, cfg, func(t *testing.T, src *fakeSource, c *Cache) {
		for i := range 60 {
			name := fmt.Sprint("p", i)
			src.set(func() { src.people[name] = Identity{Directory: "example", Username: name, ID: name} })
			if _, err := c.Lookup(t.Context(), Ref{Directory: "example", Username: name, ID: name}); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.state().Entries["identity"]; got != 50 {
			t.Errorf("%d people are remembered", got)
		}
		w := httptest.NewRecorder()
		cfg.Metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		if want := `gatehouse_ldap_cache_evictions_total{directory="example"} 10`; !strings.Contains(w.Body.String(), want) {
			t.Errorf("the metrics lack %s", want)
		}
	})
	for most, good := range map[int]bool{0: true, 1: true, 1_000_000: true, 1_000_001: false, -1: false} {
		c, err := NewCache(newFakeSource(), CacheConfig{MaxPeople: most})
		var key *KeyError
		switch {
		case good && err != nil, !good && (!errors.As(err, &key) || key.Key != "max_people"):
			t.Errorf("max_people %d: %v", most, err)
		case good:
			c.Close()
		}
	}
}
