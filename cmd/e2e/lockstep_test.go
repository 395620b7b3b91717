package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	routes "github.com/distribution/distribution/v3/registry/api/v2"
	"github.com/gorilla/mux"
)

// wiretap stands between the gateway and a registry and keeps every byte that
// goes up, connection by connection.
type wiretap struct {
	net.Listener
	mu    sync.Mutex
	conns []*bytes.Buffer
}

func startWiretap(t *testing.T, registry string) *wiretap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{Listener: l}
	go func() {
		for {
			down, err := l.Accept()
			if err != nil {
				return
			}
			go w.join(down, registry)
		}
	}()
	t.Cleanup(func() { l.Close() })
	return w
}

// join connects both sides; what goes up is kept before it is sent.
func (w *wiretap) join(down net.Conn, registry string) {
	defer down.Close()
	up, err := net.Dial("tcp", registry)
	if err != nil {
		return
	}
	defer up.Close()
	log := &bytes.Buffer{}
	w.mu.Lock()
	w.conns = append(w.conns, log)
	w.mu.Unlock()
	go func() { io.Copy(down, up); down.Close() }()
	io.Copy(up, io.TeeReader(down, writer(func(p []byte) (int, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return log.Write(p)
	})))
}

type writer func([]byte) (int, error)

func (f writer) Write(p []byte) (int, error) { return f(p) }

// deed is one thing that a request makes the registry do.
type deed struct{ action, repository, tag string }

// glimpse is one request as the registry reads it.
type glimpse struct {
	id, line string
	deeds    []deed
}

// glimpses reads all connections as distribution would: its own router, and its way of
// taking parameters from a body.
func (w *wiretap) glimpses(t *testing.T) (list []glimpse) {
	t.Helper()
	router := routes.RouterWithPrefix("")
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.conns {
		r := bufio.NewReader(bytes.NewReader(conn.Bytes()))
		for {
			if _, err := r.Peek(1); err != nil {
				break
			}
			req, err := http.ReadRequest(r)
			if err != nil {
				t.Errorf("the registry got no HTTP: %v", err)
				break
			}
			list = append(list, glimpse{req.Header.Get("X-Request-Id"), req.Method + " " + req.RequestURI, deedsOf(router, req)})
			io.Copy(io.Discard, req.Body)
		}
	}
	return list
}

// deedsOf is what distribution would do for a request. An endpoint that it does not
// have deeds everything, so that it is noticed; referrers are the newer ones'.
func deedsOf(router *mux.Router, r *http.Request) (deeds []deed) {
	name, kind := "", ""
	var match mux.RouteMatch
	switch m := referrersPath.FindStringSubmatch(r.URL.Path); {
	case m != nil:
		name, kind = m[1], "referrers"
	case path.Clean(r.URL.Path) == strings.TrimSuffix(r.URL.Path, "/") && router.Match(r, &match) && match.Handler == nil:
		name, kind = match.Vars["name"], match.Route.GetName()
	}
	switch {
	case kind == "":
		return []deed{{"unknown endpoint", r.URL.Path, ""}}
	case kind == routes.RouteNameBase:
		return nil
	case kind == routes.RouteNameCatalog:
		return []deed{{"catalog", "", ""}}
	}
	action := map[string]string{"GET": "pull", "HEAD": "pull", "DELETE": "delete"}[r.Method]
	if action == "" || kind == routes.RouteNameBlobUpload || kind == routes.RouteNameBlobUploadChunk {
		action = "push"
	}
	r.ParseMultipartForm(1 << 20) // also a form of the other kind, and the query
	tags := append(slices.Clone(r.Form["tag"]), match.Vars["reference"])
	for _, tag := range tags {
		deeds = append(deeds, deed{action, name, tag})
	}
	for _, from := range r.Form["from"] {
		deeds = append(deeds, deed{"pull", from, ""})
	}
	return deeds
}

var referrersPath = regexp.MustCompile(`^/v2/(.+)/referrers/[^/]+$`)

// person is somebody with the rights of the policy below.
type person struct {
	name, login string // Basic credentials; "": the anonymous caller
	may         func(deed) bool
	refresh     string // token
}

// A rule that gives everything to everybody stands in the config while the first
// tokens are made: they carry what the policy no longer gives.
const (
	wideRule       = `  - {allow: [pull, push, delete], repositories: ["**"], to: [everyone]}`
	lockstepPolicy = wideRule + `
  - {allow: [pull, push], repositories: ["team/a/**"], to: ["user:guest"]}
  - {allow: [pull], repositories: ["shared/**"], to: ["user:guest"]}
  - {allow: [pull], repositories: ["public/*"], to: [everyone]}
  - {deny: [push], repositories: ["team/a/**"], tags: ["v*"], to: [authenticated]}
`
)

