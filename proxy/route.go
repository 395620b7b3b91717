package proxy

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"gatehouse/authz"
)

// kind is an endpoint of the API. Its text is the metrics' route label.
type kind string

const (
	routeBase      kind = "base"      // end-1
	routeManifest  kind = "manifest"  // end-3, end-7, end-9
	routeBlob      kind = "blob"      // end-2, end-10
	routeUpload    kind = "upload"    // end-4a, 4b, 11: the start of a session
	routeSession   kind = "session"   // end-5, 6, 13, 14: a session that exists
	routeTags      kind = "tags"      // end-8a, 8b
	routeReferrers kind = "referrers" // end-12a, 12b
	routeCatalog   kind = "catalog"   // Docker's own, not OCI
	routeRealm     kind = "realm"     // the token realm
	routeOther     kind = "other"
)

// label is the route's value in metrics and logs: starting and continuing an
// upload are one.
func (k kind) label() string {
	if k == routeSession {
		return string(routeUpload)
	}
	return string(k)
}

// content says whether the route's answers are what somebody pushed.
func (k kind) content() bool { return k == routeManifest || k == routeBlob }

// methods are what each endpoint has, in the order of its Allow header.
var methods = map[kind][]string{
	routeBase:      {"GET", "HEAD"},
	routeManifest:  {"GET", "HEAD", "PUT", "DELETE"},
	routeBlob:      {"GET", "HEAD", "DELETE"},
	routeUpload:    {"POST"},
	routeSession:   {"GET", "PATCH", "PUT", "DELETE"},
	routeTags:      {"GET", "HEAD"},
	routeReferrers: {"GET", "HEAD"},
	routeCatalog:   {"GET", "HEAD"},
	routeRealm:     {"GET", "POST"},
}

// maxPage is the largest page of a list; a larger n counts as this (CVE-2023-2253).
const maxPage = 1000

// pair is one query parameter; a list of them keeps the client's order.
type pair struct{ key, value string }

// route is one request, parsed: everything that is decided, and all that is
// sent to the upstream, comes from here and never from the client's bytes.
type route struct {
	kind       kind
	method     string
	repository string
	reference  string // tag, digest or session id; "" where the endpoint has none
	tag        bool   // reference is a tag
	tags       []string
	source     string // the repository to mount from
	mount      string // the digest to mount
	digest     string // of an upload that ends with this request
	page       int    // n of a list; -1: not given
	last       string
	query      []pair // what goes to the upstream
}

// parseTarget classifies a request of the public listener by its method and the
// raw request target (RFC 9112 section 3.2), without any I/O. The order of its
// refusals is the contract's.
func parseTarget(method, target string) (route, error) {
	r := route{kind: routeOther, method: method, page: -1}
	path, rawQuery, _ := strings.Cut(target, "?")
	path, err := cleanPath(path)
	if err != nil {
		return r, err
	}
	if strings.Contains(target, "#") {
		return r, badRequest("a fragment does not belong in a request target")
	}
	if err := r.classify(path); err != nil {
		return r, err
	}
	if err := r.checkMethod(); err != nil {
		return r, err
	}
	if r.kind == routeRealm {
		return r, nil // its parameters are another grammar, see realm.go
	}
	if err := r.checkNames(); err != nil {
		return r, err
	}
	return r, r.parseQuery(rawQuery)
}

// cleanPath gives back the path if it is canonical. A path that would have to be
// cleaned or decoded first is refused, because the registry behind might clean
// or decode it in another way. The sole exception is `%3A` in a digest.
func cleanPath(path string) (string, error) {
	if _, rest, absolute := strings.Cut(path, "://"); absolute && !strings.HasPrefix(path, "/") {
		authority, _, _ := strings.Cut(rest, "/") // it became the Host
		path = rest[len(authority):]
	}
	if !strings.HasPrefix(path, "/") {
		return "", badRequest("the request target has no path")
	}
	for i := 0; i < len(path); i++ {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return "", badRequest("the path has a byte that no endpoint has")
		}
	}
	if strings.Contains(path, "%") {
		cut := strings.LastIndexByte(path, '/') + 1
		decoded, ok := decodeDigest(path[cut:])
		if !ok || strings.Contains(path[:cut], "%") {
			return "", badRequest("the path is percent-encoded")
		}
		path = path[:cut] + decoded
	}
	if strings.Contains(path, "//") {
		return "", badRequest("the path has an empty segment")
	}
	for _, segment := range strings.Split(path, "/") {
		if segment == "." || segment == ".." {
			return "", badRequest("the path has a dot segment")
		}
	}
	return path, nil
}

