package migrate

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/authz"
)

// ldapName is the directory made of ldap_auth.
const ldapName = "ldap"

const dockerAuthHead = `# Written by gatehouse migrate docker-auth. Look at the lines marked FILL IN, then:
#   gatehouse check -c gatehouse.yaml --online
upstream:
  url: "http://127.0.0.1:5001" ` + FillIn + `where the registry itself answers
`

// dockerAuth reads a docker_auth config. What it means is kept, or told: both lists are
// held against each other on a grid of callers, actions, repositories and addresses.
func dockerAuth(file string, text []byte) (*result, error) {
	source, t, err := parseSource(text)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", file, err)
	}
	m := &migration{result: &result{file: file, texts: map[string]string{}}, source: source, byName: map[int]bool{}}
	m.lowerCase()
	m.model = &model{acl: source.acl, anonymous: source.anonymous, compiled: map[string]*regexp.Regexp{}}
	m.label, m.service = m.groupLabel(t), m.serviceName()
	m.others()
	config := dockerAuthHead + m.listen(t) + m.tokens(t) + m.directories(t)
	m.translate()
	list, found, err := m.narrowed(m.questions(), m.policy())
	if err != nil {
		return nil, fmt.Errorf("%s: the policy that was made of it is at fault: %w", file, err)
	}
	m.differences(found)
	m.texts[ConfigName] = config + m.policyYAML(list)
	return m.result, nil
}

// differences tells what is refused here and was allowed.
func (m *migration) differences(found []difference) {
	for _, d := range found {
		line := d.line
		if line == 0 {
			line = m.source.aclLine
		}
		if d.later {
			m.lost(line, "more is allowed here to a user who is added later: %s, which would be refused", d.example)
		} else if d.wider {
			m.lost(line, "more is allowed here: %s, which was refused", d.example)
		} else {
			m.lost(line, "less is allowed here: %s is refused, which was allowed", d.example)
		}
	}
}

// lowerCase takes names in the one letter case that they have here.
func (m *migration) lowerCase() {
	changed := m.source.ldap != nil
	low := func(p string) string {
		out := lowered(p)
		changed = changed || out != p
		return out
	}
	for i := range m.source.acl {
		e := &m.source.acl[i]
		if account, ok := e.match["account"]; ok {
			e.match["account"] = low(account)
		}
		for label, p := range e.labels {
			e.labels[label] = low(p)
		}
	}
	labels := map[string]map[string][]string{}
	for i := range m.source.users {
		u := &m.source.users[i]
		of := map[string][]string{}
		for label, values := range m.source.labels[u.name] {
			for _, v := range values {
				of[label] = append(of[label], low(v))
			}
		}
		labels[low(u.name)] = of
	}
	m.source.labels = labels
	if changed {
		m.note(m.source.aclLine, "names of people and groups are lower-case here, whatever was written or typed; there, Bach and bach were two")
	}
}

// lowered is a pattern in lower case, but for what follows a backslash.
func lowered(p string) string {
	var b strings.Builder
	escaped := false
	for _, c := range p {
		if text := string(c); escaped {
			b.WriteString(text)
		} else {
			b.WriteString(strings.ToLower(text))
		}
		escaped = c == '\\' && !escaped
	}
	return b.String()
}

// memberOf reports whether people of the directory have the groups of the label.
func (m *migration) memberOf() bool { return m.label != "" }

// groupLabel is the label that groups are: one that entries name, and in the directory
// the one that the entry's memberOf fills; "" where none is.
func (m *migration) groupLabel(t *tree) string {
	names := m.labelNames()
	if m.source.ldap == nil {
		if len(names) == 0 {
			return "group"
		}
		return names[0]
	}
	for _, l := range t.pairs(t.get(t.pairs(m.source.ldap.value, 0), "labels").value, 0) {
		keys := t.pairs(l.value, 0)
		attribute, _ := t.text(t.get(keys, "attribute").value)
		cut, _ := t.text(t.get(keys, "parse_cn").value)
		m.source.ldapLabels = append(m.source.ldapLabels, l.key)
		if slices.Contains(names, l.key) && attribute == "memberOf" && cut == "true" {
			m.note(l.line, "groups are those of memberOf, each named by its first RDN's value, taken literally")
			return l.key
		}
	}
	return ""
}

// serviceName is the registry's: the first that an entry names.
func (m *migration) serviceName() string {
	for _, e := range m.source.acl {
		if p := e.match["service"]; p != "" {
			for _, seq := range (reader{alphabet: accountLetters}).read(p) {
				return samplesOf(merged(seq))[1]
			}
		}
	}
	return "gatehouse"
}

// notNeeded and without are keys of the old config that have no counterpart.
var (
	known     = []string{"server", "token", "users", "ldap_auth", "acl"}
	backends  = []string{"google_auth", "github_auth", "oidc_auth", "gitlab_auth", "mongo_auth", "xorm_auth", "ext_auth", "plugin_authn"}
	deciders  = []string{"acl_mongo", "acl_xorm", "ext_authz", "plugin_authz", "casbin_authz"}
	notNeeded = map[string]string{"token.certificate": "the registry checks no tokens any more", "token.key": "tokens are for the gateway alone: tokens.key_files",
		"token.disable_legacy_key_id": "tokens are for the gateway alone", "server.hsts": "", "server.net": "", "server.path_prefix": "the realm is /auth",
		"server.letsencrypt": "put a proxy that has certificates in front, or name a pair in listen.tls"}
)

