package authn

import "github.com/hashicorp/golang-lru/v2/simplelru"

// newLRU returns a map that holds size entries at most and forgets the one that was
// not used for the longest time. Its user's lock guards it.
func newLRU[K comparable, V any](size int) *simplelru.LRU[K, V] {
	l, _ := simplelru.NewLRU[K, V](size, nil) // fails only for a size below 1
	return l
}
