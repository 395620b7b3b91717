package proxy

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/authz"
	"gatehouse/proxy/content"
	"gatehouse/proxy/freeze"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/shadow"
	"gatehouse/proxy/ui"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens/store"
)

// Limits bound what clients can take from everybody else. DefaultLimits is safe
// for a gateway in the open; what is 0 in a cap is off.
type Limits struct {
	listener.Limits
	// HeaderFields is how many fields a request may have; above: 431. Default 100.
	HeaderFields int `yaml:"header_fields" min:"20" max:"10000"`
	// FormBytes is how many bytes a realm form or query may have; above: 413. Default 131072.
	FormBytes int `yaml:"form_bytes" min:"20480" max:"131072"`
	// Scopes is how many scopes a realm request may ask for; above: 400. Default 1000.
	Scopes int `yaml:"scopes" min:"1" max:"1000"`
	// MinRate is how many bytes a second a body must move, averaged over a
	// minute; slower ones are cut. 0: any progress within a minute. Default 1024.
	MinRate int `yaml:"min_rate" min:"0" max:"16777216"`
	// UploadsPerUser is how many requests that write (uploads and manifests) one person,
	// or one anonymous network, may have in flight; above: 429. 0: any number. Default 256.
	UploadsPerUser int `yaml:"uploads_per_user" min:"0" max:"16777216"`
	// RequestsPerUser is the same for requests under /v2/ of any kind. Default 0.
	RequestsPerUser int `yaml:"requests_per_user" min:"0" max:"16777216"`
	// Requests is how many requests under /v2/ that the policy allows may be in flight
	// in all: each may hold a buffer and a connection to the upstream, and HTTP/2 puts
	// many on one connection. Above: 429; 0: any number. Default 10000.
	Requests int `yaml:"requests" min:"0" max:"16777216"`
	// AnonymousRequests is the same for anonymous callers of one address (IPv6: a /64).
	// Default 1024.
	AnonymousRequests int `yaml:"anonymous_requests" min:"0" max:"16777216"`
	// RealmRequests is how many requests to the token realm without Basic credentials
	// one address (IPv6: a /64) may have in flight: forms, of which some have none
	// either, and what is asked for nobody. Above: 429; 0: any number. Default 1024.
	RealmRequests int `yaml:"realm_requests" min:"0" max:"16777216"`
	// ManifestBytes is how many bytes of manifests, which are read whole, may be held
	// in all, and a quarter of it for one person; above: 429. Less than 4 MiB counts as
	// that; 0: any number. Default 268435456.
	ManifestBytes int `yaml:"manifest_bytes" min:"0" max:"1099511627776"`
}

// Descriptors is how many open files these limits let clients make the process
// need: one for each connection, and one to the upstream for each request.
func (l *Limits) Descriptors() uint64 {
	const own = 100                                    // listeners, directories, files
	requests := l.Connections * max(l.HTTP2Streams, 1) // 0: any number, and none to reckon with
	if l.Requests > 0 && (requests == 0 || requests > l.Requests) {
		requests = l.Requests
	}
	return uint64(l.Connections + requests + own)
}

// Defaults are what the config file may leave out.
func (l *Limits) Defaults() { *l = DefaultLimits() }

// DefaultLimits are those of the contract, and caps that no honest client meets:
// a whole cluster behind one address that pulls as one user is not held up.
func DefaultLimits() Limits {
	return Limits{Limits: listener.DefaultLimits(), HeaderFields: 100, FormBytes: 128 << 10, Scopes: 1000, MinRate: 1 << 10, UploadsPerUser: 256,
		Requests: 10_000, AnonymousRequests: 1024, RealmRequests: 1024, ManifestBytes: 256 << 20}
}

// progressNeeded is how many bytes must move in a progressWindow.
func (l *Limits) progressNeeded() int { return l.MinRate * int(progressWindow/time.Second) }

// maxManifest is how large a manifest may be, in bytes.
const maxManifest = 4 << 20

