package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/authn/authntest"
	"gatehouse/authz"
	"gatehouse/cmd/internal/dockertest"
)

// personalSections are a store in a file and personal tokens for everybody.
const personalSections = "store: {file: store.db}\npersonal_tokens: {enabled: true, per_user: 10000}\n"

// personalToken is what /auth/tokens answers.
type personalToken struct{ ID, Name, Token string }

// order asks for a token.
func (g *gateway) order(user, password, body string) answer {
	return g.send(http.MethodPost, "/auth/tokens", func(r *http.Request) {
		r.SetBasicAuth(user, password)
		r.Header.Set("Content-Type", "application/json")
	}, strings.NewReader(body))
}

func (g *gateway) personal(t *testing.T, user, password, body string) (made personalToken) {
	t.Helper()
	a := g.order(user, password, body).want(t, "a personal token", http.StatusCreated)
	if err := json.Unmarshal(a.body, &made); err != nil || made.Token == "" {
		t.Fatalf("%v: %s", err, a.body)
	}
	secrets = append(secrets, made.Token[15:])
	return made
}

// TestPersonal: clients push and pull with a personal token and not beyond its ceiling, the
// log names it, it goes on without the directory, and ends with its deletion.
func TestPersonal(t *testing.T) {
	authntest.Need(t, "skopeo")
	directory := startDirectory(t)
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: directory, Sections: personalSections, Basic: true})
	made := g.personal(t, "mozart", musicians, `{"name":"ci","repositories":["anyuser/ci/**"],"actions":["pull","push"]}`)
	t.Run("docker", func(t *testing.T) {
		engine{dockertest.Start(t)}.pushesWithin(t, g, "whoever", made.Token, "/anyuser/ci/busybox:latest", "/anyuser/other/busybox:latest")
	})
	t.Run("skopeo", func(t *testing.T) {
		_, source := imageFolder(t, 50_000)
		ref := "docker://" + g.address + "/anyuser/ci/skopeo:v1"
		skopeo(t, "copy", "--dest-creds=x:"+made.Token, "--dest-tls-verify=false", source, ref)
		skopeo(t, "copy", "--src-creds=x:"+made.Token, "--src-tls-verify=false", ref, "dir:"+t.TempDir())
	})
	t.Run("crane", func(t *testing.T) { g.push(t, "anyuser/ci/crane:v1", "x", made.Token) })
	for _, want := range []string{`"user":"mozart"`, `"credential":"personal"`, `"credential_id":"` + made.ID + `"`} {
		if !g.logs(want) {
			t.Errorf("the log never has %s", want)
		}
	}
	access := g.token(t, "x", made.Token, "repository:anyuser/ci/crane:pull")
	directory.Stop()
	g.realm("x", made.Token).want(t, "the realm without the directory", http.StatusOK)
	g.send(http.MethodPost, "/auth/revoke", func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") },
		strings.NewReader("token="+made.Token)).want(t, "ended by its holder", http.StatusOK)
	g.get("/v2/anyuser/ci/crane/manifests/v1", access).want(t, "what was issued for it", http.StatusUnauthorized)
	g.realm("x", made.Token).want(t, "the realm after its end", http.StatusUnauthorized)
}

// creations is how many tokens are made before the gateway is killed for good;
// GATEHOUSE_CREATIONS is for the slow suite.
func creations() int {
	if n, err := strconv.Atoi(os.Getenv("GATEHOUSE_CREATIONS")); err == nil {
		return n
	}
	return 500
}

