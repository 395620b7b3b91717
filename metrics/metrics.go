// Package metrics holds every number that Gatehouse shows to Prometheus: its
// name, help, labels and buckets stand here and nowhere else.
//
// A *Metrics owns a registry of its own, so nothing that a library puts into
// Prometheus' default registry reaches our endpoint. Every method may be called
// on a nil *Metrics and then does nothing, so a package that counts needs no
// metrics in its tests.
//
// No label ever takes a repository, a tag, a user or a client's address: each label's
// values are a small closed set, whatever a client sends.
package metrics

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// BuildInfo is what gatehouse_build_info says of the running binary.
type BuildInfo struct {
	Version, Commit, GoVersion string // as `gatehouse version` shows them
}

// Metrics is the set of all metrics, safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	requests         *prometheus.CounterVec
	requestDuration  *timings
	requestsInFlight prometheus.Gauge

	tokenRequests    *prometheus.CounterVec
	tokenValidations *prometheus.CounterVec
	credentials      *prometheus.CounterVec
	storeRequests    *prometheus.CounterVec
	keyFetches       *prometheus.CounterVec
	uiLogins         *prometheus.CounterVec
	decisions        *prometheus.CounterVec
	shadowDecisions  *prometheus.CounterVec

	directoryRequests *prometheus.CounterVec
	directoryDuration *prometheus.HistogramVec
	cacheRequests     *prometheus.CounterVec

	ldap    *ldapMetrics
	content *contentMetrics

	upstreamRequests *prometheus.CounterVec
	upstreamDuration *prometheus.HistogramVec
	upstreamHealthy  *upstreamHealthy

	uiUpstreamRequests *prometheus.CounterVec

	limitsReached *prometheus.CounterVec
	auditRecords  *prometheus.CounterVec

	configReloads *prometheus.CounterVec
	certificates  *certificates
	acmeOrders    *prometheus.CounterVec

	bound bound
}

// longBuckets reach from a cached manifest to a layer that takes an hour:
// Prometheus' default buckets end at ten seconds, where pushes begin.
var longBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}

// directoryBuckets end where a lookup's time limit usually does.
var directoryBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// methods are the request methods that have a label value of their own.
var methods = map[string]bool{
	"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true,
	"TRACE": true, "CONNECT": true,
}

// New returns the metrics, with the Go runtime's and the process' own beside ours.
func New(build BuildInfo) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.requests = counter("http_requests_total", "Requests answered on the public listener.", "route", "method", "code")
	m.requestDuration = newTimings(histogram("http_request_duration_seconds", "Time from a request's headers to the end of its answer.", longBuckets, "route"), longBuckets)
	m.requestsInFlight = prometheus.NewGauge(prometheus.GaugeOpts{Name: "gatehouse_http_requests_in_flight", Help: "Requests being answered now."})
	m.tokenRequests = counter("token_requests_total", "Requests to the token realm.", "grant", "result")
	for _, result := range []string{"granted", "refused", "throttled", "unavailable"} {
		m.tokenRequests.WithLabelValues("basic", result) // so that a first wave of refusals is seen as one
	}
	m.credentials, m.keyFetches = counter("credentials_total", "Passwords and tokens that were shown at a login.", "kind", "result"), newKeyFetches()
	m.storeRequests = counter("store_requests_total", "Requests to the store.", "operation", "result")
	m.tokenValidations = counter("token_validations_total", "Bearer tokens presented under /v2/.", "result")
	m.decisions, m.shadowDecisions = newDecisions(m.registry)
	m.directoryRequests = counter("directory_requests_total", "Questions that reached a directory.", "directory", "operation", "result")
	m.directoryDuration = histogram("directory_request_duration_seconds", "Time a directory took to answer.", directoryBuckets, "directory", "operation")
	m.cacheRequests = counter("cache_requests_total", "Look-ups in our caches.", "cache", "result")
	m.ldap = newLDAPMetrics()
	m.registry.MustRegister(m.ldap.collectors()...)
	m.content = newContentMetrics()
	m.registry.MustRegister(m.content.collectors()...)
	m.upstreamRequests = counter("upstream_requests_total", "Requests sent to an upstream; code 0 is no answer.", "upstream", "code")
	m.upstreamDuration = histogram("upstream_request_duration_seconds", "Time until the upstream sent its response headers.", longBuckets, "upstream")
	m.upstreamHealthy = newUpstreamHealthy()
	m.uiUpstreamRequests, m.uiLogins = newUIUpstreamRequests(), newUILogins(m.registry)
	m.limitsReached = counter("limit_reached_total", "Requests and connections that were refused, cut or held up by a limit.", "limit")
	for _, limit := range Limits {
		m.limitsReached.WithLabelValues(limit)
	}
	m.auditRecords = counter("audit_records_total", "Records of the audit stream.", "result")
	for _, result := range []string{"written", "left_out", "failed"} {
		m.auditRecords.WithLabelValues(result)
	}
	m.bind()
	m.configReloads = counter("config_reloads_total", "Reloads of the configuration.", "result")
	m.certificates = &certificates{desc: prometheus.NewDesc("gatehouse_tls_certificate_not_after_seconds", "Ends of the certificates that are served, in seconds since 1970.", []string{"name"}, nil)}
	m.acmeOrders = counter("acme_orders_total", "Orders of certificates at the ACME server.", "result")
	for _, result := range []string{"ok", "failed"} {
		m.acmeOrders.WithLabelValues(result)
	}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "gatehouse_build_info", Help: "Always 1; the labels say which build this is."}, []string{"version", "commit", "goversion"})
	info.WithLabelValues(build.Version, build.Commit, build.GoVersion).Set(1)
	for _, result := range []string{"ok", "failed"} {
		m.configReloads.WithLabelValues(result)
	}
	m.registry.MustRegister(m.requests, m.requestDuration, m.requestsInFlight, m.tokenRequests, m.tokenValidations, m.credentials, m.keyFetches, m.storeRequests,
		m.directoryRequests, m.directoryDuration, m.cacheRequests, m.upstreamRequests, m.upstreamDuration, m.upstreamHealthy,
		m.uiUpstreamRequests, m.limitsReached, m.auditRecords, m.configReloads, m.certificates, m.acmeOrders, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func newKeyFetches() *prometheus.CounterVec {
	return counter("oidc_key_fetches_total", "Questions to issuers of ID tokens for their keys.", "directory", "result")
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatehouse_" + name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gatehouse_" + name, Help: help, Buckets: buckets}, labels)
}

