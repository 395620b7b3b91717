package ui

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gatehouse/authz"
	"gatehouse/proxy/route"
)

// place is one of the routes.
type place string

// The routes; each is the data-page of what it shows.
const (
	atRoot       place = "root"
	atHome       place = "repositories"
	atFolder     place = "folder"
	atRepository place = "repository"
	atImage      place = "image"
	atDelete     place = "delete"
	atLogin      place = "login"
	atLogout     place = "logout"
	atTheme      place = "theme"
	atHelp       place = "help"
	atMe         place = "me"
	atSignOut    place = "signout"
	atTokens     place = "tokens"
	atRevoke     place = "revoke"
	atAllTokens  place = "admin-tokens"
	atAdmin      place = "admin-overview"
	atExplain    place = "admin-explain"
	atRefusals   place = "admin-refusals"
	atRules      place = "admin-rules"
	atServers    place = "admin-directories"
	atConfig     place = "admin-config"
	atStatic     place = "static"
)

// form is what a route is like.
type form struct {
	methods    []string
	parameters []string // of its query
}

var (
	reads = []string{http.MethodGet, http.MethodHead}
	posts = []string{http.MethodPost}
	both  = []string{http.MethodGet, http.MethodHead, http.MethodPost}
)

var forms = map[place]form{
	atRoot:       {methods: reads},
	atHome:       {reads, []string{"q", "rights", "page"}},
	atFolder:     {reads, []string{"q", "rights", "page"}},
	atRepository: {reads, []string{"q", "sort", "order", "page", "show"}},
	atImage:      {reads, []string{"platform", "raw"}},
	atDelete:     {both, []string{"ref"}},
	atLogin:      {both, []string{"next"}},
	atLogout:     {methods: posts},
	atTheme:      {methods: posts},
	atHelp:       {methods: reads},
	atMe:         {reads, []string{"action", "ref"}},
	atSignOut:    {methods: posts},
	atTokens:     {methods: both},
	atRevoke:     {methods: posts},
	atAllTokens:  {methods: both},
	atAdmin:      {methods: reads},
	atExplain:    {reads, []string{"user", "action", "ref", "ip"}},
	atRefusals:   {reads, []string{"q", "page"}},
	atRules:      {reads, []string{"q", "page", "show"}},
	atConfig:     {methods: reads},
	atServers:    {methods: reads},
	atStatic:     {methods: reads},
}

// fixed are the paths that hold no name.
var fixed = map[string]place{"/": atRoot, "/ui": atRoot, "/ui/": atHome, "/ui/delete": atDelete, "/ui/login": atLogin, "/ui/logout": atLogout,
	"/ui/theme": atTheme, "/ui/help": atHelp, "/ui/me": atMe, "/ui/me/signout-everywhere": atSignOut,
	"/ui/me/tokens": atTokens, "/ui/me/tokens/revoke": atRevoke, "/ui/admin/tokens": atAllTokens,
	"/ui/admin/": atAdmin, "/ui/admin/explain": atExplain, "/ui/admin/refusals": atRefusals,
	"/ui/admin/rules": atRules, "/ui/admin/config": atConfig, "/ui/admin/directories": atServers}

// target is a request's target, parsed.
type target struct {
	place      place
	repository string // or the folder, without a slash at its end
	reference  string // a tag or a digest
	tag        bool   // reference is a tag
	file       string // of atStatic
	query      url.Values
}

const (
	maxValue = 256  // bytes of a value of the query
	maxNext  = 4096 // of next, which is a target, and is as absent beyond that
	maxRef   = 800  // of ref: a name with a digest may have more than other values
	maxRefs  = 100
)

// parse reads a method and a request target. The path is held to the grammar of names,
// tags and digests before anything else is done. The error is a *Fault.
func parse(method, raw string) (t target, err error) {
	path, err := route.Clean(plainDigest(raw))
	if err != nil {
		return t, badRequest(err.Error())
	}
	if t, err = locate(path); err != nil {
		return t, err
	}
	f := forms[t.place]
	if !slices.Contains(f.methods, method) {
		return t, &Fault{Status: http.StatusMethodNotAllowed, Code: "UNSUPPORTED", Message: "This page does not take that method.", Allow: f.methods}
	}
	_, query, _ := strings.Cut(raw, "?")
	t.query, err = parseQuery(query, f.parameters)
	return t, err
}

// plainDigest decodes the colon of a digest at the end of a path, the one thing that may be
// encoded there.
func plainDigest(raw string) string {
	path, query, asked := strings.Cut(raw, "?")
	name, digest, _ := strings.Cut(path, "@")
	decoded := strings.Replace(strings.Replace(digest, "%3A", ":", 1), "%3a", ":", 1)
	if decoded == digest || !route.ValidDigest(decoded) {
		return raw
	}
	if path = name + "@" + decoded; asked {
		path += "?" + query
	}
	return path
}

// locate finds the route of a path.
func locate(path string) (t target, err error) {
	if at, ok := fixed[path]; ok {
		return target{place: at}, nil
	}
	if file, ok := strings.CutPrefix(path, "/ui/static/"); ok {
		return target{place: atStatic, file: file}, nil
	}
	if name, ok := strings.CutPrefix(path, "/ui/r/"); ok {
		return named(name)
	}
	return t, notFound()
}

// named reads what a path says of a repository.
func named(text string) (t target, err error) {
	if folder, ok := strings.CutSuffix(text, "/"); ok {
		return target{place: atFolder, repository: folder}, checkName(folder)
	}
	t.place, t.repository = atRepository, text
	if name, digest, ok := strings.Cut(text, "@"); ok {
		t.place, t.repository, t.reference = atImage, name, digest
		if !route.ValidDigest(digest) {
			return t, notFound()
		}
		return t, checkName(name)
	}
	if name, tag, ok := strings.Cut(text, ":"); ok {
		t.place, t.repository, t.reference, t.tag = atImage, name, tag, true
		if !authz.ValidTag(tag) {
			return t, notFound()
		}
	}
	return t, checkName(t.repository)
}

