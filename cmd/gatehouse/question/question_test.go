package question

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/config"
)

// TestParse: what a question is read as.
func TestParse(t *testing.T) {
	q := Question{User: " Clara  Schumann", Groups: []string{"Night  Shift", "CN=Ops,OU=Groups,DC=x", "UID=a+CN=B,DC=x"}, IP: "::ffff:10.0.0.1%eth0", At: "2026-12-24", Action: "overwrite", Ref: "a/b:v1"}
	a, err := q.Parse()
	if err != nil || !q.Described() {
		t.Fatal(err)
	}
	if id := a.Identity; id.Directory != NoDirectory || id.Username != "clara schumann" || len(id.Groups) != 3 || id.Groups[0] != (authn.Group{Name: "night shift"}) ||
		id.Groups[1] != (authn.Group{Name: "ops", DN: "cn=ops,ou=groups,dc=x"}) || id.Groups[2].Name != "b" {
		t.Errorf("%+v", id)
	}
	if r := a.Request; r.Repository != "a/b" || r.Action != authz.Overwrite || len(r.Tags) != 1 || r.Tags[0] != "v1" || r.Source.String() != "10.0.0.1" || !r.At.Equal(time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", r)
	}
	if a, err := (&Question{User: "-", Action: "pull", Ref: "a"}).Parse(); err != nil || !a.Identity.Anonymous() || a.Request.Tags != nil || a.Request.Source.IsValid() || !a.Request.At.IsZero() {
		t.Errorf("%+v %v", a, err)
	}
	if a, err := (&Question{User: "x", Directory: "local", Action: "push", Ref: "a"}).Parse(); err != nil || a.Identity.Directory != "local" || len(a.Identity.Groups) > 0 {
		t.Errorf("%+v %v", a, err)
	}
}

// TestParseFaults: which part is at fault.
func TestParseFaults(t *testing.T) {
	ok := Question{User: "x", Action: "pull", Ref: "a"}
	for want, change := range map[string]func(*Question){
		"USER is empty":           func(q *Question) { q.User = " \u200b" },
		"has no groups":           func(q *Question) { q.User, q.Directory = "-", "local" },
		`not "read"`:              func(q *Question) { q.Action = "read" },
		`not "catalog"`:           func(q *Question) { q.Action = "catalog" },
		"not a repository name":   func(q *Question) { q.Ref = "A" },
		`"-v" is not a tag`:       func(q *Question) { q.Ref = "a:-v" },
		`"" is not a tag`:         func(q *Question) { q.Ref = "a:" },
		"ip: ":                    func(q *Question) { q.IP = "10.0.0" },
		"at: ":                    func(q *Question) { q.At = "noon" },
		"group: a group without":  func(q *Question) { q.Groups = []string{" "} },
		"is not a distinguished ": func(q *Question) { q.Groups = []string{"cn=x,,"} },
	} {
		q := ok
		change(&q)
		_, err := q.Parse()
		text := "nothing"
		if k := new(authn.KeyError); errors.As(err, &k) {
			text = k.Key + ": " + k.Err.Error()
		} else if err != nil {
			text = err.Error()
		}
		if !strings.Contains(text, want) {
			t.Errorf("%s, want %s", text, want)
		}
	}
}

// TestPolicy: faults of the files that a config names are left out, all others are told.
func TestPolicy(t *testing.T) {
	for text, want := range map[string]int{
		"upstream: {url: \"https://127.0.0.1:1\", ca_file: none.pem}\npolicy: [{allow: [pull], repositories: [a], to: [everyone]}]\n": 0,
		"upstream: {url: \"http://127.0.0.1:1\"}\npolicy: [{allow: [pull], repositories: [a], to: [\"directory:x\"]}]\n":              1,
		"upstream: [\n": 1,
	} {
		name := filepath.Join(t.TempDir(), "gatehouse.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, faults := Policy(config.Load(name))
		if len(faults) != want || (p != nil) != (want == 0) {
			t.Errorf("%s: %v %v", text, p != nil, faults)
		}
	}
}

// TestSuiteFiles: one that is no file, is too large or no YAML is an error.
func TestSuiteFiles(t *testing.T) {
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, make([]byte, maxSuite+1), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("- {user: [}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{t.TempDir(): "directory", large: "is larger than", broken: "not valid YAML", "none": "no such file"} {
		if err := new(suite).read(file, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", file, err, want)
		}
	}
}
