//go:build clients

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// mockServer is the issuer of another language.
const mockServer = "oauth2-mock-server@8.2.3"

// fetchPause is how long the gateway leaves an issuer alone.
const fetchPause = 10 * time.Second

// foreign is an issuer of another project, behind one that counts and may do something else
// in its place.
type foreign struct {
	*authntest.Issuer
	real     http.Handler
	control  string // host:port
	audience string
	match    string // of the workload, in YAML
	name     string
	machine  string // as which its tokens log in
}

// behind makes an issuer of a program that takes its URL and two ports.
func behind(t *testing.T, f *foreign, program func(args ...string) *exec.Cmd) *foreign {
	t.Helper()
	address := authntest.FreeAddress(t)
	f.Issuer, f.control = authntest.StartIssuer(t), authntest.FreeAddress(t)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	proxy.Transport = &http.Transport{DisableKeepAlives: true} // it is restarted at times
	f.real = proxy
	f.Instead(proxy.ServeHTTP)
	port := func(address string) string { return address[strings.LastIndex(address, ":")+1:] }
	p := authntest.Start(t, program(f.URL, port(address), port(f.control)))
	for _, at := range []string{address, f.control} {
		if err := p.Await(30*time.Second, func() bool { return authntest.Listening(at) }); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// startMock is oauth2-mock-server, which signs whatever claims it is told.
func startMock(t *testing.T) *foreign {
	t.Helper()
	authntest.Need(t, "node", "npm")
	folder := nodeModule(t, mockServer)
	script := filepath.Join(folder, "issuer.mjs")
	text, err := os.ReadFile("testdata/mock/issuer.mjs")
	if err != nil {
		t.Fatal(err)
	}
	write(t, script, string(text))
	f := &foreign{audience: jobAudience, match: `{repository: "octo-org/*"}`, name: "{repository}", machine: "octo-org/app"}
	return behind(t, f, func(args ...string) *exec.Cmd { return exec.Command("node", append([]string{script}, args...)...) })
}

// nodeModule is a folder in which a package of npm is installed, once.
func nodeModule(t *testing.T, name string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(cache, "gatehouse", "clients", strings.Replace(name, "@", "-", 1))
	done := filepath.Join(folder, "installed")
	if _, err := os.Stat(done); err == nil {
		return folder
	}
	t.Logf("installing %s, once", name)
	if _, err := authntest.Run(exec.Command("npm", "install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", name)); err != nil {
		t.Fatal(err)
	}
	write(t, done, name)
	return folder
}

// startZitadel is zitadel's op, which signs what a login by browser gets.
func startZitadel(t *testing.T) *foreign {
	t.Helper()
	program := ownProgram(t, "testdata/zitadel", ".")
	f := &foreign{audience: "web", match: `{azp: web}`, name: "people/{sub}", machine: "people/id2"}
	return behind(t, f, func(args ...string) *exec.Cmd { return exec.Command(program, args...) })
}

// order asks the control port.
func (f *foreign) order(t *testing.T, what, body string) string {
	t.Helper()
	res, err := http.Post("http://"+f.control+"/"+what, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s, %v", what, res.StatusCode, text, err)
	}
	return string(text)
}

// token is an ID token signed by the key of the moment.
func (f *foreign) token(t *testing.T) string {
	t.Helper()
	claims, err := json.Marshal(f.Claims(time.Now(), f.audience, map[string]any{"repository": "octo-org/app", "sub": "repo:octo-org/app"}))
	if err != nil {
		t.Fatal(err)
	}
	token := f.order(t, "token", string(claims))
	secrets = append(secrets, token)
	return token
}

// directory is its section of the config.
func (f *foreign) directory() string {
	return fmt.Sprintf("  - name: foreign\n    oidc:\n      issuer: %s\n      audiences: [%q]\n      timeout: 1s\n      workloads:\n        - {match: %s, name: %q}\n", f.URL, f.audience, f.match, f.name)
}

const foreignRules = `  - {allow: [pull, push], repositories: ["ci/{machine}/**"], to: ["machine:foreign/**"]}`

var foreigners = []struct {
	name  string
	start func(*testing.T) *foreign
}{{"oauth2-mock-server", startMock}, {"zitadel", startZitadel}}

// TestIssuerClients: docker logs in with an ID token of each issuer, the others with what
// they are given for one, and all push and pull.
func TestIssuerClients(t *testing.T) {
	clients := slices.DeleteFunc(programs(t, ""), func(p program) bool {
		return !slices.Contains([]string{"docker", "podman", "skopeo", "crane", "oras"}, p.name)
	})
	for _, f := range foreigners {
		t.Run(f.name, func(t *testing.T) {
			issuer := f.start(t)
			g := startGateway(t, setup{Upstream: startRegistry(t).url(), Directories: issuer.directory(), Policy: foreignRules})
			for _, p := range clients {
				t.Run(p.name, func(t *testing.T) {
					password := issuer.token(t)
					if p.name != "docker" {
						password = exchanged(t, g, password)
					}
					s := open(t, p, place{g.address, "robot", password}, nil, "ci/"+issuer.machine+"/"+p.name, makeGoods(t))
					if out, err := s.run(join(p.login, p.push, p.pull)); err != nil {
						t.Errorf("%v\n%s", err, strings.ReplaceAll(out, password, "TOKEN"))
					}
				})
			}
			if want := `"user":"` + issuer.machine + `"`; !g.logs(want) {
				t.Errorf("the log never has %s", want)
			}
		})
	}
}

// TestIssuerFaults: keys rotated and withdrawn, and an issuer that is mute, redirects, or is
// down: what is known goes on, what is not is 503 and never a refusal, and what is withdrawn
// ends.
func TestIssuerFaults(t *testing.T) {
	for _, f := range foreigners {
		t.Run(f.name, func(t *testing.T) {
			issuer := f.start(t)
			g := startGateway(t, setup{Upstream: startRegistry(t).url(), Directories: issuer.directory(), Policy: foreignRules, Sections: "throttle: {tokens_per_source: 0}"})
			login := func(token string) int { return g.realm("robot", token).status }
			turns := func(what, token string, status int) {
				t.Helper()
				eventually(t, 2*fetchPause, what, func() bool { return login(token) == status })
			}
			first := issuer.token(t)
			turns("the first login", first, http.StatusOK)
			issuer.order(t, "rotate", "")
			second := issuer.token(t)
			turns("the new key", second, http.StatusOK)
			turns("the old key beside it", first, http.StatusOK)
			issuer.order(t, "withdraw", "")
			third := issuer.token(t)
			turns("the only key", third, http.StatusOK)
			turns("a withdrawn key", first, http.StatusUnauthorized)
			turns("a withdrawn key", second, http.StatusUnauthorized)
			issuer.order(t, "rotate", "")
			unseen := issuer.token(t)
			var followed atomic.Bool
			for _, c := range []struct {
				name string
				do   http.HandlerFunc
			}{
				{"mute", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
				{"redirecting", func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/elsewhere" {
						followed.Store(true)
					}
					http.Redirect(w, r, issuer.URL+"/elsewhere", http.StatusFound)
				}},
				{"down", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
			} {
				issuer.Instead(c.do)
				turns(c.name+", for a key that nobody has seen", unseen, http.StatusServiceUnavailable)
				if status := login(third); status != http.StatusOK {
					t.Errorf("%s: %d for a key that is known", c.name, status)
				}
			}
			if followed.Load() {
				t.Error("a redirect was followed")
			}
			issuer.Instead(issuer.real.ServeHTTP)
			turns("back again", unseen, http.StatusOK)
		})
	}
}

// badTokens are of a kind each: of a key that nobody has, of the issuer's but changed, signed
// by another, and ended.
func badTokens(t *testing.T, issuer *foreign, n int) []string {
	t.Helper()
	good := issuer.token(t)
	parts := strings.Split(good, ".")
	var list []string
	for i := range n {
		claims := issuer.Claims(time.Now(), issuer.audience, map[string]any{"repository": "octo-org/app", "sub": "x", "azp": "web", "n": i})
		switch i % 3 {
		case 0:
			list = append(list, authntest.SignAs(t, claims, map[string]any{"alg": "RS256", "kid": fmt.Sprint("nobody's ", i)}, issuer.Key()))
		case 1:
			list = append(list, parts[0]+"."+parts[1]+"."+fmt.Sprintf("%08x", i)+parts[2][8:])
		default:
			claims["exp"] = time.Now().Add(-time.Hour).Unix()
			list = append(list, authntest.SignAs(t, claims, map[string]any{"alg": "RS256", "kid": "x"}, issuer.Key()))
		}
	}
	secrets = append(secrets, good)
	return list
}

// TestIssuerBadTokens: 10,000 bad tokens are one question in ten seconds at most, none of
// them passes, and a good one does amid them.
func TestIssuerBadTokens(t *testing.T) {
	for _, f := range foreigners {
		t.Run(f.name, func(t *testing.T) {
			issuer := f.start(t)
			g := startGateway(t, setup{Upstream: startRegistry(t).url(), Directories: issuer.directory(), Policy: foreignRules, Sections: "throttle: {tokens_per_source: 0}"})
			g.realm("robot", issuer.token(t)).want(t, "a good one", http.StatusOK)
			list, good := badTokens(t, issuer, 10_000), issuer.token(t)
			_, before := issuer.Asked()
			began := time.Now()
			statuses := g.showAll(list)
			took := time.Since(began)
			_, after := issuer.Asked()
			g.realm("robot", good).want(t, "a good one afterwards", http.StatusOK)
			if statuses[http.StatusUnauthorized] != len(list) {
				t.Errorf("%v", statuses)
			}
			most := 1 + int(took/fetchPause)
			if t.Logf("%d bad tokens in %s, %d questions", len(list), took.Round(time.Millisecond), after-before); after-before > most {
				t.Errorf("%d questions, want %d at most", after-before, most)
			}
		})
	}
}

// showAll shows tokens at the realm, eight at a time, and counts the answers.
func (g *gateway) showAll(list []string) map[int]int {
	work := make(chan string)
	statuses := map[int]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for token := range work {
				status := g.realm("robot", token).status
				mu.Lock()
				statuses[status]++
				mu.Unlock()
			}
		})
	}
	for _, token := range list {
		work <- token
	}
	close(work)
	all.Wait()
	return statuses
}

