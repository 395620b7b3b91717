package workload

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gatehouse/authn"
)

func match(pairs ...string) Match {
	var m Match
	for i := 0; i < len(pairs); i += 2 {
		m = append(m, Condition{pairs[i], strings.Split(pairs[i+1], " ")})
	}
	return m
}

// mapping compiles a list that may have warnings.
func mapping(t *testing.T, form Form, list ...Workload) *Mapping {
	t.Helper()
	m, err := New(list, form)
	if m == nil {
		t.Fatal(err)
	}
	return m
}

func claims(t *testing.T, text string) Claims {
	t.Helper()
	c, err := ReadClaims(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPatterns: what * and ** stand for; they are anchored and case counts.
func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"octo-org/*", "octo-org/app", true}, {"octo-org/*", "octo-org/app/x", false}, {"octo-org/*", "octo-org/", true},
		{"octo-org/*", "octo-organisation/app", false}, {"octo-org/*", "Octo-org/app", false}, {"octo-org/*", "xocto-org/app", false},
		{"octo-org/**", "octo-org/app/x:y", true}, {"**", "", true}, {"*", "a:b", false}, {"*", "a/b", false}, {"*", "a\nb", true}, {"**", "a\nb", true},
		{"system:serviceaccount:prod:*", "system:serviceaccount:prod:app", true}, {"system:serviceaccount:prod:*", "system:serviceaccount:prod:a:b", false},
		{"***", "a/b", true}, {"a.c", "abc", false}, {"[a]", "a", false}, {"(a|b)", "a", false}, {"a$", "a", false}, {"a", "a\n", false},
		{"true", "true", true}, {"46576199", "46576199", true}, {"é*", "é1", true},
	} {
		p, err := compile(c.pattern)
		if err != nil || p.MatchString(c.text) != c.want {
			t.Errorf("%q on %q: %v, want %v (%v)", c.pattern, c.text, !c.want, c.want, err)
		}
	}
}

// github is the workload of the documentation.
var github = Workload{
	Match: match("repository_owner_id", "46576199", "repository", "octo-org/*", "ref", "refs/heads/main refs/tags/v*"),
	Name:  "{repository}", Groups: []string{"CI", "env-{environment}", "{teams}"}, Record: []string{"run_id", "actor", "nothing", "teams"},
}