// TestKilledAmidCreations: kill -9 while many tokens are made, again and again: whatever
// was answered 201 is there afterwards, and good.
func TestKilledAmidCreations(t *testing.T) {
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t), Sections: personalSections})
	var mu sync.Mutex
	made := map[string]string{} // secrets by id
	for round := 0; len(made) < creations(); round++ {
		enough := len(made) + creations()/5
		var all sync.WaitGroup
		for worker := range 4 {
			all.Go(func() {
				for i := 0; ; i++ {
					a := g.order("mozart", musicians, fmt.Sprintf(`{"name":"%d-%d-%d","repositories":["anyuser/**"]}`, round, worker, i))
					var one personalToken
					if a.status != http.StatusCreated || json.Unmarshal(a.body, &one) != nil {
						return // it was killed
					}
					mu.Lock()
					made[one.ID] = one.Token
					if len(made) == enough {
						_ = g.Cmd.Process.Kill()
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		<-g.Ended
		g.serve(t)
		g.allThere(t, made)
	}
}

// allThere wants each token in the list of mozart's, and some of them to be good.
func (g *gateway) allThere(t *testing.T, made map[string]string) {
	t.Helper()
	a := g.send(http.MethodGet, "/auth/tokens", func(r *http.Request) { r.SetBasicAuth("mozart", musicians) }, nil).want(t, "the list", http.StatusOK)
	var list []personalToken
	if err := json.Unmarshal(a.body, &list); err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, one := range list {
		there[one.ID] = true
	}
	checked := 0
	for id, secret := range made {
		if !there[id] {
			t.Errorf("%s was answered 201 and is not there", id)
		}
		if checked++; checked <= 5 {
			g.realm("", secret).want(t, "the token "+id, http.StatusOK)
		}
	}
}

// ceilingCase is a token with what it was made for.
type ceilingCase struct {
	owner                 string
	token, access         string
	repositories, actions []string
}

// may reports whether the model lets the token do it: its owner's rules, and its ceiling, or
// what everyone may pull.
func (c *ceilingCase) may(action, repository string) bool {
	if action == "pull" && strings.HasPrefix(repository, "open/") {
		return true
	}
	own := c.owner == "admin" || action == "pull"
	within := len(c.repositories) == 0 || slices.ContainsFunc(c.repositories, func(text string) bool {
		p, err := authz.NewPattern(text)
		return err == nil && p.Match(repository)
	})
	return own && within && slices.Contains(c.actions, action)
}

// TestCeilingLockstep: before a real registry, a token of any ceiling may do what the model
// says and nothing else: pulls, pushes, mounts, deletions, the catalog, by access tokens and
// by Basic.
func TestCeilingLockstep(t *testing.T) {
	span := 6 * time.Second
	if d, err := time.ParseDuration(os.Getenv("GATEHOUSE_LOCKSTEP")); err == nil {
		span = d
	}
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), Basic: true, Sections: personalSections, BlobMount: "auto",
		Policy: `  - {allow: [pull], repositories: ["open/**"], to: [everyone]}`})
	repositories := []string{"team/app", "team/other", "team/deep/er", "home/x", "open/y"}
	digests := map[string]string{}
	for _, r := range repositories {
		digest, err := g.push(t, r+":v1", "admin", adminPassword).Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests[r] = digest.String()
	}
	random := rand.New(rand.NewPCG(3, uint64(time.Now().UnixNano())))
	asked, denied := 0, 0
	for deadline := time.Now().Add(span); time.Now().Before(deadline); {
		c := g.randomCeiling(t, random, repositories)
		for range 25 {
			if g.lockstep(t, random, c, repositories, digests) {
				denied++
			}
			asked++
		}
		g.catalogOf(t, c, repositories)
	}
	if t.Logf("%d requests, %d refused", asked, denied); denied < asked/10 || denied > asked*9/10 {
		t.Errorf("%d of %d were refused: too few to tell", denied, asked)
	}
}

func (g *gateway) randomCeiling(t *testing.T, random *rand.Rand, repositories []string) *ceilingCase {
	t.Helper()
	c := &ceilingCase{owner: []string{"admin", "test"}[random.IntN(2)]}
	for range random.IntN(3) {
		c.repositories = append(c.repositories, []string{"team/**", "team/*", "home/**", "**", "*/app", "open/y"}[random.IntN(6)])
	}
	for _, action := range []string{"pull", "push", "delete"} {
		if random.IntN(2) == 0 {
			c.actions = append(c.actions, action)
		}
	}
	body, _ := json.Marshal(map[string]any{"name": fmt.Sprint(random.Uint64()), "repositories": append([]string{}, c.repositories...), "actions": append([]string{}, c.actions...)})
	password := map[string]string{"admin": adminPassword, "test": testPassword}[c.owner]
	c.token = g.personal(t, c.owner, password, string(body)).Token
	if len(c.actions) == 0 {
		c.actions = []string{"pull"}
	}
	scopes := []string{"registry:catalog:*"}
	for _, r := range repositories {
		scopes = append(scopes, "repository:"+r+":pull,push,delete")
	}
	c.access = g.token(t, "x", c.token, scopes...)
	return c
}

// lockstep makes one request, and reports whether it was refused.
func (g *gateway) lockstep(t *testing.T, random *rand.Rand, c *ceilingCase, repositories []string, digests map[string]string) bool {
	t.Helper()
	at, from := repositories[random.IntN(len(repositories))], repositories[random.IntN(len(repositories))]
	authorize := bearer(c.access)
	if random.IntN(2) == 0 {
		authorize = func(r *http.Request) { r.SetBasicAuth("", c.token) }
	}
	var action string
	var a answer
	nobody := "sha256:" + strings.Repeat("0", 64)
	switch random.IntN(5) {
	case 0:
		action, a = "pull", g.send(http.MethodGet, "/v2/"+at+"/manifests/v1", authorize, nil)
	case 1:
		action, a = "pull", g.send(http.MethodGet, "/v2/"+at+"/tags/list", authorize, nil)
	case 2:
		action, a = "push", g.send(http.MethodPost, "/v2/"+at+"/blobs/uploads/", authorize, nil)
	case 3:
		action, a = "delete", g.send(http.MethodDelete, "/v2/"+at+"/manifests/"+nobody, authorize, nil)
	case 4:
		action, a = "push", g.send(http.MethodPost, "/v2/"+at+"/blobs/uploads/?mount="+nobody+"&from="+from, authorize, nil)
	}
	may, refused := c.may(action, at), a.status == http.StatusForbidden || a.status == http.StatusUnauthorized
	if refused == may {
		t.Fatalf("%s of %s by a token of %s for %q %q: %d %s, the model says %v", action, at, c.owner, c.repositories, c.actions, a.status, a.body, may)
	}
	return refused
}

// catalogOf: the catalog lists what the token may pull.
func (g *gateway) catalogOf(t *testing.T, c *ceilingCase, repositories []string) {
	t.Helper()
	a := g.get("/v2/_catalog", c.access).want(t, "the catalog", http.StatusOK)
	var got struct{ Repositories []string }
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatal(err)
	}
	want := []string{}
	for _, r := range repositories {
		if c.may("pull", r) {
			want = append(want, r)
		}
	}
	slices.Sort(want)
	if !slices.Equal(got.Repositories, want) {
		t.Fatalf("the catalog of %s for %q %q: %q, want %q", c.owner, c.repositories, c.actions, got.Repositories, want)
	}
}
