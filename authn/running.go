package authn

// running says what is being checked now under each key, and how many times
// over. Each may turn out to be a failure, so that logins side by side must not
// overrun what those one after the other may do.
type running[K comparable] map[K]map[digest]int

func (r running[K]) begin(key K, what digest) {
	if r[key] == nil {
		r[key] = map[digest]int{}
	}
	r[key][what]++
}

func (r running[K]) end(key K, what digest) {
	all := r[key]
	if all[what]--; all[what] <= 0 {
		delete(all, what)
	}
	if len(all) == 0 {
		delete(r, key)
	}
}