// decodeDigest decodes the one `%3A` of an encoded digest.
func decodeDigest(s string) (string, bool) {
	algorithm, hex, found := strings.Cut(s, "%3A")
	if !found {
		algorithm, hex, _ = strings.Cut(s, "%3a")
	}
	digest := algorithm + ":" + hex
	return digest, validDigest(digest)
}

// classify finds the endpoint. It reads from the right end, where the keywords
// of an endpoint stand, so a repository may be called like one (`a/tags/list`).
func (r *route) classify(path string) error {
	if path == "/auth" {
		r.kind = routeRealm
		return nil
	}
	if path == "/v2" || path == "/v2/" {
		r.kind = routeBase
		return nil
	}
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok || strings.Contains(path, ";") {
		return errNotFound
	}
	if rest == "_catalog" {
		r.kind = routeCatalog
		return nil
	}
	s := strings.Split(rest, "/")
	n := len(s)
	name := func(words int) string { return strings.Join(s[:n-words], "/") }
	switch {
	case n >= 4 && s[n-3] == "blobs" && s[n-2] == "uploads" && s[n-1] == "":
		r.kind, r.repository = routeUpload, name(3)
	case s[n-1] == "":
		return errNotFound
	case n >= 4 && s[n-3] == "blobs" && s[n-2] == "uploads":
		r.kind, r.repository, r.reference = routeSession, name(3), s[n-1]
	case n >= 3 && s[n-2] == "tags" && s[n-1] == "list":
		r.kind, r.repository = routeTags, name(2)
	case n >= 3 && s[n-2] == "manifests":
		r.kind, r.repository, r.reference = routeManifest, name(2), s[n-1]
	case n >= 3 && s[n-2] == "blobs" && s[n-1] != "uploads":
		r.kind, r.repository, r.reference = routeBlob, name(2), s[n-1]
	case n >= 3 && s[n-2] == "referrers":
		r.kind, r.repository, r.reference = routeReferrers, name(2), s[n-1]
	default:
		return errNotFound
	}
	if r.kind == routeSession && !validSession(r.reference) {
		r.kind = routeOther
		return errNotFound
	}
	return nil
}

// checkMethod refuses what the endpoint lacks (RFC 9110 section 15.5.6).
func (r *route) checkMethod() error {
	for _, m := range methods[r.kind] {
		if m == r.method {
			return nil
		}
	}
	return &apiError{status: http.StatusMethodNotAllowed, code: "UNSUPPORTED",
		message: "this endpoint does not have that method", allow: methods[r.kind]}
}

// checkNames holds the parts of the path against the grammar of the
// distribution specification ("Pulling manifests").
func (r *route) checkNames() error {
	switch r.kind {
	case routeBase, routeCatalog:
		return nil
	}
	if !authz.ValidRepository(r.repository) {
		return invalid("NAME_INVALID", "that is no repository name")
	}
	switch r.kind {
	case routeManifest:
		return r.checkReference()
	case routeBlob, routeReferrers:
		if !validDigest(r.reference) {
			return invalid("DIGEST_INVALID", "that is no digest")
		}
	}
	return nil
}

func (r *route) checkReference() error {
	if validDigest(r.reference) {
		return nil
	}
	if r.tag = authz.ValidTag(r.reference); r.tag {
		r.tags = []string{r.reference}
		return nil
	}
	if r.method == "GET" || r.method == "HEAD" {
		// The conformance suite asks for 404 here: a manifest that cannot exist.
		return &apiError{status: http.StatusNotFound, code: "MANIFEST_UNKNOWN", message: "no manifest can have that reference"}
	}
	if strings.Contains(r.reference, ":") {
		return invalid("DIGEST_INVALID", "that is no digest")
	}
	return invalid("TAG_INVALID", "that is no tag")
}

// once are the parameters that may stand at most once: of a doubled one, the
// registry behind might read another value than the one we judged.
var once = map[string]bool{"mount": true, "from": true, "origin": true, "digest": true, "digest-algorithm": true,
	"n": true, "last": true, "artifactType": true, "_state": true}

