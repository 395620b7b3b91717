package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/authn"
	"gatehouse/cmd/gatehouse/assembly"
	"gatehouse/cmd/gatehouse/sockets"
	"gatehouse/metrics"
	"gatehouse/proxy"
	"gatehouse/proxy/audit"
	"gatehouse/tokens"
	"gatehouse/tokens/personal"
	"gatehouse/tokens/store"
)

const certificatePeriod = time.Minute

// server is the running gateway.
type server struct {
	path      string
	shared    *assembly.Shared
	log       *slog.Logger
	level     *slog.LevelVar
	audit     *audit.Stream
	current   atomic.Pointer[assembly.Snapshot]
	draining  atomic.Bool
	public    *http.Server
	plain     *http.Server // of listen.http_address
	sockets   *sockets.Set
	accepting sync.WaitGroup // the loops that accept clients' connections
	orders    *orders        // of certificates
	notify    sockets.Notify
	store     *store.Store  // nil: the config names none
	loginTime time.Duration // in which it has to count a login
	saved     time.Time     // when the last uses of tokens were written
	swept     time.Time     // when all tokens were looked through
}

func newServer(path string, out streams) *server {
	m := metrics.New(buildInfo())
	a := audit.New(audit.Options{Stdout: out.stdout, Log: out.log, Metrics: m, Replace: audit.Clip})
	s := &server{path: path, log: out.log, level: out.level, audit: a, loginTime: store.LoginTime,
		shared: &assembly.Shared{Metrics: m, Access: out.access, Audit: a.Records(), Logger: out.log, Load: proxy.NewLoad(),
			Throttle: authn.NewThrottle(authn.ThrottleConfig{}), Refusals: authn.NewRefusalTime(), Hasher: authn.NewHasher(1),
			Revoker: tokens.NewRevoker(out.log, nil), Version: buildInfo().Version}}
	s.shared.Personal = personal.NewBook(s.shared.Revoker, nil)
	s.shared.Healthy, s.shared.Listening = s.healthy, s.listening
	m.UpstreamsHealthy(func(show func(upstream, address string, healthy bool)) {
		s.withGateway(func(g *proxy.Gateway) {
			g.Healthy(func(upstream, address string, err error) { show(upstream, address, err == nil) })
		})
	})
	m.WatchTokens(s.countTokens)
	m.WatchStore(s.storeUp)
	m.WatchFrozen(func() bool { return s.shared.Load.Freeze().Now() != nil })
	m.WatchKeys(s.keyAges)
	return s
}

// serveHTTP gives a request the snapshot of this moment, for all of its life.
func (s *server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	sn := s.acquire()
	defer sn.Release()
	sn.Gateway.ServeHTTP(w, r)
}

// servePlain does so for a request to listen.http_address.
func (s *server) servePlain(w http.ResponseWriter, r *http.Request) {
	sn := s.acquire()
	defer sn.Release()
	sn.Gateway.ServePlain(w, r)
}

func (s *server) acquire() *assembly.Snapshot {
	for {
		if sn := s.current.Load(); sn.Acquire() {
			return sn
		}
	}
}

// accept takes a connection as the snapshot of the moment says; nil: it is closed.
func (s *server) accept(raw net.Conn) net.Conn {
	sn := s.acquire()
	defer sn.Release()
	conn := sn.Gateway.Accepted(raw)
	if conn == nil || sn.TLS == nil {
		return conn
	}
	return tls.Server(conn, sn.TLS) // the server knows TLS by this type
}

// acceptPlain takes one of listen.http_address.
func (s *server) acceptPlain(raw net.Conn) net.Conn {
	sn := s.acquire()
	defer sn.Release()
	return sn.Gateway.Accepted(raw)
}

// watchCertificate looks each minute whether the pairs' files have changed, and those of
// revoked certificates.
func (s *server) watchCertificate(ctx context.Context) error {
	return every(ctx, certificatePeriod, s.lookAtCertificate)
}

// every calls do each period, until ctx ends.
func every(ctx context.Context, period time.Duration, do func()) error {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			do()
		}
	}
}

func (s *server) lookAtCertificate() {
	sn := s.acquire()
	defer sn.Release()
	if sn.Certificates == nil {
		return
	}
	if err := sn.ReloadLists(); err != nil {
		s.log.Error("a new list of revoked certificates cannot be used; the old one stays", "error", err.Error())
	}
	changed, err := sn.Certificates.Reload()
	if err != nil {
		s.log.Error("a new certificate cannot be used; the old one stays", "error", err.Error())
	}
	if changed {
		s.log.Info("certificate changed")
	}
}

// health is one check of /readyz. One for information never makes it 503.
type health struct {
	name        string
	problem     string
	information bool
}

// healthy is readyz for the public listener: a word, and no names.
func (s *server) healthy(ctx context.Context) bool { return len(failures(s.checks(ctx))) == 0 }

// failures are the names of checks that failed and are no information.
func failures(checks []health) (names []string) {
	for _, c := range checks {
		if c.problem != "" && !c.information {
			names = append(names, c.name)
		}
	}
	return names
}

// checks are made on the snapshot of the moment. Without one there would be no
// config and no keys, so those two always hold here.
func (s *server) checks(ctx context.Context) []health {
	sn := s.acquire()
	defer sn.Release()
	list := []health{{name: "config"}, {name: "keys"}, {name: "draining"}, checkFreeze(s.shared.Load)}
	list = append(list, checkCertificates(sn.Certificates)...)
	if s.draining.Load() {
		list[2].problem = "the gateway is being shut down"
	} else {
		list = append(list, checkUpstreams(sn.Gateway.Ready(ctx))...)
	}
	for _, d := range sn.Directories {
		h := health{name: "directory " + d.Name, information: true}
		if d.LDAP != nil && !d.LDAP.Available() {
			h.problem = "at fault"
		}
		list = append(list, h)
	}
	return append(list, s.storeHealth()...)
}
