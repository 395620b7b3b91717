package content

import "testing"

// TestHitAllocates: a hit allocates little: its entry and its header.
func TestHitAllocates(t *testing.T) {
	r := &registry{answer: has("content")}
	c := newTestCache(nil)
	c.Take(c.cfg, "up")
	q := r.request("a", digestOf("sha256", []byte("content")))
	c.Get(t.Context(), q)
	n := testing.AllocsPerRun(100, func() {
		if got := c.Get(t.Context(), q); got.Outcome != Hit {
			t.Error(got.Outcome)
		}
	})
	t.Log(n)
	if n > 10 {
		t.Errorf("%v allocations", n)
	}
}
