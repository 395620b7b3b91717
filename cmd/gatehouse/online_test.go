package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/gatehouse/cli"
)

// onlineConfig is a config on a real slapd, with rules that speak of people in
// every way there is.
var onlineConfig = template.Must(template.New("config").Parse(`upstream: {url: "{{.Upstream}}"}
directories:
  - name: example
    ldap:
      servers: [{{range .Servers}}"{{.}}", {{end}}]
      start_tls: {{.StartTLS}}
      ca_file: "{{.CA}}"
      bind_dn: uid=serviceaccount,ou=it,dc=example,dc=com
      bind_password_file: bind_password
      users:
        base: {{or .Base "ou=musicians,dc=example,dc=com"}}
        filter: "{{or .Filter "(|(uid={login})(mail={login}))"}}"
policy:
  - {allow: [pull], repositories: ["public/**"], to: [everyone]}
  - {allow: [pull, push], repositories: ["score/**"], to: ["group:composers"]}
  - {allow: [pull], repositories: ["think/**"], to: ["group:cn=thinkers,ou=groups,dc=example,dc=com"]}
  - {deny: [push], repositories: ["prod/**"], to: [authenticated], except: ["user:mozart"]}
  - {allow: [delete], repositories: ["{user}/**"], to: ["directory:example"]}
  - {allow: [push], repositories: ["bach/**"], to: ["user:bach"]}
  - {deny: [push], repositories: ["ghost/**"], to: ["user:ghost", "group:ghosts", "group:cn=ghosts,ou=groups,dc=example,dc=com"]}
  - {allow: [push], repositories: ["ghost/**"], to: ["user:ghost", "group:composers"]}
policy_next:
  - {allow: [push], repositories: ["ghost/**"], to: ["group:example/ghosts"]}
`))

// online is what a case changes in onlineConfig.
type online struct {
	Upstream, CA, Base, Filter string
	Servers                    []string
	StartTLS                   bool
	password                   string
}

// TestCheckOnline runs `check --online` and `--user` against a real slapd: each
// line that an operator needs is there, and no secret in any.
func TestCheckOnline(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{LDIF: onlinePeople})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	defer upstream.Close()
	for _, test := range []struct {
		name   string
		change func(*online)
		args   []string
		status int
		want   []string // regular expressions, each of a line
		not    []string
	}{
		{"good", nil, nil, cli.OK, []string{
			`ok     directory example: server ldap://.*: connected, bound as uid=serviceaccount,.*`, `vendor: OpenLDAP`,
			`users.base: ou=musicians,dc=example,dc=com is there`, `users.filter: searched in .*s`, `every attribute of the filters is in its schema \(\d+ known\)`, `ok`,
			`warning: .*/gatehouse.yaml:20:48: policy\[6\].to: no directory has user:ghost or group:ghosts or group:cn=ghosts,ou=groups,dc=example,dc=com, so the rule decides nothing; take it out`,
			`warning: .*/gatehouse.yaml:23:49: policy_next\[0\].to: no directory has group:example/ghosts, .*`}, []string{"FAULT", "policy[1].to", "policy[2].to", "policy[5].to", "policy[7].to"}},
		{"ldaps", func(o *online) { o.Servers = []string{s.TLSURL(), s.SocketURL()} }, nil, cli.OK, []string{
			`warning: directory example: server ldaps://.*: TLS chain authntest server < authntest CA, good until \d{4}-\d\d-\d\d: renew it`,
			`ok     directory example: server ldapi://.*: connected, .*`}, []string{"FAULT"}},
		{"StartTLS", func(o *online) { o.StartTLS = true }, nil, cli.OK, []string{`warning: .*TLS chain .*`}, nil},
		{"one of two is down", func(o *online) { o.Servers = append(o.Servers, "ldap://127.0.0.1:1") }, nil, cli.Fault, []string{
			`ok     .*: connected, .*`, `FAULT  directory example: server ldap://127.0.0.1:1: .*connection refused`}, nil},
		{"wrong service password", func(o *online) { o.password = "sesame" }, nil, cli.Fault, []string{
			`FAULT  .*check bind_dn and bind_password_file`, `FAULT  directory example: whether it has all people and groups that rules name is not known: .*`}, []string{"no directory has"}},
		{"no such base", func(o *online) { o.Base = "ou=nowhere,dc=example,dc=com" }, nil, cli.Fault, []string{`FAULT  .*users.base: .*`,
			`FAULT  directory example: whether it has .* is not known: .*No Such Object.*`}, []string{"no directory has"}},
		{"attributes unknown", func(o *online) { o.Filter = "(|(uid={login})(sAMAccountName={login})(upn={login}))" }, nil, cli.Fault, []string{
			`FAULT  .*users.filter: its schema has no attribute sAMAccountName`, `FAULT  .*users.filter: its schema has no attribute upn`}, nil},
		{"somebody", nil, []string{"--user", "Mozart@Example.com"}, cli.OK, []string{
			`ok     directory example: knows "Mozart@Example.com"`, `user: mozart`, `id: [0-9a-f-]{36}`, `dn: uid=mozart,ou=musicians,dc=example,dc=com`,
			`groups: composers \(cn=composers,ou=groups,dc=example,dc=com\)`, `state: may log in`,
			`rule: gatehouse.yaml:14: allow .*public.*`, `rule: gatehouse.yaml:15: allow .*score.*`, `rule: gatehouse.yaml:18: allow .*`},
			[]string{"think/", "prod/", "bach/"}},
		{"locked", nil, []string{"--user", "haydn"}, cli.OK, []string{
			`user: haydn`, `no login: the password must be changed first`, `groups: none`, `rule: gatehouse.yaml:17: deny .*prod.*`}, []string{"may log in", "score/"}},
		{"expired", nil, []string{"--user", "salieri"}, cli.OK, []string{
			` +directory example: does not know "salieri" \(.*the account has expired\)`}, []string{"rule:"}},
		{"several names", nil, []string{"--user", "edvard"}, cli.OK, []string{
			`user: grieg`, `warning: uid has further values \(edvard, hagerup\): .*`}, nil}, // row D4
		{"an alias", func(o *online) { o.Base = "dc=example,dc=com" }, []string{"--user", "george"}, cli.OK, []string{
			` +directory example: does not know "george" \(.*is an alias.*\)`}, []string{"may log in", "rule:"}}, // row D14
		{"nobody", nil, []string{"--user", "nobody"}, cli.OK, []string{` +directory example: does not know "nobody" \(.*\)`}, []string{"rule:"}},
		{"asked in vain", func(o *online) { o.Servers = []string{"ldap://127.0.0.1:1"} }, []string{"--user", "mozart"}, cli.Fault, []string{
			`FAULT  directory example: directory unavailable: .*`, `FAULT  directory example: whether it has .* is not known: .*`}, []string{"does not know", "no directory has"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := online{Upstream: upstream.URL, CA: s.CAFile(), Servers: []string{s.URL()}, password: authntest.Password}
			if test.change != nil {
				test.change(&o)
			}
			var out, errs strings.Builder
			args := append([]string{"check", "-c", writeOnline(t, o), "--online"}, test.args...)
			if status := run(context.Background(), args, strings.NewReader(""), &out, &errs); status != test.status {
				t.Errorf("status %d, want %d: %s", status, test.status, errs.String())
			}
			for _, want := range test.want {
				if !regexp.MustCompile(`(?m)^(.*: )?` + want + `$`).MatchString(out.String()) {
					t.Errorf("no line is %q", want)
				}
			}
			for _, not := range append(test.not, "sesame", "{SSHA}", authntest.Password+"\n") {
				if strings.Contains(out.String()+errs.String(), not) {
					t.Errorf("it says %q", not)
				}
			}
			if t.Failed() {
				t.Log(out.String())
			}
		})
	}
}