// endedLayer is how many bytes take four minutes at throttledRate.
const endedLayer = 240 * throttledRate

// TestIDTokenEndsAmidPush: docker logs in with an ID token that ends after 60 s, then pushes
// for four minutes, with access tokens of a minute.
func TestIDTokenEndsAmidPush(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), Directories: jobs(issuer.URL), Policy: jobRules, Tokens: "lifetime: 60s"})
	p := dockerProgram(t)
	slow := startThrottle(t, g.address)
	now := time.Now()
	token := job(t, issuer, map[string]any{"exp": now.Add(time.Minute).Unix()})
	made := makeGoods(t)
	made.image = linuxImage(t, endedLayer)
	s := open(t, p, place{slow, "github", token}, nil, "ci/octo-org/app/long", made)
	if out, err := s.run(p.login); err != nil {
		t.Fatalf("%v\n%s", err, strings.ReplaceAll(out, token, "TOKEN"))
	}
	began := time.Now()
	out, err := s.run(join(p.push, p.pull))
	took := time.Since(began).Round(time.Second)
	if err != nil {
		t.Errorf("after %s: %v\n%s", took, err, strings.ReplaceAll(out, token, "TOKEN"))
	}
	if t.Logf("pushed and pulled in %s", took); took < 235*time.Second {
		t.Errorf("in %s: too fast to tell", took)
	}
	g.realm("github", token).refusal(t, http.StatusUnauthorized, "UNAUTHORIZED")
	if !g.logs(`"grant":"refresh"`) {
		t.Error("docker showed no refresh token")
	}
}
