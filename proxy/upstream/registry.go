package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/authn"
	"gatehouse/metrics"
)

// Registry is one registry, at one or more addresses that are the same to ask: requests
// go to the healthy one that has the least in flight. It is safe for concurrent use.
type Registry struct {
	name      string
	identity  string
	addresses []*address
	order     ordering

	mu   sync.Mutex // of choosing
	turn int        // where looking for the next address begins
}

// address is one of a registry's, and how it is.
type address struct {
	*Upstream
	shown string // as the config has it
	state *state
}

// NewRegistry makes a registry of an entry. Its error joins *authn.KeyError values whose
// keys are relative to the entry. It dials nothing. Nil states are new ones, and metrics
// may be nil.
func NewRegistry(e Entry, states *States, m *metrics.Metrics) (*Registry, error) {
	if states == nil {
		states = NewStates()
	}
	r := &Registry{name: e.Name}
	var faults authn.Faults
	for _, cfg := range e.Addresses() {
		u, err := New(cfg, m)
		if err != nil {
			faults.Join(err)
			continue
		}
		u.name = e.Name
		r.identity += cfg.URL + "\x00" + cfg.Username + "\x00" + cfg.CertFile.Name + "\x00"
		r.addresses = append(r.addresses, &address{u, cfg.URL, states.of(e.Name, cfg.URL)})
	}
	return r, faults.Err()
}

// Close lets go of idle connections. Requests that still run end normally.
func (r *Registry) Close() {
	for _, a := range r.addresses {
		a.Upstream.Close()
	}
}

// Name is the config's.
func (r *Registry) Name() string { return r.name }

// Identity is where the registry is and who we are there: what it says counts no more
// where that is another one.
func (r *Registry) Identity() string { return r.identity }

// BlobMount is whether mounts are passed on.
func (r *Registry) BlobMount() BlobMount { return r.addresses[0].BlobMount() }

// Do asks for one thing, as Upstream.Do does. Where there was no connection, or no header
// of an answer came, what has no body is tried once more at another address.
func (r *Registry) Do(ctx context.Context, q Request) (*Response, error) {
	first := r.choose(nil)
	resp, err := first.try(ctx, q)
	if err == nil {
		return resp, nil
	}
	failed := new(Error)
	if len(r.addresses) == 1 || q.Aside || q.Body != nil || ctx.Err() != nil || !errors.As(err, &failed) || failed.Status != 0 {
		return resp, err
	}
	q.Header = q.Header.Clone() // who sent it first may still be reading it
	sent := failed.Sent
	resp, err = r.choose(first).try(ctx, q)
	if errors.As(err, &failed) {
		failed.Sent = failed.Sent || sent
	}
	return resp, err
}

// choose takes the best address but one, and counts a request as in flight there.
func (r *Registry) choose(but *address) *address {
	r.mu.Lock()
	defer r.mu.Unlock()
	var best *address
	var bestUntil time.Time
	for i := range r.addresses {
		a := r.addresses[(r.turn+i)%len(r.addresses)]
		if a == but {
			continue
		}
		until := a.state.aside()
		if best == nil || until.Before(bestUntil) || until.Equal(bestUntil) && a.state.inFlight.Load() < best.state.inFlight.Load() {
			best, bestUntil = a, until
		}
	}
	r.turn++
	best.state.inFlight.Add(1)
	return best
}

// try sends a request that is counted as in flight already.
func (a *address) try(ctx context.Context, q Request) (*Response, error) {
	began := time.Now()
	resp, err := a.Do(ctx, q)
	if !q.Aside {
		a.judge(ctx, began, resp, err)
	}
	if err != nil {
		a.state.inFlight.Add(-1)
		return nil, err
	}
	resp.Body = &heldBody{ReadCloser: resp.Body, state: a.state}
	return resp, nil
}

// judge counts what a request says of the address, which has its answer or its error.
func (a *address) judge(ctx context.Context, began time.Time, resp *Response, err error) {
	status := 0
	if err == nil {
		status = resp.Status
	}
	o := verdictOf(ctx, status, err)
	if o != good && err == nil {
		err = fmt.Errorf("the last of several answers was %d", status)
	}
	a.state.blame(o, err)
	a.state.take(began, o)
}

// heldBody is an answer's body, whose request is in flight until it is closed.
type heldBody struct {
	io.ReadCloser
	state  *state
	closed atomic.Bool
}

// Close ends the answer.
func (b *heldBody) Close() error {
	if b.closed.CompareAndSwap(false, true) {
		b.state.inFlight.Add(-1)
	}
	return b.ReadCloser.Close()
}

// Move is that of the body within, where it has one.
func (b *heldBody) Move(announce func(n int) (until time.Time), to io.ReaderFrom) (did bool, err error) {
	if within, ok := b.ReadCloser.(Mover); ok {
		return within.Move(announce, to)
	}
	return false, nil
}

// Health is how one address is.
type Health struct {
	// Address is the URL of the config.
	Address string
	// Err is what is wrong with it; nil: it is healthy.
	Err error
}

// Health tells what is known, without asking.
func (r *Registry) Health() []Health {
	list := make([]Health, len(r.addresses))
	for i, a := range r.addresses {
		list[i].Address = a.shown
		if until := a.state.aside(); !until.IsZero() {
			list[i].Err = fmt.Errorf("put aside until %s: %w", until.Format(time.TimeOnly), a.state.why())
		}
	}
	return list
}

// Look asks every address for the API's base, all at once.
func (r *Registry) Look(ctx context.Context) []Health {
	errs := make([]error, len(r.addresses))
	r.look(ctx, func(*address) bool { return true }, errs)
	list := r.Health()
	for i, err := range errs {
		if err != nil {
			list[i].Err = err
		}
	}
	return list
}

// BringBack asks those addresses whose time aside is over.
func (r *Registry) BringBack(ctx context.Context) {
	now := time.Now()
	r.look(ctx, func(a *address) bool {
		until := a.state.aside()
		return !until.IsZero() && !now.Before(until)
	}, make([]error, len(r.addresses)))
}

// lookLimit is how long an address may take to answer a look at it.
const lookLimit = 3 * time.Second

func (r *Registry) look(ctx context.Context, wanted func(*address) bool, errs []error) {
	var looking sync.WaitGroup
	for i, a := range r.addresses {
		if !wanted(a) {
			continue
		}
		looking.Go(func() {
			limited, cancel := context.WithTimeout(ctx, lookLimit)
			defer cancel()
			errs[i] = a.Ready(limited)
			o := lookVerdict(ctx, errs[i])
			a.state.blame(o, errs[i])
			a.state.looked(o)
		})
	}
	looking.Wait()
}

// lookVerdict is what a look says of an address: all but a registry's good answer is a
// fault, and so is one that takes too long.
func lookVerdict(ctx context.Context, err error) verdict {
	switch o := verdictOf(ctx, 0, err); {
	case err == nil:
		return good
	case ctx.Err() != nil:
		return nothing
	case o == unreachable:
		return unreachable
	}
	return fault
}
