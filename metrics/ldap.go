package metrics

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// LDAPEvent is something that happens to a directory and is counted, each under
// a name of its own.
type LDAPEvent int

// The events.
const (
	LDAPRetry            LDAPEvent = iota // a search was tried once more
	LDAPFailover                          // another server than before was asked
	LDAPAmbiguous                         // a name matched several entries
	LDAPAbsent                            // a known person is no longer there
	LDAPMassAbsence                       // more than five of them within a minute
	LDAPCanaryFailure                     // nobody was believed to be absent, since the canary was not seen either
	LDAPServiceBindFault                  // the service account was refused
	LDAPShared                            // a question was answered by one that ran already
	LDAPEvicted                           // a person was forgotten to make room for another
	ldapEvents
)

var ldapEventNames = [ldapEvents]struct{ name, help string }{
	LDAPRetry:            {"ldap_retries_total", "Searches that were tried once more."},
	LDAPFailover:         {"ldap_failovers_total", "Times that another server than before was asked."},
	LDAPAmbiguous:        {"ldap_ambiguous_total", "Logins that matched several entries."},
	LDAPAbsent:           {"ldap_absent_after_positive_total", "Known people that the directory no longer shows."},
	LDAPMassAbsence:      {"ldap_mass_absence_total", "Alarms: more than five known people were gone within a minute."},
	LDAPCanaryFailure:    {"ldap_canary_failures_total", "Times that a known person was not shown, and the canary neither: a fault of rights or config."},
	LDAPServiceBindFault: {"ldap_service_bind_failures_total", "Binds of the service account that were refused."},
	LDAPShared:           {"ldap_singleflight_shared_total", "Questions that were answered by one that ran already."},
	LDAPEvicted:          {"ldap_cache_evictions_total", "People forgotten because the cache was full: cache.max_people is too low."},
}

// LDAPServer is the state of one of a directory's servers.
type LDAPServer struct {
	URL      string // from the config
	Up       bool   // it answered when it was last asked
	Active   bool   // new questions go there
	Searches int    // open connections for searches
	Binds    int    // open connections for binds
	InFlight int    // questions that run there
}

// LDAPCache is the state of a directory's cache.
type LDAPCache struct {
	// Entries are what it holds, by cache: identity, negative, password, wrong_password.
	Entries map[string]int
	// OldestStale is the age of the oldest identity that is served although it is
	// no longer fresh; 0: none is.
	OldestStale time.Duration
}

// ldapMetrics are the counters, and who is asked for the gauges at a scrape.
type ldapMetrics struct {
	events    [ldapEvents]*prometheus.CounterVec
	dials     *prometheus.CounterVec
	binds     *prometheus.CounterVec
	operation *prometheus.HistogramVec

	mu      sync.Mutex
	sources []*ldapSource
}

// ldapSource tells the state of one directory. After a reload there may be two of
// one name for a while: the younger counts.
type ldapSource struct {
	directory string
	servers   func() []LDAPServer
	cache     func() LDAPCache
}

var (
	ldapUp          = gauge("ldap_up", "1: the server is in use or could be; 0: it is down.", "directory", "server")
	ldapActive      = gauge("ldap_active", "1: new questions go to this server.", "directory", "server")
	ldapConnections = gauge("ldap_connections", "Open connections.", "directory", "server", "kind")
	ldapInFlight    = gauge("ldap_in_flight", "Questions that run at the server now.", "directory", "server")
	cacheEntries    = gauge("ldap_cache_entries", "Entries in the caches before a directory.", "directory", "cache")
	oldestStale     = gauge("ldap_cache_oldest_stale_seconds", "Age of the oldest identity that is served stale now; 0: none is.", "directory")
)

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gatehouse_"+name, help, labels, nil)
}

func newLDAPMetrics() *ldapMetrics {
	m := &ldapMetrics{
		dials:     counter("ldap_dials_total", "Connections opened to LDAP servers, TLS and the service account's bind included.", "directory", "result"),
		binds:     counter("ldap_binds_total", "Passwords that were checked by a bind.", "directory", "result"),
		operation: histogram("ldap_operation_duration_seconds", "Time of one LDAP search or bind.", directoryBuckets, "directory", "server", "operation", "result"),
	}
	for i, event := range ldapEventNames {
		m.events[i] = counter(event.name, event.help, "directory")
	}
	return m
}

