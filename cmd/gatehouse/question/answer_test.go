package question

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"gatehouse/authn"
	"gatehouse/authz"
)

// source knows ann and a machine, and is at fault for everybody else who is no stranger.
func source(t *testing.T) Source {
	policy, err := authz.New(authz.Config{Directories: []string{"local", "robots"}, Machines: []string{"robots"}, Rules: []authz.Rule{
		{Position: "p:1", Name: "out-stays", Deny: []string{"overwrite", "delete"}, Repositories: []string{"**"}, Tags: []string{"v*"}, To: []string{"people"}},
		{Position: "p:2", Allow: []string{"push"}, Repositories: []string{"team/**"}, To: []string{"user:ann", "machines"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return Source{Policy: policy, Directories: []string{"local", "robots"},
		Find: func(_ context.Context, user string) (authn.Identity, error) {
			switch user {
			case "ann":
				return authn.Identity{Directory: "local", Username: "ann", ID: "1", DN: "cn=ann", Groups: []authn.Group{{Name: "dev"}, {Name: "ops", DN: "cn=ops"}}, NoLogin: "locked"}, nil
			case "nobody":
				return authn.Identity{}, authn.ErrUnknownUser
			}
			return authn.Identity{}, authn.ErrUnavailable
		},
		FindMachine: func(_ context.Context, name string, _ map[string]any) (authn.Identity, error) {
			if name == "robots/jenkins" {
				return authn.Identity{Directory: "robots", Username: "jenkins", Machine: true}, nil
			}
			return authn.Identity{}, authn.ErrUnknownUser
		}}
}

// TestAsk: the answer in lines, and the same through JSON and back.
func TestAsk(t *testing.T) {
	ann := "user: ann\ndirectory: local\nid: 1\ndn: cn=ann\ngroups: dev; ops (cn=ops)\nno login: locked\n"
	for _, test := range []struct{ query, want string }{
		{"user=ann&action=push&ref=team/app:x", "allowed\nrule: p:2\n" + ann},
		{"user=ann&action=push&ref=team/app:v1", "denied\nrule: p:1 (out-stays)\n" + ann},
		{"user=ann&action=create&ref=team/app:v1", "allowed\nrule: p:2\n" + ann},
		{"user=ann&action=overwrite&ref=team/app", "allowed\nrule: p:2\n" + ann + "condition: p:1 (out-stays) denies overwrite,delete if the tag is v*\n"},
		{"user=nobody&action=pull&ref=a", "denied\nrule: none\nuser: nobody is unknown (unknown user)\n"},
		{"user=-&action=pull&ref=a", "denied\nrule: none\nuser: (anonymous)\n"},
		{"machine=robots/jenkins&action=push&ref=team/a", "allowed\nrule: p:2\nmachine: jenkins\ndirectory: robots\ngroups: none\n"},
		{"machine=robots/none&action=push&ref=team/a", "denied\nrule: none\nmachine: robots/none is unknown (unknown user)\n"},
		{"user=joe&group=dev&group=cn%3Dops&action=pull&ref=a", "denied\nrule: none\nuser: joe\ndirectory: none\ngroups: dev; ops (cn=ops)\n"},
		{"user=joe&directory=local&ip=10.0.0.1&at=2026-01-01&action=pull&ref=a", "denied\nrule: none\nuser: joe\ndirectory: local\ngroups: none\n"},
	} {
		values, err := url.ParseQuery(test.query)
		if err != nil {
			t.Fatal(err)
		}
		q, err := FromQuery(values)
		if err != nil {
			t.Fatal(err)
		}
		if again := q.Query(); again.Encode() != values.Encode() {
			t.Errorf("%s becomes %s", test.query, again.Encode())
		}
		a, err := q.Ask(t.Context(), source(t))
		if err != nil {
			t.Errorf("%s: %v", test.query, err)
			continue
		}
		text, err := json.Marshal(a)
		if err != nil || !strings.Contains(string(text), `"conditions":[`) || !strings.Contains(string(text), `"rule":{"name":`) {
			t.Errorf("%s %v", text, err)
		}
		var back Answer
		if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, a) {
			t.Errorf("%s comes back as %+v, %v", text, back, err)
		}
		var out strings.Builder
		if back.Print(&out); out.String() != test.want {
			t.Errorf("%s:\n%swant\n%s", test.query, out.String(), test.want)
		}
	}
}

// TestAskFaults: a question that is wrong is told from a directory at fault.
func TestAskFaults(t *testing.T) {
	for query, want := range map[string]string{
		"user=joe&action=pull&ref=a": "a directory is at fault, so nothing is known of joe", "user=x&directory=none&action=pull&ref=a": `no directory "none"`,
		"user=x&action=read&ref=a": "ACTION must be", "user=x&action=pull&ref=A": "not a repository", "action=pull&ref=a": "USER is empty",
		"user=x&user=y&action=pull&ref=a": "user is given twice", "user=x&what=y": `unknown parameter "what"`, "user=x&machine=y/z": "user stands beside machine",
		"machine=a/b&group=x&action=pull&ref=a": "stands without",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		q, err := FromQuery(values)
		if err == nil {
			_, err = q.Ask(t.Context(), source(t))
		}
		text := ""
		if k := new(authn.KeyError); errors.As(err, &k) {
			text = k.Err.Error()
		} else if err != nil {
			text = err.Error()
		}
		if !strings.Contains(text, want) || errors.Is(err, ErrDirectory) != strings.Contains(want, "at fault") {
			t.Errorf("%s: %v, want %s", query, err, want)
		}
	}
}

// TestEmptyParameters: an empty one is as absent, wherever it stands.
func TestEmptyParameters(t *testing.T) {
	for query, want := range map[string]string{
		"user=ann&group=&action=pull&ref=a": "user=ann", "user=ann&claim=&group=&group=&action=pull&ref=a": "user=ann", "user=ann&machine=&directory=&ip=&at=&action=pull&ref=a": "user=ann",
		"user=joe&group=&group=dev&action=pull&ref=a": "group=dev&user=joe", "machine=robots/jenkins&user=&group=&claim=&action=pull&ref=a": "machine=robots%2Fjenkins",
		"machine=robots/jenkins&claim=&claim=a%3Db&action=pull&ref=a": "claim=a%3Db&machine=robots%2Fjenkins",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		q, err := FromQuery(values)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if _, err := q.Ask(t.Context(), source(t)); err != nil {
			t.Errorf("%s: %v", query, err)
		}
		again := q.Query()
		again.Del("action")
		if again.Del("ref"); again.Encode() != want {
			t.Errorf("%s is %s, want %s", query, again.Encode(), want)
		}
	}
}