// others tells of keys at the root that have no counterpart.
func (m *migration) others() {
	for _, p := range m.source.root {
		switch {
		case slices.Contains(known, p.key):
		case slices.Contains(backends, p.key):
			m.lost(p.line, "%s has no counterpart: who logs in by it alone cannot log in", p.key)
		case slices.Contains(deciders, p.key):
			m.lost(p.line, "%s has no counterpart: what it alone allows is refused", p.key)
		default:
			m.note(p.line, "%s is left out", p.key)
		}
	}
}

// listen is the public listener.
func (m *migration) listen(t *tree) string {
	keys := t.pairs(t.get(m.source.root, "server").value, 0)
	out := "listen:\n"
	address, ok := t.text(t.get(keys, "addr").value)
	if ok && strings.Contains(address, ":") {
		out += "  address: " + quote(address) + "\n"
	} else {
		out += "  address: \":5000\"\n"
	}
	certificate, _ := t.text(t.get(keys, "certificate").value)
	key, _ := t.text(t.get(keys, "key").value)
	if certificate+key != "" {
		if isFile(certificate) && isFile(key) {
			out += "  tls:\n    cert_file: " + quote(absolute(certificate)) + "\n    key_file: " + quote(absolute(key)) + "\n"
		} else {
			out += "  " + FillIn + "tls: {cert_file: " + quote(certificate) + ", key_file: " + quote(key) + "}\n"
			m.lost(t.get(keys, "certificate").line, "the certificate or its key is not on this machine: listen.tls is to fill in")
		}
	}
	if p := t.get(keys, "real_ip_header"); p.value != nil {
		out += "  " + FillIn + "trusted_proxies: [\"10.0.0.0/8\"], the proxies whose X-Forwarded-For counts\n"
		m.lost(p.line, "server.real_ip_header has no counterpart: X-Forwarded-For of listen.trusted_proxies counts, read right to left")
	}
	m.leftOut("server", keys, "addr", "certificate", "key", "real_ip_header")
	return out
}

// leftOut notes the keys of a section that are not needed.
func (m *migration) leftOut(section string, keys []pair, taken ...string) {
	for _, p := range keys {
		if full := section + "." + p.key; !slices.Contains(taken, p.key) {
			m.note(p.line, "%s is not needed%s", full, strings.TrimSuffix(": "+notNeeded[full], ": "))
		}
	}
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return name != "" && err == nil && info.Mode().IsRegular()
}

// absolute is a name as it is from any folder; docker_auth's are from where it runs.
func absolute(name string) string {
	full, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	return full
}

// tokens is the section of that name.
func (m *migration) tokens(t *tree) string {
	section := t.get(m.source.root, "token")
	keys := t.pairs(section.value, 0)
	out := "tokens:\n  service: " + quote(m.service) + " " + FillIn + "auth.token.service of the registry's old config\n"
	if issuer, _ := t.text(t.get(keys, "issuer").value); issuer != "" {
		out += "  issuer: " + quote(issuer) + "\n"
	}
	expiration := t.get(keys, "expiration")
	if text, ok := t.text(expiration.value); ok {
		seconds, err := strconv.Atoi(text)
		lifetime := time.Duration(min(max(seconds, 60), 3600)) * time.Second
		out += "  lifetime: " + lifetime.String() + "\n"
		if err != nil || lifetime != time.Duration(seconds)*time.Second {
			m.lost(expiration.line, "token.expiration: %s is written as %s; tokens last 60s to 1h here", text, lifetime)
		}
	}
	m.leftOut("token", keys, "issuer", "expiration")
	return out
}

// directories are the static users and what is made of ldap_auth.
func (m *migration) directories(t *tree) string {
	out := ""
	people := m.sound(m.source.users)
	m.weak(people)
	for i := range people {
		people[i].groups = m.groups(m.source.labels[lowered(people[i].name)])
	}
	for i := range m.source.users {
		m.source.users[i].name = lowered(m.source.users[i].name)
	}
	if len(people) > 0 {
		out += staticYAML(people)
	}
	if m.source.ldap != nil {
		out += m.ldap(t)
	}
	if out != "" {
		out = "directories:\n" + out
	}
	return out
}

// policyYAML are the rules, each with the line that it comes from.
func (m *migration) policyYAML(list []rule) string {
	var b strings.Builder
	rules := written(list)
	if len(rules) == 0 {
		m.lost(m.source.aclLine, "no entry of acl can be written: everything is refused")
		return ""
	}
	b.WriteString("policy:\n")
	for _, r := range rules {
		i, _ := strconv.Atoi(r.Position)
		fmt.Fprintf(&b, "  # line %d\n", m.source.acl[list[i].place].line)
		writeRule(&b, r)
	}
	return b.String()
}

func writeRule(b *strings.Builder, r authz.Rule) {
	begin := "  - "
	for _, part := range []struct {
		key  string
		list []string
	}{{"allow", r.Allow}, {"deny", r.Deny}, {"repositories", r.Repositories}, {"networks", r.Networks}, {"to", r.To}, {"except", r.Except}} {
		if len(part.list) > 0 {
			fmt.Fprintf(b, "%s%s: %s\n", begin, part.key, quoteList(part.list))
			begin = "    "
		}
	}
}

// copied is a file that the old config names, put beside the new one. Where it cannot be
// read, a line to fill in stands in it.
func (m *migration) copied(line int, key, name, as string) {
	text, err := os.ReadFile(name)
	if err != nil || strings.TrimSpace(string(text)) == "" {
		m.lost(line, "%s: %s cannot be read here; put what it holds into %s", key, name, as)
		text = []byte("FILL IN\n")
	}
	m.texts[as] = string(text)
}