func (m *ldapMetrics) collectors() []prometheus.Collector {
	all := []prometheus.Collector{m, m.dials, m.binds, m.operation}
	for _, event := range m.events {
		all = append(all, event)
	}
	return all
}

// Describe is part of prometheus.Collector.
func (m *ldapMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{ldapUp, ldapActive, ldapConnections, ldapInFlight, cacheEntries, oldestStale} {
		ch <- desc
	}
}

// Collect asks every directory for its state.
func (m *ldapMetrics) Collect(ch chan<- prometheus.Metric) {
	send := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for _, s := range m.current() {
		if s.servers != nil {
			sendServers(send, s.directory, s.servers())
		}
		if s.cache != nil {
			state := s.cache()
			for name, n := range state.Entries {
				send(cacheEntries, float64(n), s.directory, name)
			}
			send(oldestStale, state.OldestStale.Seconds(), s.directory)
		}
	}
}

func sendServers(send func(*prometheus.Desc, float64, ...string), directory string, servers []LDAPServer) {
	seen := map[string]bool{}
	for _, server := range servers {
		if seen[server.URL] { // named twice in the config: one is enough
			continue
		}
		seen[server.URL] = true
		send(ldapUp, number(server.Up), directory, server.URL)
		send(ldapActive, number(server.Active), directory, server.URL)
		send(ldapConnections, float64(server.Searches), directory, server.URL, "search")
		send(ldapConnections, float64(server.Binds), directory, server.URL, "bind")
		send(ldapInFlight, float64(server.InFlight), directory, server.URL)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// current are the youngest sources of each directory, one for servers and one for the cache.
func (m *ldapMetrics) current() []*ldapSource {
	m.mu.Lock()
	defer m.mu.Unlock()
	type part struct {
		directory string
		cache     bool
	}
	youngest := map[part]*ldapSource{}
	for _, s := range m.sources {
		youngest[part{s.directory, s.cache != nil}] = s
	}
	var all []*ldapSource
	for _, s := range youngest {
		all = append(all, s)
	}
	return all
}

// watch adds a source until the returned function is called, and starts the
// directory's counters at 0, so that the first event of a kind is seen as one.
func (m *ldapMetrics) watch(s *ldapSource) (stop func()) {
	for _, event := range m.events {
		event.WithLabelValues(s.directory)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sources = append(m.sources, s)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.sources = slices.DeleteFunc(m.sources, func(other *ldapSource) bool { return other == s })
	}
}

// WatchLDAPServers shows the state of a directory's servers until stop is called.
// Servers is called at each scrape. The directory's faults are counted from 0, so that the
// first is seen as one.
func (m *Metrics) WatchLDAPServers(directory string, servers func() []LDAPServer) (stop func()) {
	if m == nil {
		return func() {}
	}
	for _, operation := range []string{"lookup", "login"} {
		m.directoryRequests.WithLabelValues(directory, operation, "fault")
	}
	return m.ldap.watch(&ldapSource{directory: directory, servers: servers})
}

// WatchLDAPCache shows the state of a directory's cache until stop is called.
func (m *Metrics) WatchLDAPCache(directory string, cache func() LDAPCache) (stop func()) {
	if m == nil {
		return func() {}
	}
	return m.ldap.watch(&ldapSource{directory: directory, cache: cache})
}

// LDAPEvent counts an event of a directory.
func (m *Metrics) LDAPEvent(directory string, event LDAPEvent) {
	if m != nil {
		m.ldap.events[event].WithLabelValues(directory).Inc()
	}
}

// LDAPDial counts a connection that was opened, or could not be; result is ok,
// refused (the service account was) or fault.
func (m *Metrics) LDAPDial(directory, result string) {
	if m != nil {
		m.ldap.dials.WithLabelValues(directory, result).Inc()
	}
}

// LDAPBind counts a password that was checked; result is ok, bad, locked,
// disabled, expired, must_change, refused (another reason) or fault.
func (m *Metrics) LDAPBind(directory, result string) {
	if m != nil {
		m.ldap.binds.WithLabelValues(directory, result).Inc()
	}
}

// LDAPOperation counts one search or bind at a server, by its URL in the config;
// result is ok, refused (an answer that is an error) or fault (no answer).
func (m *Metrics) LDAPOperation(directory, server, operation, result string, took time.Duration) {
	if m != nil {
		m.ldap.operation.WithLabelValues(directory, server, operation, result).Observe(took.Seconds())
	}
}
