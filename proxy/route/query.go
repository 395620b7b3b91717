package route

import (
	"net/url"
	"strconv"
	"strings"

	"gatehouse/authz"
)

// MaxPage is the largest page of a list; a larger n counts as this (CVE-2023-2253).
const MaxPage = 1000

// Pair is one query parameter; a list of them keeps the client's order.
type Pair struct {
	Key   string // decoded
	Value string // decoded
}

// once are the parameters that may stand at most once: of a doubled one, the
// upstream might read another value than the one we judged.
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
func (r *Route) parseQuery(raw string) error {
	pairs, err := splitQuery(raw)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, p := range pairs {
		if once[p.Key] && seen[p.Key] {
			return malformed("the parameter " + p.Key + " stands twice")
		}
		seen[p.Key] = true
		if err := r.parameter(p); err != nil {
			return err
		}
	}
	r.settleUpload()
	return nil
}

func splitQuery(raw string) ([]Pair, error) {
	if raw == "" {
		return nil, nil
	}
	if len(raw) > maxQuery {
		return nil, malformed("the query is too long")
	}
	if strings.Count(raw, "&") >= maxParameters {
		return nil, malformed("too many query parameters")
	}
	var pairs []Pair
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		k, kerr := url.QueryUnescape(key)
		v, verr := url.QueryUnescape(value)
		if kerr != nil || verr != nil || strings.Contains(part, ";") || strings.ContainsFunc(k+v, isControl) {
			return nil, malformed("the query is malformed")
		}
		pairs = append(pairs, Pair{k, v})
	}
	return pairs, nil
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f || c == '\uFFFD' }

// parameter judges one parameter and keeps it where its endpoint has it. An
// unknown one passes on upload sessions only: their URL is the upstream's own.
func (r *Route) parameter(p Pair) error {
	switch p.Key {
	case "n":
		return r.parsePage(p)
	case "last":
		r.Last = p.Value
		r.keep(p, Tags, Referrers)
	case "artifactType":
		r.keep(p, Referrers)
	case "digest":
		return r.parseDigest(p)
	case "digest-algorithm":
		if !validAlgorithm(p.Value) {
			return malformed("the parameter digest-algorithm is an invalid algorithm")
		}
		r.keep(p, Upload, Session)
	case "mount", "from":
		return r.parseMount(p)
	case "tag":
		return r.parseTag(p)
	case "_state":
		r.keep(p, Session)
	case "origin":
	default:
		r.keep(p, Session)
	}
	return nil
}

// parseDigest reads what an upload says of its bytes.
func (r *Route) parseDigest(p Pair) error {
	if r.Kind != Upload && r.Kind != Session {
		return nil
	}
	if !ValidDigest(p.Value) {
		return &Error{Fault: BadDigest, Message: "the parameter digest is an invalid digest"}
	}
	if r.Kind == Upload || r.Method == "PUT" {
		r.Digest = p.Value
	}
	r.keep(p, Upload, Session)
	return nil
}

// parseMount reads which blob to take over (end-11), and from where. Neither is passed
// on by itself, see PassMount.
func (r *Route) parseMount(p Pair) error {
	switch {
	case r.Kind != Upload:
	case p.Key == "from" && !authz.ValidRepository(p.Value):
		return &Error{Fault: BadName, Message: "the parameter from is an invalid repository name"}
	case p.Key == "from":
		r.Source = p.Value
	case !ValidDigest(p.Value):
		return &Error{Fault: BadDigest, Message: "the parameter mount is an invalid digest"}
	default:
		r.Mount = p.Value
	}
	return nil
}

func (r *Route) keep(p Pair, kinds ...Kind) {
	for _, k := range kinds {
		if k == r.Kind {
			r.Query = append(r.Query, p)
		}
	}
}

// parsePage reads n (the specification's "Listing Tags", Docker's catalog). A
// registry may page its referrers in the same way.
func (r *Route) parsePage(p Pair) error {
	if r.Kind != Tags && r.Kind != Catalog && r.Kind != Referrers {
		return nil
	}
	n := 0
	for _, c := range p.Value {
		if c < '0' || c > '9' {
			return &Error{Fault: BadPage, Message: "n must be a non-negative integer"}
		}
		n = min(n*10+int(c-'0'), MaxPage)
	}
	if p.Value == "" {
		return &Error{Fault: BadPage, Message: "n must be a non-negative integer"}
	}
	r.Page = n
	r.keep(Pair{"n", strconv.Itoa(n)}, Tags, Referrers)
	return nil
}

// parseTag reads a tag of end-7b: a manifest put by digest may name several.
func (r *Route) parseTag(p Pair) error {
	if r.Kind != Manifest || r.Method != "PUT" {
		return nil
	}
	if !authz.ValidTag(p.Value) {
		return &Error{Fault: BadTag, Message: "the parameter tag is an invalid tag"}
	}
	r.Tags = append(r.Tags, p.Value)
	r.keep(p, Manifest)
	return nil
}

// settleUpload: an upload that brings its bytes along mounts nothing, and a
// mount needs a source that can be judged.
func (r *Route) settleUpload() {
	if r.Digest != "" {
		r.Mount = ""
	}
	if r.Mount == "" {
		r.Source = ""
	}
}

// PassMount lets the upstream see the mount. Without it the request starts a plain
// upload: whether the source may be read is for the caller of Parse to know.
func (r *Route) PassMount() {
	r.Query = append(r.Query, Pair{"mount", r.Mount}, Pair{"from", r.Source})
}

// EncodeQuery writes the parameters in the client's order.
func EncodeQuery(pairs []Pair) string {
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p.Key))
		b.WriteByte('=')
		b.WriteString(strings.ReplaceAll(url.QueryEscape(p.Value), "%3A", ":")) // a digest goes on plain
	}
	return b.String()
}
