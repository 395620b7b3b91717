package tokens

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gatehouse/authn"
	"gatehouse/authz"
)

// village is a directory of several persons, who come, go and change.
type village map[string]authn.Identity

func (v village) Name() string                 { return "corp" }
func (v village) Timeout() time.Duration       { return time.Second }
func (v village) Canary(context.Context) error { return nil }
func (v village) Available() bool              { return true }
func (v village) Close()                       {}

func (v village) Find(_ context.Context, login string) (authn.Identity, error) {
	if id, ok := v[login]; ok {
		return id, nil
	}
	return authn.Identity{}, authn.ErrUnknownUser
}

func (v village) Verify(_ context.Context, id authn.Identity, _ authn.Secret) (authn.Identity, error) {
	return id, nil
}

func (v village) Lookup(ctx context.Context, ref authn.Ref) (authn.Identity, error) {
	id, err := v.Find(ctx, ref.Username)
	if err == nil && id.ID != ref.ID {
		return authn.Identity{}, authn.ErrUnknownUser
	}
	return id, err
}

// step is one thing that happens: to a person, or to the time, or a question.
type step struct {
	kind    string
	person  authn.Identity // zero but for the name: they are gone
	seconds int
	token   int
	request authz.Request
}

var steps = rapid.Custom(func(t *rapid.T) step {
	s := step{kind: rapid.SampledFrom([]string{"login", "change", "wait", "ask", "ask", "ask", "ask", "ask"}).Draw(t, "kind")}
	s.person.Username = rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "name")
	if rapid.IntRange(0, 3).Draw(t, "gone") > 0 {
		s.person.Directory = "corp"
		s.person.ID = rapid.SampledFrom([]string{"u-1", "u-1", "u-2"}).Draw(t, "id")
		s.person.PasswordStamp = rapid.SampledFrom([]string{"p1", "p1", "p2"}).Draw(t, "stamp")
		for _, g := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b"}), 0, 2, rapid.ID).Draw(t, "groups") {
			s.person.Groups = append(s.person.Groups, authn.Group{Name: g})
		}
	}
	s.seconds, s.token = rapid.IntRange(0, 200).Draw(t, "seconds"), rapid.IntRange(0, 1000).Draw(t, "token")
	s.request = authz.Request{Repository: rapid.SampledFrom([]string{"a/x", "b/x"}).Draw(t, "repository"),
		Action: rapid.SampledFrom([]authz.Action{authz.Pull, authz.Push}).Draw(t, "action")}
	return s
})

// asker is the way of a request, with caches or without.
type asker struct {
	keyring func() *Keyring
	chain   *authn.Chain
	policy  *authz.Policy
}

func (a asker) ask(ctx context.Context, text string, q authz.Request) string {
	token, err := a.keyring().Verify(text, Access, time.Minute)
	if err != nil {
		return fmt.Sprint("expired ", errors.Is(err, ErrExpired))
	}
	id, err := a.keyring().Identify(ctx, a.chain, token, false)
	if err != nil {
		return fmt.Sprint("refused ", errors.Is(err, ErrInvalidToken))
	}
	return fmt.Sprintf("%+v %v", a.policy.Decide(id, q), token.Scope.Allows(q.Repository, q.Action))
}

const fresh, negative = time.Minute, 15 * time.Second

// walk takes the steps with caches and without, and says where the answers
// differ. A change counts once what is fresh or denied has ended.
func walk(ctx context.Context, policy *authz.Policy, key authn.SecretFile, list []step, answers map[string]int) error {
	people, texts := village{}, []string(nil)
	cache, err := authn.NewCache(people, authn.CacheConfig{FreshFor: fresh, NegativeFor: negative, StaleFor: time.Hour})
	if err != nil {
		return err
	}
	defer cache.Close()
	newRing := func() *Keyring {
		k, err := NewKeyring(Config{Issuer: "i", Service: "s", Lifetime: 10 * time.Minute, KeyFiles: []authn.SecretFile{key}})
		if err != nil {
			panic(err)
		}
		return k
	}
	warm := newRing()
	chain := func(d authn.Directory) *authn.Chain {
		return authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{d}})
	}
	with, without := asker{func() *Keyring { return warm }, chain(cache), policy}, asker{newRing, chain(people), policy}
	asked, _ := authz.ParseScope([]string{"repository:a/x:pull,push", "repository:b/x:pull"})
	for i, s := range list {
		switch s.kind {
		case "login", "change":
			if people[s.person.Username] = s.person; s.person.Directory == "" {
				delete(people, s.person.Username)
			}
			time.Sleep(fresh + negative + time.Second)
			if s.kind == "login" && s.person.Directory != "" {
				text, _, err := warm.Issue(tokenFor(Access, Login{Identity: s.person}, policy.Grant(s.person, asked, netip.Addr{})))
				if err != nil {
					return err
				}
				texts = append(texts, text)
			}
		case "wait":
			time.Sleep(time.Duration(s.seconds) * time.Second)
		case "ask":
			if len(texts) == 0 {
				continue
			}
			text := texts[s.token%len(texts)]
			got, want := with.ask(ctx, text, s.request), without.ask(ctx, text, s.request)
			if answers[want]++; got != want {
				return fmt.Errorf("step %d: with caches: %s, without: %s", i, got, want)
			}
		}
		synctest.Wait() // a look-up in the background reads the people, too
	}
	return nil
}

// TestCachesChangeNothing: with the caches of tokens and identities the answer is
// what it is without them.
func TestCachesChangeNothing(t *testing.T) {
	policy, err := authz.New(authz.Config{Directories: []string{"corp"}, Rules: []authz.Rule{
		{Position: "1", Allow: []string{"pull"}, Repositories: []string{"{group}/**"}, To: []string{"authenticated"}},
		{Position: "2", Allow: []string{"push"}, Repositories: []string{"**"}, To: []string{"group:a"}, Except: []string{"user:bob"}},
		{Position: "3", Deny: []string{"*"}, Repositories: []string{"b/**"}, To: []string{"group:b"}, Except: []string{"group:a"}}}})
	if err != nil {
		t.Fatal(err)
	}
	key, answers := generate(t), map[string]int{}
	for range 5 { // one run may by chance not see all kinds of answers
		rapid.Check(t, func(r *rapid.T) {
			list := rapid.SliceOfN(steps, 1, 40).Draw(r, "steps")
			var err error
			synctest.Test(t, func(t *testing.T) { err = walk(t.Context(), policy, key, list, answers) })
			if err != nil {
				r.Fatal(err)
			}
		})
	}
	if len(answers) < 6 {
		t.Errorf("only these answers were seen: %v", answers)
	}
}
