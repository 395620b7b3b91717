package proxy

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"gatehouse/authn"
	"gatehouse/authz"
)

// Limits bound what clients can take from everybody else. DefaultLimits is safe
// for a gateway in the open; what is 0 in a cap is off.
type Limits struct {
	// HeaderTimeout is the time from accept to the end of a request's header, the TLS
	// handshake included, and for a realm form. Default 10s.
	HeaderTimeout time.Duration `yaml:"header_timeout" min:"1s" max:"5m"`
	// HeaderFields is how many fields a request may have; above: 431. Default 100.
	HeaderFields int `yaml:"header_fields" min:"20" max:"10000"`
	// HeaderBytes is how many bytes all of its fields may have (a token has up to 16
	// KiB); above: 431. Default 32768.
	HeaderBytes int `yaml:"header_bytes" min:"20480" max:"1048576"`
	// HTTP2Streams is how many streams a connection may have open; 0: no HTTP/2. Default 100.
	HTTP2Streams int `yaml:"http2_streams" min:"0" max:"100"`
	// FormBytes is how many bytes a realm form or query may have; above: 413. Default 131072.
	FormBytes int `yaml:"form_bytes" min:"20480" max:"131072"`
	// Scopes is how many scopes a realm request may ask for; above: 400. Default 1000.
	Scopes int `yaml:"scopes" min:"1" max:"1000"`
	// MinRate is how many bytes a second a body must move, averaged over a
	// minute; slower ones are cut. 0: any progress within a minute. Default 1024.
	MinRate int `yaml:"min_rate" min:"0" max:"16777216"`
	// Connections is how many may be open in all; 0: any number. Default 10000.
	Connections int `yaml:"connections" min:"0" max:"16777216"`
	// ConnectionsPerAddress is how many may be open from one address (IPv6: a /64) that
	// is no trusted proxy; 0: any number. Default 4096.
	ConnectionsPerAddress int `yaml:"connections_per_address" min:"0" max:"16777216"`
	// UploadsPerUser is how many requests that write (uploads and manifests) one person,
	// or one anonymous network, may have in flight; above: 429. 0: any number. Default 256.
	UploadsPerUser int `yaml:"uploads_per_user" min:"0" max:"16777216"`
	// RequestsPerUser is the same for requests under /v2/ of any kind. Default 0.
	RequestsPerUser int `yaml:"requests_per_user" min:"0" max:"16777216"`
}

// Defaults are what the config file may leave out.
func (l *Limits) Defaults() { *l = DefaultLimits() }

// DefaultLimits are those of the contract, and caps that no honest client meets:
// a whole cluster behind one address that pulls as one user is not held up.
func DefaultLimits() Limits {
	return Limits{HeaderTimeout: 10 * time.Second, HeaderFields: 100, HeaderBytes: 32 << 10, HTTP2Streams: 100, FormBytes: 128 << 10,
		Scopes: 1000, MinRate: 1 << 10, Connections: 10_000, ConnectionsPerAddress: 4096, UploadsPerUser: 256}
}

// progressNeeded is how many bytes must move in a progressWindow.
func (l *Limits) progressNeeded() int { return l.MinRate * int(progressWindow/time.Second) }

// Load is what is in flight at this moment. It outlives reloads; the caps that it
// is held against are those of the Gateway that asks.
type Load struct {
	mu        sync.Mutex
	all       int
	addresses map[netip.Addr]int
	people    map[holder]int
	tell      *rate.Limiter // of the log's lines about refused connections

	unreadable *rate.Limiter // of the log's lines about clients without an address
}

// holder is one person with one kind of request.
type holder struct {
	kind                string // uploads_per_user or requests_per_user
	directory, username string
	network, via        netip.Addr // of the anonymous caller, or the proxy that did not say
}

// NewLoad returns an empty one.
func NewLoad() *Load {
	return &Load{addresses: map[netip.Addr]int{}, people: map[holder]int{}, tell: rate.NewLimiter(0.2, 5),
		unreadable: rate.NewLimiter(rate.Every(time.Minute), 1)}
}

// connect counts a connection, or names the limit that it is over. The zero
// address is under no limit of its own.
func (l *Load) connect(from netip.Addr, limits *Limits) (over string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case limits.Connections > 0 && l.all >= limits.Connections:
		return "connections"
	case limits.ConnectionsPerAddress > 0 && from.IsValid() && l.addresses[from] >= limits.ConnectionsPerAddress:
		return "connections_per_address"
	}
	l.all++
	if from.IsValid() {
		l.addresses[from]++
	}
	return ""
}

func (l *Load) disconnect(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if !from.IsValid() {
		return
	}
	if l.addresses[from]--; l.addresses[from] == 0 {
		delete(l.addresses, from)
	}
}

func (l *Load) enter(h holder, limit int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.people[h] >= limit {
		return false
	}
	l.people[h]++
	return true
}

func (l *Load) leave(h holder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.people[h]--; l.people[h] == 0 {
		delete(l.people, h)
	}
}

// hold counts the request against its person's caps until release.
func (g *Gateway) hold(x *exchange) error {
	writes := x.route.Need.Action == authz.Push
	for _, c := range [...]struct {
		kind  string
		limit int
		held  *bool
	}{{"requests_per_user", g.limits.RequestsPerUser, &x.holdsRequest}, {"uploads_per_user", g.limits.UploadsPerUser, &x.holdsUpload}} {
		if c.limit <= 0 || c.held == &x.holdsUpload && !writes {
			continue
		}
		if !g.load.enter(x.holder(c.kind), c.limit) {
			return &authn.ThrottledError{RetryAfter: time.Second, Limit: c.kind}
		}
		*c.held = true
	}
	return nil
}

// release ends what hold began.
func (g *Gateway) release(x *exchange) {
	if x.holdsRequest {
		g.load.leave(x.holder("requests_per_user"))
	}
	if x.holdsUpload {
		g.load.leave(x.holder("uploads_per_user"))
	}
}

func (x *exchange) holder(kind string) holder {
	id := &x.caller.identity
	h := holder{kind: kind, directory: id.Directory, username: id.Username}
	if id.Anonymous() {
		h.network, h.via = networkOf(x.peer.client), x.peer.via()
	}
	return h
}

// networkOf is what one client can be told apart by: an IPv4 address, or an IPv6 /64.
func networkOf(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	p, _ := a.Prefix(64) // fails for no bits that an IPv6 address lacks
	return p.Addr()
}
