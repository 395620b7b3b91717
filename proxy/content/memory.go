package content

import (
	"math"
	"strconv"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"gatehouse/metrics"
)

// overhead is what an entry takes beside its bytes: its digest, its places in a map and a
// list, and itself as it is given out.
const overhead = 1 << 10

// held is content in memory.
type held struct {
	body  []byte
	ready atomic.Pointer[ready] // as it was last given out; nil: it was not yet
}

// ready is an entry with the header of a label, so that a hit makes none.
type ready struct {
	label labelHandle
	entry *Entry
}

// as is the entry with the header of a label.
func (h *held) as(label labelHandle, digest string) *Entry {
	if r := h.ready.Load(); r != nil && r.label == label {
		return r.entry
	}
	e := &Entry{Digest: digest, Header: unlabel(label.Value(), digest), Size: int64(len(h.body)), Body: h.body}
	e.Header["Content-Length"] = []string{strconv.Itoa(len(h.body))}
	h.ready.Store(&ready{label, e})
	return e
}

// newLRU returns a map that holds size entries at most and forgets the one that was
// not used for the longest time.
func newLRU[K comparable, V any](size int) *simplelru.LRU[K, V] {
	l, _ := simplelru.NewLRU[K, V](size, nil) // fails only for a size below 1
	return l
}

// memory holds content by its digest, so many bytes of it. The Cache's lock guards it.
type memory struct {
	most, bytes int64 // with the overhead
	content     *simplelru.LRU[string, *held]
	metrics     *metrics.Metrics
}

func newMemory(most int64, m *metrics.Metrics) *memory {
	return &memory{most: most, content: newLRU[string, *held](math.MaxInt), metrics: m}
}

// get returns content, which nobody may change.
func (m *memory) get(digest string) (*held, bool) { return m.content.Get(digest) }

// put keeps content that was verified, where there is room for it at all.
func (m *memory) put(digest string, content []byte) {
	size := int64(len(content)) + overhead
	if size > m.most || m.content.Contains(digest) {
		return
	}
	m.content.Add(digest, &held{body: content})
	m.bytes += size
	m.fit()
}

// remove reports whether content was there.
func (m *memory) remove(digest string) bool {
	content, ok := m.content.Peek(digest)
	if ok {
		m.content.Remove(digest)
		m.bytes -= int64(len(content.body)) + overhead
		m.show()
	}
	return ok
}

// clear drops everything, and returns how much that was.
func (m *memory) clear() int {
	n := m.content.Len()
	m.content.Purge()
	m.bytes = 0
	m.show()
	return n
}

func (m *memory) show() { m.metrics.ContentSize("memory", m.content.Len(), m.bytes) }

// fit drops what was not used for the longest time until the rest has room.
func (m *memory) fit() {
	dropped := 0
	for m.bytes > m.most {
		_, content, ok := m.content.RemoveOldest()
		if !ok {
			break
		}
		m.bytes -= int64(len(content.body)) + overhead
		dropped++
	}
	m.metrics.ContentEvicted("memory", "space", dropped)
	m.show()
}
