package authn

import "context"

// cost says how much work one comparison is: bcrypt's cost, or argon2id's
// parameters (memory in KiB). Two hashes of equal cost take equal time.
type cost struct {
	bcrypt       int
	memory, time uint32
	threads      uint8
	size         uint32
}

// work is what one login has cost so far.
type work struct {
	// comparisons are those with hashes, by their cost, so that a refusal can make
	// those that others would have.
	comparisons map[cost]int
	asked       string // the directory that was asked about the password
	// remembered: a cache answered for the password, so that the login's time says
	// nothing of the directory.
	remembered bool
}

type workKey struct{}

// withWork returns the work of ctx, or a context with a new one.
func withWork(ctx context.Context) (context.Context, *work) {
	if w := workOf(ctx); w != nil {
		return ctx, w
	}
	w := &work{comparisons: map[cost]int{}}
	return context.WithValue(ctx, workKey{}, w), w
}

// workOf is nil where nobody asks.
func workOf(ctx context.Context) *work {
	w, _ := ctx.Value(workKey{}).(*work)
	return w
}

func (w *work) compared(c cost) {
	if w != nil {
		w.comparisons[c]++
	}
}

func (w *work) ask(directory string) {
	if w != nil {
		w.asked = directory
	}
}

func (w *work) recall() {
	if w != nil {
		w.remembered = true
	}
}