// Load is what is in flight at this moment. It outlives reloads; the caps that it
// is held against are those of the Gateway that asks.
type Load struct {
	open      *listener.Connections
	leaving   listener.Leaving
	ids       ids
	addresses *upstream.States
	turns     *turns
	tags      localHolds
	holds     sharedHolds
	counts    authz.Counts
	freeze    freeze.State
	trial     shadow.Table
	news      news

	connections, requests, manifestBytes total // of the limits of those names

	mu     sync.Mutex
	folder *content.Folder // of the cache; nil: none
	kept   *content.Cache  // of the Gateway that was taken last
	paged  *ui.Memory      // the same for the pages
	held   map[holder]int
	named  map[netip.Addr]time.Time // when the log last named a proxy whose clients have no address
}

// holder is who is held to a limit: one person, or one network.
type holder struct {
	limit               string // its key
	directory, username string
	network, via        netip.Addr // of the anonymous caller, or the proxy that did not say
}

// holding is a part of what a limit gives, taken until release.
type holding struct {
	holder
	n int
}

// total is how much is in flight of what all share: every request takes some, so it is no
// entry of a map under a lock.
type total struct{ n atomic.Int64 }

// add adds to it, or reports that it would be more than most.
func (t *total) add(n, most int) bool {
	for {
		now := t.n.Load()
		if now+int64(n) > int64(most) {
			return false
		}
		if t.n.CompareAndSwap(now, now+int64(n)) {
			return true
		}
	}
}

// share is a part of a total, taken until release.
type share struct {
	of *total
	n  int
}

// NewLoad returns an empty one.
func NewLoad() *Load {
	l := &Load{open: listener.NewConnections(), addresses: upstream.NewStates(), turns: newTurns(), held: map[holder]int{}, named: map[netip.Addr]time.Time{}}
	l.holds.local, l.holds.times = &l.tags, usualLease
	return l
}

// Share has tags held in a store too, so that gateways that share it hold them together, and
// those told there of what changes; Gossip has to run then. It is called before the first
// Gateway is taken.
func (l *Load) Share(s *store.Store) {
	l.holds.shared.Store(s)
	l.news = newNews()
}

// Counts are how many requests each rule decided.
func (l *Load) Counts() *authz.Counts { return &l.counts }

// Freeze is what is closed to pushes and deletes.
func (l *Load) Freeze() *freeze.State { return &l.freeze }

// Leave makes every answer that begins from now on the last of its connection.
func (l *Load) Leave() { l.leaving.Begin() }

// Settle waits until no client is connected any more, or ctx ends, but not for long; see
// listener.Connections.
func (l *Load) Settle(ctx context.Context) { l.open.Settle(ctx) }

// content is the cache that is kept over reloads; nil: there is none.
func (l *Load) content() *content.Cache {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept
}

// pages is what is kept over reloads of the pages; nil: there are none.
func (l *Load) pages() *ui.Memory {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paged
}

func (l *Load) keepPages(m *ui.Memory) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paged = m
}

// keep makes a cache the one that is kept.
func (l *Load) keep(c *content.Cache) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept = c; c != nil {
		c.Use(l.folder)
	}
}

// UseFolder has the cache keep larger blobs there. It is called before the first Gateway is
// taken, and Tend has to run then.
func (l *Load) UseFolder(f *content.Folder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.folder = f
}

// Content is the cache of the config that is served; nil: it has none.
func (l *Load) Content() *content.Cache { return l.content() }

// Tend looks after what is kept on disk until ctx ends, and gives it up then.
func (l *Load) Tend(ctx context.Context) { l.content().Tend(ctx) }

// acquire adds to what is held, or reports that it would be more than most.
func (l *Load) acquire(h holding, most int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[h.holder]+h.n > most {
		return false
	}
	l.held[h.holder] += h.n
	return true
}

func (l *Load) give(h holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[h.holder] -= h.n; l.held[h.holder] == 0 {
		delete(l.held, h.holder)
	}
}

// maxNamed is how many proxies are remembered.
const maxNamed = 256

// tell reports whether a proxy is to be named now: once a minute.
func (l *Load) tell(proxy netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if last, ok := l.named[proxy]; ok && now.Sub(last) < time.Minute {
		return false
	}
	if len(l.named) >= maxNamed {
		clear(l.named)
	}
	l.named[proxy] = now
	return true
}