// Handler answers a scrape, in the OpenMetrics format where it is asked for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// RequestStarted counts a request on the public listener as in flight.
// Each call is paired with one RequestDone.
func (m *Metrics) RequestStarted() {
	if m != nil {
		m.requestsInFlight.Inc()
	}
}

// RequestDone counts an answered request. Route is one of base, manifest, blob,
// upload, tags, referrers, catalog, realm, other; an unknown method counts as other. ID is the
// request's, shown as an exemplar of its duration.
func (m *Metrics) RequestDone(id, route, method string, code int, took time.Duration) {
	if m == nil {
		return
	}
	if !methods[method] {
		method = "other"
	}
	m.requestsInFlight.Dec()
	m.bound.requests.of(requestLabels{route, method, code}).Inc()
	m.requestDuration.routes.of(route).observe(id, took.Seconds())
}

// Credential counts a login, at the realm or by Basic under /v2/. Kind is password,
// personal, machine, oidc, certificate or refresh; result is ok, malformed, unknown,
// expired, revoked, owner (gone, or no longer the same), mismatch (a wrong password, or
// a wrong network), throttled or unavailable.
func (m *Metrics) Credential(kind, result string) {
	if m != nil {
		m.credentials.WithLabelValues(kind, result).Inc()
	}
}

// TokenRequest counts a request to the realm. Grant is basic, password, refresh,
// anonymous, exchange, or the kind of token that was shown: personal, machine or oidc; result is granted, refused, throttled, unavailable or invalid.
func (m *Metrics) TokenRequest(grant, result string) {
	if m != nil {
		m.tokenRequests.WithLabelValues(grant, result).Inc()
	}
}

// TokenValidation counts a token presented under /v2/. Result is valid, expired,
// revoked, invalid, gone (its person is no longer the same) or unavailable.
func (m *Metrics) TokenValidation(result string) {
	if m != nil {
		m.bound.validations.of(result).Inc()
	}
}

// Decision counts a policy decision. Action is pull, push, delete or catalog;
// result is allowed, denied or insufficient_scope.
func (m *Metrics) Decision(action, result string) {
	if m != nil {
		m.bound.pairs.of(pairLabels{m.decisions, action, result}).Inc()
	}
}

// DirectoryRequest counts a question that reached a directory, a cache's answer
// is none. Operation is lookup or login; result is ok, refused, unknown or fault.
func (m *Metrics) DirectoryRequest(directory, operation, result string, took time.Duration) {
	if m == nil {
		return
	}
	m.directoryRequests.WithLabelValues(directory, operation, result).Inc()
	m.directoryDuration.WithLabelValues(directory, operation).Observe(took.Seconds())
}

