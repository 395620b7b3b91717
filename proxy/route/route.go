// Package route is the grammar of a registry's requests: it makes of a method and a
// request target a typed Route, or says what is wrong with it (*Error). It is pure;
// what a client is told is for its caller to decide.
package route

import (
	"strings"

	"gatehouse/authz"
)

// Kind is an endpoint of the API.
type Kind string

// The endpoints, by the numbers of the distribution specification.
const (
	Base      Kind = "base"      // end-1
	Manifest  Kind = "manifest"  // end-3, end-7, end-9
	Blob      Kind = "blob"      // end-2, end-10
	Upload    Kind = "upload"    // end-4a, 4b, 11: the start of a session
	Session   Kind = "session"   // end-5, 6, 13, 14: a session that exists
	Tags      Kind = "tags"      // end-8a, 8b
	Referrers Kind = "referrers" // end-12a, 12b
	Catalog   Kind = "catalog"   // Docker's own, not OCI
	Realm     Kind = "realm"     // the token realm
	Revoke    Kind = "revoke"    // where a token is ended (RFC 7009)
	Audience  Kind = "audience"  // beside the realm: the audience of ID tokens
	OwnTokens Kind = "tokens"    // a person's tokens
	OwnToken  Kind = "token"     // one of them
	UI        Kind = "ui"        // the pages for people, see package proxy/ui; Parse knows none
	Other     Kind = "other"
)

// Label is the route's value in metrics and logs: starting and continuing an
// upload are one, and so is all that is under /auth.
func (k Kind) Label() string {
	switch {
	case k == Session:
		return string(Upload)
	case k.Auth():
		return string(Realm)
	}
	return string(k)
}

// Auth reports whether the endpoint is one of ours, under /auth, and none of the API.
func (k Kind) Auth() bool {
	return k == Realm || k == Revoke || k == Audience || k == OwnTokens || k == OwnToken
}

// Content reports whether the endpoint's answers are what somebody pushed.
func (k Kind) Content() bool { return k == Manifest || k == Blob }

// methods are what each endpoint has, in the order of its Allow header.
var methods = map[Kind][]string{
	Base:      {"GET", "HEAD"},
	Manifest:  {"GET", "HEAD", "PUT", "DELETE"},
	Blob:      {"GET", "HEAD", "DELETE"},
	Upload:    {"POST"},
	Session:   {"GET", "PATCH", "PUT", "DELETE"},
	Tags:      {"GET", "HEAD"},
	Referrers: {"GET", "HEAD"},
	Catalog:   {"GET", "HEAD"},
	Realm:     {"GET", "POST"},
	Revoke:    {"POST"},
	Audience:  {"GET", "HEAD"},
	OwnTokens: {"GET", "POST"},
	OwnToken:  {"DELETE"},
}

// Access is one thing that a request needs.
type Access struct {
	Repository string       // "" for the catalog
	Action     authz.Action // "" where being known is enough
}

// Route is one request, parsed: everything that is decided, and all that is
// sent to the upstream, comes from here and never from the client's bytes.
type Route struct {
	Kind       Kind     // Other where no endpoint was found
	Method     string   // as sent
	Repository string   // "" where the endpoint has none
	Reference  string   // tag, digest or session id; "" where the endpoint has none
	Tag        bool     // Reference is a tag
	Tags       []string // all that a manifest's request names
	Source     string   // the repository to mount from
	Mount      string   // the digest to mount
	Digest     string   // of an upload that ends with this request
	Page       int      // n of a list; -1: not given
	Last       string   // of a list: the name that it begins after
	Query      []Pair   // what goes to the upstream
	// Need is what the request must be allowed, by the token and by the policy. A
	// mount's source is judged apart, since a mount can become a plain upload.
	Need Access
}

// Unknown is the route of a request that is not parsed.
func Unknown(method string) Route { return Route{Kind: Other, Method: method, Page: -1} }

// Parse classifies a request of the public listener by its method and the raw
// request target (RFC 9112 section 3.2). The order of its refusals is the
// contract's; they are *Error, and the route then has what was known until there.
func Parse(method, target string) (Route, error) {
	r := Unknown(method)
	path, rawQuery, _ := strings.Cut(target, "?")
	path, err := cleanPath(path)
	if err != nil {
		return r, err
	}
	if strings.Contains(target, "#") {
		return r, malformed("a fragment does not belong in a request target")
	}
	if err := r.classify(path); err != nil {
		return r, err
	}
	r.Need = r.need()
	if err := r.checkMethod(); err != nil {
		return r, err
	}
	if r.Kind.Auth() {
		return r, nil // its parameters are another grammar
	}
	if err := r.checkNames(); err != nil {
		return r, err
	}
	return r, r.parseQuery(rawQuery)
}

// At is the endpoint that a path of a registry leads to, for any method, and the
// path as we would write it. Nothing but its shape is checked.
func At(path string) (Route, string, error) {
	r := Unknown("")
	clean, err := cleanPath(path)
	if err != nil {
		return r, "", err
	}
	return r, clean, r.classify(clean)
}

// ours are the endpoints that no registry has.
var ours = map[string]Kind{"/auth": Realm, "/auth/revoke": Revoke, "/auth/audience": Audience, "/auth/tokens": OwnTokens}

// tokenID reports whether the text may be the id of a token.
func tokenID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
}