// What a query may hold is far above what any client sends, and any upstream puts
// into the URL of an upload session.
const (
	maxParameters = 64
	maxQuery      = 16 << 10
)

// parseQuery reads the parameters, refuses what is outside the grammar, and
// collects those that the upstream is to see.
func (r *route) parseQuery(raw string) error {
	pairs, err := splitQuery(raw)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, p := range pairs {
		if once[p.key] && seen[p.key] {
			return badRequest("the parameter " + p.key + " stands twice")
		}
		seen[p.key] = true
		if err := r.parameter(p); err != nil {
			return err
		}
	}
	r.settleUpload()
	return nil
}

func splitQuery(raw string) ([]pair, error) {
	if raw == "" {
		return nil, nil
	}
	if len(raw) > maxQuery {
		return nil, badRequest("the query is too long")
	}
	if strings.Count(raw, "&") >= maxParameters {
		return nil, badRequest("too many query parameters")
	}
	var pairs []pair
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		k, kerr := url.QueryUnescape(key)
		v, verr := url.QueryUnescape(value)
		if kerr != nil || verr != nil || strings.Contains(part, ";") || strings.ContainsFunc(k+v, isControl) {
			return nil, badRequest("the query is malformed")
		}
		pairs = append(pairs, pair{k, v})
	}
	return pairs, nil
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f || c == '\uFFFD' }

// parameter judges one parameter and keeps it where its endpoint has it. An
// unknown one passes on upload sessions only: their URL is the upstream's own.
func (r *route) parameter(p pair) error {
	switch p.key {
	case "n":
		return r.parsePage(p)
	case "last":
		r.last = p.value
		r.keep(p, routeTags, routeReferrers)
	case "artifactType":
		r.keep(p, routeReferrers)
	case "digest":
		if !validDigest(p.value) && (r.kind == routeUpload || r.kind == routeSession) {
			return invalid("DIGEST_INVALID", "the parameter digest is no digest")
		}
		if r.kind == routeUpload || r.kind == routeSession && r.method == "PUT" {
			r.digest = p.value
		}
		r.keep(p, routeUpload, routeSession)
	case "digest-algorithm":
		if !validAlgorithm(p.value) {
			return badRequest("the parameter digest-algorithm is no algorithm")
		}
		r.keep(p, routeUpload, routeSession)
	case "mount":
		if r.kind == routeUpload {
			if !validDigest(p.value) {
				return invalid("DIGEST_INVALID", "the parameter mount is no digest")
			}
			r.mount = p.value
		}
	case "from":
		if r.kind == routeUpload {
			if !authz.ValidRepository(p.value) {
				return invalid("NAME_INVALID", "the parameter from is no repository name")
			}
			r.source = p.value
		}
	case "tag":
		return r.parseTag(p)
	case "_state":
		r.keep(p, routeSession)
	case "origin":
	default:
		r.keep(p, routeSession)
	}
	return nil
}

func (r *route) keep(p pair, kinds ...kind) {
	for _, k := range kinds {
		if k == r.kind {
			r.query = append(r.query, p)
		}
	}
}

// parsePage reads n (the specification's "Listing Tags", Docker's catalog). A
// registry may page its referrers in the same way.
func (r *route) parsePage(p pair) error {
	if r.kind != routeTags && r.kind != routeCatalog && r.kind != routeReferrers {
		return nil
	}
	n := 0
	for _, c := range p.value {
		if c < '0' || c > '9' {
			return invalid("PAGINATION_NUMBER_INVALID", "n is no number from 0 on")
		}
		n = min(n*10+int(c-'0'), maxPage)
	}
	if p.value == "" {
		return invalid("PAGINATION_NUMBER_INVALID", "n is no number from 0 on")
	}
	r.page = n
	r.keep(pair{"n", strconv.Itoa(n)}, routeTags, routeReferrers)
	return nil
}

// parseTag reads a tag of end-7b: a manifest put by digest may name several.
func (r *route) parseTag(p pair) error {
	if r.kind != routeManifest || r.method != "PUT" {
		return nil
	}
	if !authz.ValidTag(p.value) {
		return invalid("TAG_INVALID", "the parameter tag is no tag")
	}
	r.tags = append(r.tags, p.value)
	r.keep(p, routeManifest)
	return nil
}