// CacheRequest counts a look-up in a cache. Cache is identity, negative, password,
// wrong_password, token, ui_catalog, ui_tags or ui_image; result is hit, stale or miss. Of content, cache is manifest, blob
// or tag, and result can also be joined (another's download gave it) or pass (not for the cache).
func (m *Metrics) CacheRequest(cache, result string) {
	if m != nil {
		m.bound.pairs.of(pairLabels{m.cacheRequests, cache, result}).Inc()
	}
}

// UpstreamRequest counts a request that was sent to an upstream of the config and the
// time until its response headers; code 0 stands for no answer at all.
func (m *Metrics) UpstreamRequest(upstream string, code int, took time.Duration) {
	if m == nil {
		return
	}
	m.bound.upstream.of(upstreamLabels{upstream, code}).Inc()
	m.bound.upstreamDurations.of(upstream).Observe(took.Seconds())
}

// Limits are the values of the label limit: the config's keys under `limits` and
// `throttle`.
var Limits = []string{"header_timeout", "header_fields", "header_bytes", "http2_streams", "form_bytes", "scopes", "min_rate",
	"connections", "connections_per_address", "logins_per_user", "uploads_per_user", "requests_per_user", "passwords_waiting",
	"requests", "anonymous_requests", "realm_requests", "manifest_bytes",
	"failures", "users_per_source", "tokens_per_source"}

// LimitReached counts a use of one of Limits.
func (m *Metrics) LimitReached(limit string) {
	if m != nil {
		m.limitsReached.WithLabelValues(limit).Inc()
	}
}

// AuditRecord counts a record of the audit stream; result is written, left_out (in
// a flood) or failed (it could not be written).
func (m *Metrics) AuditRecord(result string) {
	if m != nil {
		m.auditRecords.WithLabelValues(result).Inc()
	}
}

// ConfigReload counts a reload; result is ok or failed.
func (m *Metrics) ConfigReload(result string) {
	if m != nil {
		m.configReloads.WithLabelValues(result).Inc()
	}
}

// ACMEOrder counts an order of a certificate; result is ok or failed.
func (m *Metrics) ACMEOrder(result string) {
	if m != nil {
		m.acmeOrders.WithLabelValues(result).Inc()
	}
}

// WatchCertificates shows the ends of the certificates that are served, by their first
// names, as ends tells them at each scrape; nil: there are none. The last caller counts.
func (m *Metrics) WatchCertificates(ends func() map[string]time.Time) {
	if m != nil {
		m.certificates.ends.Store(&ends)
	}
}

// certificates asks for the ends of certificates at each scrape.
type certificates struct {
	desc *prometheus.Desc
	ends atomic.Pointer[func() map[string]time.Time]
}

// Describe is for the registry.
func (c *certificates) Describe(to chan<- *prometheus.Desc) { to <- c.desc }

// Collect is for the registry.
func (c *certificates) Collect(to chan<- prometheus.Metric) {
	ends := c.ends.Load()
	if ends == nil || *ends == nil {
		return
	}
	for name, end := range (*ends)() {
		to <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(end.Unix()), strings.ToValidUTF8(name, "?"))
	}
}

// bound are the children that each request counts on.
type bound struct {
	requests    *children[requestLabels, prometheus.Counter]
	validations *children[string, prometheus.Counter] // by result
	pairs       *children[pairLabels, prometheus.Counter]
	upstream    *children[upstreamLabels, prometheus.Counter]

	upstreamDurations *children[string, prometheus.Observer] // by upstream
}

type requestLabels struct {
	route, method string
	code          int
}

type upstreamLabels struct {
	upstream string
	code     int
}

// pairLabels are those of a family with two.
type pairLabels struct {
	family        *prometheus.CounterVec
	first, second string
}

func (m *Metrics) bind() {
	m.bound = bound{
		requests: newChildren(func(l requestLabels) prometheus.Counter {
			return m.requests.WithLabelValues(l.route, l.method, strconv.Itoa(l.code))
		}),
		validations: newChildren(func(result string) prometheus.Counter { return m.tokenValidations.WithLabelValues(result) }),
		pairs:       newChildren(func(l pairLabels) prometheus.Counter { return l.family.WithLabelValues(l.first, l.second) }),
		upstream: newChildren(func(l upstreamLabels) prometheus.Counter {
			return m.upstreamRequests.WithLabelValues(l.upstream, strconv.Itoa(l.code))
		}),
		upstreamDurations: newChildren(func(upstream string) prometheus.Observer {
			m.upstreamRequests.WithLabelValues(upstream, "0") // so that the first request without an answer is seen as one
			return m.upstreamDuration.WithLabelValues(upstream)
		}),
	}
}
