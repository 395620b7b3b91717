package authn

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// crowd is people without number, in twenty groups each.
type crowd struct{ *fakeSource }

func (m crowd) Lookup(_ context.Context, ref Ref) (Identity, error) {
	id := Identity{Directory: "example", Username: ref.Username, ID: ref.ID}
	for i := range 20 {
		id.Groups = append(id.Groups, Group{Name: fmt.Sprint("team-", i), DN: fmt.Sprintf("cn=team-%d,ou=groups,dc=example,dc=com", i)})
	}
	return id, nil
}

// BenchmarkCacheMemory is what a person takes who is remembered, in twenty groups.
func BenchmarkCacheMemory(b *testing.B) {
	const people = 100_000
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		c, err := NewCache(crowd{newFakeSource()}, CacheConfig{MaxPeople: people, FreshFor: time.Hour, StaleFor: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
		for i := range people {
			if _, err := c.Lookup(b.Context(), Ref{Directory: "example", Username: fmt.Sprint("user", i), ID: fmt.Sprint("id-", i)}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before)/people, "B/person")
		c.Close()
	}
}