// settleUpload: an upload that brings its bytes along mounts nothing, and a
// mount needs a source that can be judged.
func (r *route) settleUpload() {
	if r.digest != "" {
		r.mount = ""
	}
	if r.mount == "" {
		r.source = ""
	}
}

// access is one thing that a request needs.
type access struct {
	repository string
	action     authz.Action
}

// need is what the request must be allowed: by the token and by the policy. A
// mount's source is judged apart, since a mount can become a plain upload.
func (r *route) need() access {
	switch {
	case r.kind == routeCatalog:
		return access{"", authz.Catalog}
	case r.kind == routeUpload || r.kind == routeSession || r.method == "PUT":
		return access{r.repository, authz.Push}
	case r.method == "DELETE":
		return access{r.repository, authz.Delete}
	}
	return access{r.repository, authz.Pull}
}

// scope is what the challenge asks for: what distribution would ask, save that
// everything on an upload session is a push (protocol: a client that cancels its
// upload has no right to delete).
func (r *route) scope() string {
	switch r.kind {
	case routeBase, routeRealm, routeOther:
		return ""
	case routeCatalog:
		return "registry:catalog:*"
	}
	actions := string(r.need().action)
	if actions == "push" {
		actions = "pull,push"
	}
	scope := "repository:" + r.repository + ":" + actions
	if r.source != "" {
		scope += " repository:" + r.source + ":pull"
	}
	return scope
}

// actions is the need as the log shows it.
func (r *route) actions() string {
	switch r.kind {
	case routeBase, routeRealm, routeOther:
		return ""
	}
	return string(r.need().action)
}

// carriesBody says whether the request may have a body: only where the protocol
// has one, since the registry reads form bodies of anything (a mount hidden in a
// body would be judged by nobody).
func (r *route) carriesBody() bool {
	switch r.method {
	case "PUT", "PATCH":
		return true
	case "POST":
		return r.kind == routeRealm || r.digest != ""
	}
	return false
}

// path is the request's path at a registry, built from the parsed parts.
func (r *route) path() string {
	switch r.kind {
	case routeCatalog:
		return "/v2/_catalog"
	case routeManifest:
		return "/v2/" + r.repository + "/manifests/" + r.reference
	case routeBlob:
		return "/v2/" + r.repository + "/blobs/" + r.reference
	case routeUpload, routeSession:
		return "/v2/" + r.repository + "/blobs/uploads/" + r.reference
	case routeTags:
		return "/v2/" + r.repository + "/tags/list"
	case routeReferrers:
		return "/v2/" + r.repository + "/referrers/" + r.reference
	}
	return "/v2/"
}

// target is the request's path and query at a registry.
func (r *route) target() string {
	if len(r.query) == 0 {
		return r.path()
	}
	return r.path() + "?" + encodeQuery(r.query)
}

// encodeQuery writes the parameters in the client's order.
func encodeQuery(pairs []pair) string {
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p.key))
		b.WriteByte('=')
		b.WriteString(strings.ReplaceAll(url.QueryEscape(p.value), "%3A", ":")) // a digest goes on plain
	}
	return b.String()
}

// validDigest holds a digest against the grammar of the image specification
// (descriptor.md, "Digests"), with the lengths of the registered algorithms.
func validDigest(s string) bool {
	algorithm, encoded, _ := strings.Cut(s, ":")
	if !validAlgorithm(algorithm) || len(encoded) < 32 || len(encoded) > 512 {
		return false
	}
	switch algorithm {
	case "sha256":
		return len(encoded) == 64 && isHex(encoded)
	case "sha384":
		return len(encoded) == 96 && isHex(encoded)
	case "sha512":
		return len(encoded) == 128 && isHex(encoded)
	}
	return isHex(encoded)
}

func isHex(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// validAlgorithm: lower-case components joined by one of `+._-`.
func validAlgorithm(s string) bool {
	separated := true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			separated = false
		case strings.IndexByte("+._-", c) >= 0 && !separated:
			separated = true
		default:
			return false
		}
	}
	return !separated && len(s) <= 32
}

// validSession: what the known registries give as session ids. Dots alone were
// refused with the dot segments.
func validSession(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-_.=", c) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= 512
}