// TestCheckCertificates: a directory of certificates is called so; people are none of its
// machines, and no name is looked for in it.
func TestCheckCertificates(t *testing.T) {
	dir := t.TempDir()
	authntest.WriteCertificates(t, dir)
	path := filepath.Join(dir, "gatehouse.yaml")
	if err := os.WriteFile(path, []byte(`upstream: {url: "http://127.0.0.1:1"}
listen: {tls: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt}}
directories:
  - name: fleet
    certificates: {workloads: [{match: {cn: "robot-*"}, name: "{cn}", groups: [robots]}]}
policy:
  - {allow: [pull], repositories: ["a"], to: ["user:ghost"]}
  - {allow: [pull], repositories: ["b"], to: ["group:robots", "machine:fleet/robot-1"]}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	run(t.Context(), []string{"check", "-c", path, "--online", "--user", "robot-1"}, strings.NewReader(""), &out, &errs)
	for text, want := range map[string]bool{"ok     directory fleet: certificates\n": true, "policy[0].to: no directory has user:ghost": true,
		"policy[1].to: no": false, "directory fleet: static": false, "does not know": false} {
		if strings.Contains(out.String(), text) != want {
			t.Errorf("%q stands there: %v", text, !want)
		}
	}
	if t.Failed() {
		t.Log(out.String(), errs.String())
	}
}

const onlinePeople = `
dn: uid=haydn,ou=musicians,dc=example,dc=com
objectClass: inetOrgPerson
uid: haydn
cn: Joseph Haydn
sn: Haydn
userPassword: password
pwdReset: TRUE

dn: uid=grieg,ou=musicians,dc=example,dc=com
objectClass: inetOrgPerson
uid: edvard
uid: grieg
uid: Hagerup
cn: Edvard Grieg
sn: Grieg
userPassword: password

dn: uid=george,ou=it,dc=example,dc=com
objectClass: alias
objectClass: extensibleObject
aliasedObjectName: uid=mozart,ou=musicians,dc=example,dc=com
uid: george
userPassword: password

dn: uid=salieri,ou=musicians,dc=example,dc=com
objectClass: inetOrgPerson
objectClass: shadowAccount
uid: salieri
cn: Antonio Salieri
sn: Salieri
userPassword: password
shadowExpire: 10000

`

// writeOnline returns the config's file name.
func writeOnline(t *testing.T, o online) string {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "gatehouse.yaml")
	var text strings.Builder
	if err := onlineConfig.Execute(&text, o); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{name: text.String(), filepath.Join(dir, "bind_password"): o.password + "\r\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return name
}