func checkName(name string) error {
	if !authz.ValidRepository(name) {
		return &Fault{Status: http.StatusBadRequest, Code: "NAME_INVALID", Message: "That is not a name that a repository can have."}
	}
	return nil
}

// parseQuery reads the parameters that a route has; others are ignored.
func parseQuery(raw string, parameters []string) (url.Values, error) {
	all, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badRequest("The query of this address is malformed.")
	}
	known := url.Values{}
	for _, key := range parameters {
		values := slices.DeleteFunc(all[key], func(v string) bool { return v == "" && len(all[key]) == 1 })
		switch {
		case len(values) > 1 && key != "ref":
			return nil, badRequest("The parameter " + key + " stands twice.")
		case slices.ContainsFunc(values, func(v string) bool { return len(v) > most(key) || !utf8.ValidString(v) }):
			return nil, badRequest("The parameter " + key + " is too long, or is no text.")
		case len(values) > 0:
			known[key] = values
		}
	}
	return known, checkValues(known)
}

func most(key string) int {
	switch key {
	case "next":
		return maxNext
	case "ref":
		return maxRef
	}
	return maxValue
}

// choices are the values of parameters that have no others.
var choices = map[string][]string{"rights": {"push", "delete"}, "sort": {"version", "name", "built"}, "order": {"desc", "asc"}, "show": {"all"},
	"raw": {"manifest", "config"}, "action": {"pull", "push", "delete", "create", "overwrite"}}

func checkValues(known url.Values) error {
	for key, allowed := range choices {
		if v := known.Get(key); v != "" && !slices.Contains(allowed, v) {
			return badRequest("The parameter " + key + " may be " + strings.Join(allowed, ", ") + ".")
		}
	}
	if v := known.Get("page"); v != "" {
		if n, err := strconv.ParseUint(v, 10, 31); err != nil || n == 0 {
			return badRequest("The parameter page is a number from 1.")
		}
	}
	if len(known["ref"]) > maxRefs {
		return badRequest("At most 100 at once.")
	}
	return nil
}

// page is the number of the page that is asked for.
func (t *target) page() int {
	n, err := strconv.Atoi(t.query.Get("page"))
	if err != nil {
		return 1
	}
	return n
}

// path is that of the target, canonical.
func (t *target) path() string {
	switch t.place {
	case atFolder:
		return "/ui/r/" + t.repository + "/"
	case atRepository:
		return "/ui/r/" + t.repository
	case atImage:
		return imagePath(t.repository, t.reference)
	case atStatic:
		return "/ui/static/" + t.file
	case atRoot:
		return "/"
	}
	for path, at := range fixed {
		if at == t.place {
			return path
		}
	}
	return "/ui/"
}

// imagePath is the path of one image's page.
func imagePath(repository, reference string) string {
	if route.ValidDigest(reference) {
		return "/ui/r/" + repository + "@" + reference
	}
	return "/ui/r/" + repository + ":" + reference
}

// canonical is the one way in which the target is written.
func (t *target) canonical() string {
	if len(t.query) == 0 {
		return t.path()
	}
	return t.path() + "?" + t.query.Encode()
}

// with is the target's address with one parameter changed, on the first page; an empty
// value takes it out.
func (t *target) with(key, value string) string {
	other := *t
	other.query = url.Values{}
	for k, v := range t.query {
		if k != key && (k != "page" || key == "page") {
			other.query[k] = v
		}
	}
	if value != "" {
		other.query.Set(key, value)
	}
	return other.canonical()
}

// nextOf gives back a target to go on at, where its path is that of a page that people read,
// byte for byte as we write it, and its query one that the page takes, in any order; else it is
// as absent.
func nextOf(raw string) (string, bool) {
	if raw == "" || len(raw) > maxNext {
		return "", false
	}
	t, err := parse(http.MethodGet, raw)
	path, query, _ := strings.Cut(raw, "?")
	if err != nil || t.place == atStatic || t.place == atLogin || t.path() != path || strings.ContainsFunc(query, notOfQuery) {
		return "", false
	}
	return raw, true
}

// back is the first page of those named, the login too, which leads on as it did; where they are
// none it is that of the repositories.
func back(pages ...string) string {
	for _, raw := range pages {
		if to, ok := nextOf(raw); ok {
			return to
		}
		path, _, _ := strings.Cut(raw, "?")
		if t, err := parse(http.MethodGet, raw); err == nil && t.place == atLogin && t.path() == path {
			next, _ := nextOf(t.query.Get("next"))
			return loginPath(next)
		}
	}
	return "/ui/"
}

// loginPath leads to the login, and on to a page from there.
func loginPath(next string) string {
	at := target{place: atLogin}
	if next != "" && next != "/ui/" && next != "/" {
		at.query = url.Values{"next": {next}}
	}
	return at.canonical()
}

// notOfQuery reports whether a character cannot stand in a query as it is (RFC 3986 section
// 3.4): such a text is no target.
func notOfQuery(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune("\"#<>\\^`{|}", c) }

// reference is a REPOSITORY:TAG or REPOSITORY@DIGEST of a parameter.
func reference(text string) (t target, err error) {
	t, err = named(text)
	if err == nil && t.place != atImage {
		err = errReference
	}
	return t, err
}

var errReference = errors.New("neither REPOSITORY:TAG nor REPOSITORY@DIGEST")