// under reports whether the name is the folder or in it.
func under(name, folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }

// people are the identities, their rights written once more by hand.
func people() []person {
	public := func(n deed) bool {
		return n.action == "pull" && strings.HasPrefix(n.repository, "public/") && strings.Count(n.repository, "/") == 1
	}
	return []person{
		{name: "nobody", may: func(n deed) bool { return public(n) || n.action == "catalog" }},
		{name: "test", login: basic("test", testPassword), may: func(n deed) bool { return n.action == "pull" || n.action == "catalog" }},
		{name: "guest", login: basic("guest", guestPassword), may: func(n deed) bool {
			switch n.action {
			case "catalog":
				return true
			case "pull":
				return public(n) || under(n.repository, "team/a") || under(n.repository, "shared")
			}
			return n.action == "push" && under(n.repository, "team/a") && !strings.HasPrefix(n.tag, "v")
		}},
	}
}

// ticket is a token with what was asked for it.
type ticket struct {
	*person
	text  string
	asked []string // scopes
}

// carries reports whether the token can be good for this.
func (b ticket) carries(n deed) bool {
	if n.action == "catalog" {
		return slices.Contains(b.asked, "registry:catalog:*")
	}
	for _, scope := range b.asked {
		if rest, ok := strings.CutPrefix(scope, "repository:"+n.repository+":"); ok && slices.Contains(strings.Split(rest, ","), n.action) {
			return true
		}
	}
	return false
}

// lockstep makes random requests.
type lockstep struct {
	*rand.Rand
	t         *testing.T
	g         *gateway
	tickets   []ticket
	sessions  []string // paths and queries of upload sessions that began
	responses map[string]ticket
}

var (
	lockstepNames = []string{"team/a", "team/a/app", "team/a/b/c", "team/ab", "team/b/secret", "shared/x", "public/x", "public/x/y", "team"}
	lockstepTags  = []string{"latest", "v1", "dev", "V1"}
)

func pick[T any](l *lockstep, list []T) T { return list[l.IntN(len(list))] }