// classify finds the endpoint. It reads from the right end, where the keywords
// of an endpoint stand, so a repository may be called like one (`a/tags/list`).
func (r *Route) classify(path string) error {
	if kind, ok := ours[path]; ok {
		r.Kind = kind
		return nil
	}
	if id, ok := strings.CutPrefix(path, "/auth/tokens/"); ok && tokenID(id) {
		r.Kind, r.Reference = OwnToken, id
		return nil
	}
	if path == "/v2" || path == "/v2/" {
		r.Kind = Base
		return nil
	}
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok || strings.Contains(path, ";") {
		return &Error{Fault: NoEndpoint, Message: "there is no such endpoint"}
	}
	if rest == "_catalog" {
		r.Kind = Catalog
		return nil
	}
	name, word, last := lastTwo(rest)
	of, blobs := strings.CutSuffix(name, "/blobs")
	switch {
	case word == "uploads" && blobs && last == "":
		r.Kind, r.Repository = Upload, of
	case last == "" || name == "":
		return &Error{Fault: NoEndpoint, Message: "there is no such endpoint"}
	case word == "uploads" && blobs:
		r.Kind, r.Repository, r.Reference = Session, of, last
	case word == "tags" && last == "list":
		r.Kind, r.Repository = Tags, name
	case word == "manifests":
		r.Kind, r.Repository, r.Reference = Manifest, name, last
	case word == "blobs" && last != "uploads":
		r.Kind, r.Repository, r.Reference = Blob, name, last
	case word == "referrers":
		r.Kind, r.Repository, r.Reference = Referrers, name, last
	default:
		return &Error{Fault: NoEndpoint, Message: "there is no such endpoint"}
	}
	if r.Kind == Session && !validSession(r.Reference) {
		r.Kind = Other
		return &Error{Fault: NoEndpoint, Message: "there is no such endpoint"}
	}
	return nil
}

// lastTwo cuts the last two words off a path; word and name are empty where it has fewer.
func lastTwo(path string) (name, word, last string) {
	end := strings.LastIndexByte(path, '/')
	if end < 0 {
		return "", "", path
	}
	start := strings.LastIndexByte(path[:end], '/')
	return path[:max(start, 0)], path[start+1 : end], path[end+1:]
}

// checkMethod refuses what the endpoint lacks (RFC 9110 section 15.5.6).
func (r *Route) checkMethod() error {
	for _, m := range methods[r.Kind] {
		if m == r.Method {
			return nil
		}
	}
	return &Error{Fault: NoMethod, Message: "this endpoint does not have that method", Allow: methods[r.Kind]}
}

// checkNames holds the parts of the path against the grammar of the
// distribution specification ("Pulling manifests").
func (r *Route) checkNames() error {
	switch r.Kind {
	case Base, Catalog:
		return nil
	}
	if !authz.ValidRepository(r.Repository) {
		return &Error{Fault: BadName, Message: "invalid repository name"}
	}
	switch r.Kind {
	case Manifest:
		return r.checkReference()
	case Blob, Referrers:
		if !ValidDigest(r.Reference) {
			return &Error{Fault: BadDigest, Message: "invalid digest"}
		}
	}
	return nil
}

func (r *Route) checkReference() error {
	if ValidDigest(r.Reference) {
		return nil
	}
	if r.Tag = authz.ValidTag(r.Reference); r.Tag {
		r.Tags = []string{r.Reference}
		return nil
	}
	if r.Method == "GET" || r.Method == "HEAD" {
		// The conformance suite asks for 404 here: a manifest that cannot exist.
		return &Error{Fault: NoManifest, Message: "no manifest can have that reference"}
	}
	if strings.Contains(r.Reference, ":") {
		return &Error{Fault: BadDigest, Message: "invalid digest"}
	}
	return &Error{Fault: BadTag, Message: "invalid tag"}
}

func (r *Route) need() Access {
	switch {
	case r.Kind == Base || r.Kind.Auth():
		return Access{}
	case r.Kind == Catalog:
		return Access{Action: authz.Catalog}
	case r.Kind == Upload || r.Kind == Session || r.Method == "PUT":
		return Access{r.Repository, authz.Push}
	case r.Method == "DELETE":
		return Access{r.Repository, authz.Delete}
	}
	return Access{r.Repository, authz.Pull}
}

// Scope is what the challenge asks for: what distribution would ask, except that
// everything on an upload session is a push (protocol: a client that cancels its
// upload has no right to delete).
func (r *Route) Scope() string {
	actions := string(r.Need.Action)
	switch r.Need.Action {
	case "":
		return ""
	case authz.Catalog:
		return "registry:catalog:*"
	case authz.Push:
		actions = "pull,push"
	}
	scope := "repository:" + r.Repository + ":" + actions
	if r.Source != "" {
		scope += " repository:" + r.Source + ":pull"
	}
	return scope
}

// CarriesBody reports whether the request may have a body: only where the protocol
// has one, since the registry reads form bodies of anything (a mount hidden in a
// body would be judged by nobody).
func (r *Route) CarriesBody() bool {
	switch r.Method {
	case "PUT", "PATCH":
		return true
	case "POST":
		return r.Kind.Auth() || r.Kind == UI || r.Digest != ""
	}
	return false
}

// Path is the request's path at a registry, built from the parsed parts.
func (r *Route) Path() string {
	switch r.Kind {
	case Catalog:
		return "/v2/_catalog"
	case Manifest:
		return "/v2/" + r.Repository + "/manifests/" + r.Reference
	case Blob:
		return "/v2/" + r.Repository + "/blobs/" + r.Reference
	case Upload, Session:
		return "/v2/" + r.Repository + "/blobs/uploads/" + r.Reference
	case Tags:
		return "/v2/" + r.Repository + "/tags/list"
	case Referrers:
		return "/v2/" + r.Repository + "/referrers/" + r.Reference
	}
	return "/v2/"
}

// Target is the request's path and query at a registry.
func (r *Route) Target() string {
	if len(r.Query) == 0 {
		return r.Path()
	}
	return r.Path() + "?" + EncodeQuery(r.Query)
}