// TestResult: what a workload that fits comes out as.
func TestResult(t *testing.T) {
	m := mapping(t, Form{}, github)
	r, err := m.Map(claims(t, `{"repository_owner_id":"46576199","repository":"octo-org/App","ref":"refs/tags/v1","run_id":7,"actor":"`+strings.Repeat("é", 200)+`",
		"teams":["Blue","red","blue",""],"environment":"prod"}`))
	if err != nil || r.Name != "octo-org/app" || r.Workload != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	var groups []string
	for _, g := range r.Groups {
		groups = append(groups, g.Name)
	}
	if got := strings.Join(groups, " "); got != "blue ci env-prod red" {
		t.Errorf("groups %s", got)
	}
	if len(r.Recorded) != 3 || r.Recorded[0] != (authn.Claim{Name: "run_id", Value: "7"}) || len(r.Recorded[1].Value) > 256 || !strings.HasSuffix(r.Recorded[1].Value, "é…") || r.Recorded[2].Value != `["Blue","red","blue",""]` {
		t.Errorf("recorded %+v", r.Recorded)
	}
	// A group of a claim that is absent is left out.
	r, err = m.Map(claims(t, `{"repository_owner_id":46576199,"repository":"octo-org/app","ref":"refs/heads/main"}`))
	if err != nil || fmt.Sprint(r.Groups) != "[{ci }]" || r.Recorded != nil {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestRefusals: nobody is let in that no workload takes, or that has no name.
func TestRefusals(t *testing.T) {
	good := `"repository_owner_id":"46576199","ref":"refs/heads/main"`
	for _, c := range []struct{ claims, want string }{
		{`{}`, "workloads[0]: repository_owner_id is absent"},
		{`{"repository_owner_id":"1","repository":"octo-org/app"}`, `workloads[0]: repository_owner_id is "1"`},
		{`{` + good + `}`, "workloads[0]: repository is absent"},
		{`{` + good + `,"repository":null}`, "workloads[0]: repository is null"},
		{`{` + good + `,"repository":{"a":"octo-org/app"}}`, `workloads[0]: repository is {"a":"octo-org/app"}`},
		{`{` + good + `,"repository":["x","octo-org/a b"]}`, `workloads[0]: name: it comes out as "octo-org/a b"`},
		{`{` + good + `,"repository":["octo-org/a","octo-org/b"]}`, "workloads[0]: name: the claim repository has 2 values"},
		{`{` + good + `,"repository":"octo-org/.."}`, "workloads[0]: name: it comes out as"},
		{`{` + good + `,"repository":"octo-org/"}`, "workloads[0]: name: it comes out as"},
		{`{` + good + `,"repository":"octo-org/\u212aube"}`, "workloads[0]: name: it comes out as"}, // the sign of Kelvin is no k
		{`{` + good + `,"repository":"octo-org/` + strings.Repeat("a", 248) + `"}`, "workloads[0]: name: it comes out as"},
	} {
		r, err := mapping(t, Form{}, github).Map(claims(t, c.claims))
		if !errors.Is(err, authn.ErrMismatchedToken) || !errors.Is(err, authn.ErrBadToken) || !strings.Contains(err.Error(), c.want) || r.Name != "" && r.Groups != nil {
			t.Errorf("%s: %+v, %v; want %s", c.claims, r, err, c.want)
		}
	}
}

// TestFirst: the first workload that fits decides, although its name does not come out.
func TestFirst(t *testing.T) {
	m := mapping(t, Form{}, Workload{Match: match("a", "1"), Name: "one/{n}"}, Workload{Match: match("a", "**"), Name: "two/{a}"})
	for text, want := range map[string]string{`{"a":"1","n":"x"}`: "one/x 0", `{"a":"2"}`: "two/2 1", `{"a":"1"}`: " 0"} {
		if r, err := m.Map(claims(t, text)); fmt.Sprint(r.Name, " ", r.Workload) != want || (err == nil) != (r.Name != "") {
			t.Errorf("%s: %+v, %v; want %s", text, r, err, want)
		}
	}
	var many []Workload
	for range 30 {
		many = append(many, Workload{Match: match("a", "1"), Name: "{a}"})
	}
	if _, err := mapping(t, Form{}, many...).Map(Claims{}); strings.Count(err.Error(), "absent") != mostTold {
		t.Errorf("%v", err)
	}
}

// TestPick: what is carried is what is read, by the names that the config has for it.
func TestPick(t *testing.T) {
	m := mapping(t, Form{}, Workload{Match: match("/kubernetes.io/namespace", "prod", "sub", "**"), Name: "{/kubernetes.io/serviceaccount/name}", Groups: []string{"{n}"}, Record: []string{"html"}})
	all := claims(t, `{"sub":"s","kubernetes.io":{"namespace":"prod","pod":{"name":"p"},"serviceaccount":{"name":"app"}},"n":1.50,"html":"<&>","more":"x"}`)
	c, err := m.Pick(all)
	if want := `{"/kubernetes.io/namespace":"prod","/kubernetes.io/serviceaccount/name":"app","html":"<&>","n":1.50,"sub":"s"}`; err != nil || c.String() != want {
		t.Errorf("%s, %v", c, err)
	}
	for size, ok := range map[int]bool{MaxBytes - 8: true, MaxBytes - 7: false} { // {"a":""}
		_, err := mapping(t, Form{}, Workload{Match: match("a", "**"), Name: "{a}"}).Pick(map[string]any{"a": strings.Repeat("x", size)})
		if (err == nil) != ok || err != nil && !errors.Is(err, authn.ErrMismatchedToken) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if _, err := ReadClaims(`{"a"`); err == nil {
		t.Error("half an object is read")
	}
}

// TestForm: of a kind that shows a few claims others are no claims, and parts of them are
// for names.
func TestForm(t *testing.T) {
	form := Form{Claims: []string{"uri", "dns"}, Alone: []string{"uri"},
		Parts: map[string]Part{"uri.path": {"uri", func(v string) (string, bool) { return strings.CutPrefix(v, "spiffe://a/") }}}}
	m := mapping(t, form, Workload{Match: match("uri", "spiffe://a/**"), Name: "{uri.path}"}, Workload{Match: match("dns", "**"), Name: "{dns}"}, Workload{Match: match("uri", "spiffe://c/x"), Name: "{uri}"})
	for text, want := range map[string]string{
		`{"uri":["spiffe://a/ns/x"]}`:                              "ns/x",
		`{"uri":["spiffe://b/ns/x","spiffe://a/ns/y"]}`:            "ns/y",
		`{"uri":["spiffe://a/ns/x","spiffe://a/ns/y"]}`:            "",
		`{"uri":["spiffe://a/x","spiffe://a/y"],"dns":["host.a"]}`: "", // whatever other workloads take
		`{"uri":["spiffe://a/ns/x","spiffe://c/x"]}`:               "", // each fits another workload
		`{"uri":["spiffe://a/"]}`:                                  "",
		`{"dns":["host.a"]}`:                                       "host.a",
		`{"dns":["host.a","host.b"]}`:                              "",
	} {
		if r, err := m.Map(claims(t, text)); r.Name != want || (err == nil) != (want != "") {
			t.Errorf("%s: %+v, %v; want %q", text, r, err, want)
		}
	}
	for _, c := range []struct {
		w    Workload
		want string
	}{
		{Workload{Match: match("cn", "x"), Name: "{dns}"}, `workloads[0].match.cn: there is no "cn"; there are: uri, dns`},
		{Workload{Match: match("dns", "x"), Name: "{uri.host}"}, `workloads[0].name: there is no "uri.host"`},
		{Workload{Match: match("uri.path", "x"), Name: "{dns}"}, "workloads[0].match.uri.path: is part of a claim; match uri"},
		{Workload{Match: match("dns", "x"), Name: "{dns}", Record: []string{"uri.path"}}, `workloads[0].record[0]: "uri.path" is part of a claim; record uri`},
	} {
		if d, err := New([]Workload{c.w}, form); d != nil || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// TestConfig: each fault and warning names its key.
func TestConfig(t *testing.T) {
	one := func(change func(*Workload)) []Workload {
		w := Workload{Match: match("sub", "a:**"), Name: "{sub}"}
		change(&w)
		return []Workload{w}
	}
	for _, c := range []struct {
		name    string
		list    []Workload
		want    string
		warning bool
	}{
		{"good", one(func(*Workload) {}), "", false},
		{"none", nil, "workloads: required", false},
		{"an empty match", one(func(w *Workload) { w.Match = nil }), "workloads[0].match: required", false},
		{"an empty list", one(func(w *Workload) { w.Match[0].Any = nil }), "workloads[0].match.sub: an empty list", false},
		{"an empty pattern", one(func(w *Workload) { w.Match[0].Any = []string{"a", ""} }), "workloads[0].match.sub[1]: an empty pattern", false},
		{"no claim", one(func(w *Workload) { w.Match[0].Claim = "" }), "workloads[0].match.: an empty name of a claim", false},
		{"a bad pointer", one(func(w *Workload) { w.Match[0].Claim = "/a/b~2" }), `workloads[0].match./a/b~2: "/a/b~2" is no JSON pointer`, false},
		{"a bad pointer's end", one(func(w *Workload) { w.Record = []string{"/a~"} }), `workloads[0].record[0]: "/a~" is no JSON pointer`, false},
		{"star behind a letter", one(func(w *Workload) { w.Match[0].Any = []string{"octo-org*"} }), `workloads[0].match.sub: "octo-org*" fits everything`, true},
		{"stars behind a digit", one(func(w *Workload) { w.Match[0].Any = []string{"a/b1**/c"} }), "workloads[0].match.sub:", true},
		{"versions", one(func(w *Workload) { w.Match[0].Any = []string{"refs/tags/v*", "v*", "a-*", "*", "**"} }), "", false},
		{"letters before v", one(func(w *Workload) { w.Match[0].Any = []string{"x", "dev*"} }), "workloads[0].match.sub[1]:", true},
		{"no claim in the name", one(func(w *Workload) { w.Name = "ci" }), "workloads[0].name: has no {claim}", false},
		{"a name without end", one(func(w *Workload) { w.Name = "{sub" }), "workloads[0].name: a { without }", false},
		{"a name in a name", one(func(w *Workload) { w.Name = "{a{b}}" }), "workloads[0].name: a { without }", false},
		{"a name without begin", one(func(w *Workload) { w.Name = "{a}}" }), "workloads[0].name: a } without {", false},
		{"an empty claim in the name", one(func(w *Workload) { w.Name = "{}" }), "workloads[0].name: an empty name of a claim", false},
		{"a name that cannot be", one(func(w *Workload) { w.Name = "a/../{sub}" }), `workloads[0].name: "a/../{sub}" comes out as no name`, false},
		{"a blank in the name", one(func(w *Workload) { w.Name = "{sub} x" }), "workloads[0].name:", false},
		{"upper case", one(func(w *Workload) { w.Name = "CI/{sub}" }), "", false},
		{"beyond ASCII", one(func(w *Workload) { w.Name = "é/{sub}" }), "workloads[0].name:", false},
		{"an empty group", one(func(w *Workload) { w.Groups = []string{"a", " "} }), "workloads[0].groups[1]: an empty group name", false},
		{"a group without end", one(func(w *Workload) { w.Groups = []string{"{"} }), "workloads[0].groups[0]: a { without }", false},
		{"six records", one(func(w *Workload) { w.Record = strings.Fields("a b c d e f") }), "workloads[0].record: 6 claims; 5 at most", false},
		{"an empty record", one(func(w *Workload) { w.Record = []string{""} }), "workloads[0].record[0]: an empty name of a claim", false},
		{"a record twice", one(func(w *Workload) { w.Record = []string{"a", "a"} }), `workloads[0].record[1]: "a" stands twice`, false},
	} {
		m, err := New(c.list, Form{})
		if (m == nil) == (c.want == "" || c.warning) || (err == nil) != (c.want == "") || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v, %v; want %q", c.name, m != nil, err, c.want)
		}
	}
}

// TestTexts: what a claim compares as.
func TestTexts(t *testing.T) {
	for text, want := range map[string]string{
		`"a"`: "[a]", `1.50`: "[1.50]", `1e3`: "[1e3]", `true`: "[true]", `null`: "[]", `{"a":1}`: "[]", `[]`: "[]", `["a",1,false,null,["b"],{}]`: "[a 1 false]",
	} {
		var v any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&v); err != nil || fmt.Sprint(textsOf(v)) != want {
			t.Errorf("%s is %v, want %s (%v)", text, textsOf(v), want, err)
		}
	}
}