// realm asks for a token; the reply may hold a refresh token.
func (l *lockstep) realm(r *http.Request) (token, refresh string) {
	l.t.Helper()
	resp, err := l.g.client.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	var reply struct {
		Token   string `json:"token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil || reply.Token == "" {
		l.t.Fatalf("the realm: %s %v", resp.Status, err)
	}
	return reply.Token, reply.Refresh
}

func (l *lockstep) request(method, query string, body io.Reader) *http.Request {
	r, err := http.NewRequest(method, l.g.scheme+"://"+l.g.address+"/auth"+query, body)
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

// enter logs the person in, once: each login costs the hash of a password.
func (l *lockstep) enter(p *person) {
	if p.login == "" {
		return
	}
	r := l.request("GET", "?offline_token=true", nil)
	r.Header.Set("Authorization", "Basic "+p.login)
	_, p.refresh = l.realm(r)
}

// ticket asks for a token, with a random scope or with all that it can get.
func (l *lockstep) ticket(p *person, all bool) ticket {
	b := ticket{person: p}
	if all {
		for _, name := range lockstepNames {
			b.asked = append(b.asked, "repository:"+name+":pull,push,delete")
		}
	}
	for range l.IntN(6) {
		b.asked = append(b.asked, "repository:"+pick(l, lockstepNames)+":"+pick(l, []string{"pull", "pull,push", "push", "delete", "pull,push,delete"}))
	}
	if l.IntN(2) == 0 {
		b.asked = append(b.asked, "registry:catalog:*")
	}
	r := l.request("GET", "?"+url.Values{"scope": b.asked}.Encode(), nil)
	if p.login != "" {
		r = l.request("POST", "", strings.NewReader(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {p.refresh}, "scope": b.asked}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	b.text, _ = l.realm(r)
	return b
}

// target is a request target: an endpoint of a name, a session that began, or
// either with something odd in it.
func (l *lockstep) target(digest string) string {
	name := pick(l, lockstepNames)
	ends := []string{"/tags/list", "/manifests/" + pick(l, lockstepTags), "/manifests/" + digest, "/blobs/" + digest, "/blobs/uploads/", "/blobs/uploads/", "/referrers/" + digest}
	s := "/v2/" + name + pick(l, ends)
	switch l.IntN(12) {
	case 0:
		s = "/v2/_catalog"
	case 1, 2, 3:
		if len(l.sessions) > 0 {
			s = pick(l, l.sessions)
			if l.IntN(3) == 0 { // in another repository
				if at := strings.Index(s, "/blobs/"); at > 0 {
					s = "/v2/" + name + s[at:]
				}
			}
		}
	}
	if l.IntN(6) == 0 {
		at := l.IntN(len(s) + 1)
		s = s[:at] + pick(l, []string{"%2f", "/../", "//", "/.", ";", "%2e%2e/", "/", "\\", "#", "%00", "%3A", "A", "?"}) + s[at:]
	}
	return s + l.query(s, digest)
}

// query is a random query, with what a registry might take from it.
func (l *lockstep) query(s, digest string) string {
	var parameters []string
	for range max(0, l.IntN(6)-2) {
		parameters = append(parameters, pick(l, []string{"mount=" + digest, "from=" + pick(l, lockstepNames), "fr%6fm=" + pick(l, lockstepNames), "digest=" + digest, "tag=" + pick(l, lockstepTags),
			"n=5", "last=x", "account=admin", "origin=x", "MOUNT=x", "from=" + url.QueryEscape(pick(l, lockstepNames))}))
	}
	if l.IntN(4) == 0 {
		parameters = append(parameters, "mount="+digest, "from="+pick(l, lockstepNames))
	}
	if parameters == nil {
		return ""
	}
	return map[bool]string{true: "&", false: "?"}[strings.Contains(s, "?")] + strings.Join(parameters, pick(l, []string{"&", "&", "&", ";"}))
}

// body is a content type and a body, whole or in chunks, that may hold parameters.
func (l *lockstep) body(digest string) string {
	form := "mount=" + digest + "&from=" + pick(l, lockstepNames) + "&tag=v1"
	multipart := "--b\r\nContent-Disposition: form-data; name=\"mount\"\r\n\r\n" + digest + "\r\n--b\r\nContent-Disposition: form-data; name=\"from\"\r\n\r\n" + pick(l, lockstepNames) + "\r\n--b--\r\n"
	inner := "GET /v2/team/b/secret/manifests/latest HTTP/1.1\r\nHost: x\r\n\r\n"
	text := pick(l, []string{"", "", "", form, multipart, inner, "{}"})
	head := pick(l, []string{"", "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: multipart/form-data; boundary=b\r\n", "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n"})
	switch {
	case text == "" && l.IntN(2) == 0:
		return head + "\r\n"
	case l.IntN(3) == 0 && text != "":
		return head + pick(l, []string{"", "Content-Length: 3\r\n"}) + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(text), text)
	}
	return head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(text), text)
}

// raw is a random request. Half of them are as a client would make them, but for
// the name and an odd query.
func (l *lockstep) raw(digest, head string) string {
	name := "/v2/" + pick(l, lockstepNames)
	if l.IntN(5) == 0 {
		head += pick(l, []string{"X-HTTP-Method-Override: DELETE", "X-Original-URL: /v2/team/b/secret/tags/list", "Connection: Authorization", "Authorization: Basic eDp5", "Upgrade: h2c", "Range: bytes=0-1"}) + "\r\n"
	}
	line := func(method, target string) string { return method + " " + target + " HTTP/1.1\r\n" + head }
	switch l.IntN(10) {
	case 0, 1:
		return line(pick(l, []string{"GET", "HEAD"}), name+pick(l, []string{"/tags/list", "/manifests/latest", "/manifests/" + digest, "/blobs/" + digest, "/referrers/" + digest})+l.query("", digest)) + "\r\n"
	case 2:
		return line("POST", name+"/blobs/uploads/"+l.query("", digest)) + "Content-Length: 0\r\n\r\n"
	case 3:
		return line("PUT", name+"/manifests/"+pick(l, append(lockstepTags, digest))+l.query("", digest)) + l.body(digest)
	case 4:
		return line("POST", "/v2/team/a/app/blobs/uploads/?mount="+digest+"&from="+pick(l, lockstepNames)) + "Content-Length: 0\r\n\r\n"
	case 5:
		if l.IntN(4) == 0 {
			return line("GET", "/v2/_catalog") + "\r\n"
		}
	}
	return line(pick(l, []string{"GET", "HEAD", "POST", "POST", "PUT", "PUT", "PATCH", "PATCH", "DELETE"}), l.target(digest)) + l.body(digest)
}

// once sends one random request and notes who asked.
func (l *lockstep) once(digest string) (status int) {
	b := pick(l, l.tickets)
	raw := l.raw(digest, "Host: "+l.g.address+"\r\nConnection: close\r\nAuthorization: Bearer "+b.text+"\r\n")
	conn, err := net.Dial("tcp", l.g.address)
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(conn, raw)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: raw[:strings.IndexByte(raw, ' ')]})
	if err != nil {
		l.t.Fatalf("%q: %v", raw, err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	l.responses[resp.Header.Get("X-Request-Id")] = b
	if where := resp.Header.Get("Location"); resp.StatusCode == http.StatusAccepted && strings.Contains(where, "/blobs/uploads/") {
		l.sessions = append(l.sessions, where)
	}
	return resp.StatusCode
}

// stock puts one blob and a manifest with several tags into each repository, past
// the gateway.
func stock(t *testing.T, registry string) (digest string) {
	t.Helper()
	const blob = "{}"
	digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
	manifest := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"` + digest + `"},"layers":[]}`
	do := func(method, target, contentType, body string) *http.Response {
		r, err := http.NewRequest(method, target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		resp, err := http.DefaultClient.Do(r)
		if err != nil || resp.StatusCode > 299 {
			t.Fatalf("%s %s: %v %v", method, target, resp, err)
		}
		resp.Body.Close()
		return resp
	}
	for _, name := range lockstepNames {
		session := do("POST", registry+"/v2/"+name+"/blobs/uploads/", "", "").Header.Get("Location")
		do("PUT", session+"&digest="+digest, "application/octet-stream", blob)
		for _, tag := range lockstepTags {
			do("PUT", registry+"/v2/"+name+"/manifests/"+tag, "application/vnd.oci.image.manifest.v1+json", manifest)
		}
	}
	return digest
}

// TestLockstep sends random requests of random people through the gateway and
// reads, between it and a real registry, what each makes the registry do: no
// repository and no action that the person or the token lacks is ever seen there.
// $GATEHOUSE_LOCKSTEP is how long it goes on.
func TestLockstep(t *testing.T) {
	r := startRegistry(t)
	digest := stock(t, r.url())
	tap := startWiretap(t, r.address)
	g := startGateway(t, setup{Upstream: "http://" + tap.Addr().String(), BlobMount: "true", Policy: lockstepPolicy, Tokens: "refresh_lifetime: 1h"})
	long, seed := 4*time.Second, uint64(1)
	if s := os.Getenv("GATEHOUSE_LOCKSTEP"); s != "" {
		var err error
		if long, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	l := &lockstep{Rand: rand.New(rand.NewPCG(seed, 0)), t: t, g: g, responses: map[string]ticket{}}
	everyone, sent := people(), 0
	var wide []ticket
	for i := range everyone {
		l.enter(&everyone[i])
		wide = append(wide, l.ticket(&everyone[i], true))
	}
	l.narrow()
	for end := time.Now().Add(long); sent < 2500 || time.Now().Before(end); sent++ {
		if sent%100 == 0 {
			l.tickets = slices.Clone(wide)
			for i := range everyone {
				l.tickets = append(l.tickets, l.ticket(&everyone[i], false), l.ticket(&everyone[i], l.IntN(2) == 0))
			}
			l.sessions = l.sessions[max(0, len(l.sessions)-20):]
		}
		l.once(digest)
	}
	l.judge(tap.glimpses(t), sent)
}

// narrow takes the wide rule away, for the tokens that exist too.
func (l *lockstep) narrow() {
	l.t.Helper()
	config, err := os.ReadFile(l.g.config)
	if err != nil {
		l.t.Fatal(err)
	}
	write(l.t, l.g.config, strings.Replace(string(config), wideRule, "", 1))
	l.g.reload(l.t)
}

// judge holds what the registry saw against what its senders may do.
func (l *lockstep) judge(seen []glimpse, sent int) {
	count := map[string]int{}
	for _, s := range seen {
		b, known := l.responses[s.id]
		if !known {
			if s.id != "" || s.line != "GET /v2/" { // the gateway's own question whether it is there
				l.t.Errorf("the registry saw %s, which nobody sent", s.line)
			}
			continue
		}
		for _, n := range s.deeds {
			if !b.may(n) || !b.carries(n) {
				l.t.Errorf("%s with a token for %q made the registry see %s, that is %+v", b.name, b.asked, s.line, n)
			}
			count[b.name+" "+n.action]++
		}
		if strings.Contains(s.line, "from=") {
			count["mount"]++
		}
	}
	l.t.Logf("%d requests sent, %d reached the registry: %v", sent, len(seen), count)
	for _, want := range []string{"nobody pull", "test pull", "guest pull", "guest push", "test catalog", "mount"} {
		if count[want] == 0 {
			l.t.Errorf("not one request of the kind %s got through; the run shows nothing", want)
		}
	}
}
