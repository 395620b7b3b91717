package browse

import (
	"math"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// overhead is about what an entry takes beside its bytes.
const overhead = 512

// weighed is a map that holds so many bytes and forgets what was not used for the longest
// time. Its owner's lock guards it.
type weighed[K comparable, V interface{ weight() int64 }] struct {
	most, bytes int64
	entries     *simplelru.LRU[K, V]
}

func newWeighed[K comparable, V interface{ weight() int64 }](most int64) *weighed[K, V] {
	w := &weighed[K, V]{most: most}
	w.entries, _ = simplelru.NewLRU(math.MaxInt, func(_ K, v V) { w.bytes -= v.weight() + overhead }) // fails for a size below 1 alone
	return w
}

func (w *weighed[K, V]) get(k K) (V, bool) { return w.entries.Get(k) }

// put keeps a value where there is room for it at all.
func (w *weighed[K, V]) put(k K, v V) {
	w.entries.Remove(k)
	if v.weight()+overhead > w.most {
		return
	}
	w.bytes += v.weight() + overhead
	w.entries.Add(k, v)
	w.fit()
}

// grown counts what a value that is kept became heavier by.
func (w *weighed[K, V]) grown(bytes int64) {
	w.bytes += bytes
	w.fit()
}

func (w *weighed[K, V]) remove(k K) { w.entries.Remove(k) }

func (w *weighed[K, V]) resize(most int64) {
	w.most = most
	w.fit()
}

func (w *weighed[K, V]) fit() {
	for w.bytes > w.most {
		if _, _, ok := w.entries.RemoveOldest(); !ok {
			return
		}
	}
}
