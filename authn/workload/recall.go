package workload

import lru "github.com/hashicorp/golang-lru/v2"

// mostRecalled is how many texts a Recall remembers.
const mostRecalled = 2048

// Recall remembers what the claims that tokens carry came out as: who shows a token shows
// it again and again. It is safe for concurrent use.
type Recall[T any] struct {
	known *lru.Cache[string, recalled[T]]
	read  func(carried string) (T, error)
}

// recalled is what one text came out as.
type recalled[T any] struct {
	value T
	err   error
}

// NewRecall returns one that reads texts so. The outcome must hang on nothing else.
func NewRecall[T any](read func(carried string) (T, error)) *Recall[T] {
	known, _ := lru.New[string, recalled[T]](mostRecalled) // fails only for a size below 1
	return &Recall[T]{known, read}
}

// Of is what a Proof's Carried comes out as.
func (r *Recall[T]) Of(carried string) (T, error) {
	found, ok := r.known.Get(carried)
	if !ok {
		found.value, found.err = r.read(carried)
		r.known.Add(carried, found)
	}
	return found.value, found.err
}
