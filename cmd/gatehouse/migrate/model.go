package migrate

import (
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
)

// request is one question to docker_auth about a repository.
type request struct {
	account string
	labels  map[string][]string
	name    string
	service string
	ip      netip.Addr
	action  string
}

// model is docker_auth's list: the first entry that matches decides, none refuses.
type model struct {
	acl       []entry
	anonymous bool
	compiled  map[string]*regexp.Regexp
}

// decide answers as docker_auth does; line is that of the entry that decided, 0: none did.
func (m *model) decide(r request) (allowed bool, line int) {
	if e := m.first(r); e != nil {
		return e.grants(r.action), e.line
	}
	return false, 0
}

// first is the entry that decides, whatever the action is; nil: none does.
func (m *model) first(r request) *entry {
	if r.account == "" && !m.anonymous {
		return nil
	}
	for i := range m.acl {
		if e := &m.acl[i]; m.matches(e, r) {
			return e
		}
	}
	return nil
}

// matches reports whether all that the entry names fits.
func (m *model) matches(e *entry, r request) bool {
	if e.ip.IsValid() && !e.ip.Contains(r.ip) {
		return false
	}
	return m.speaks(e, r) && m.fits(e, "name", r.name, r)
}

// speaks reports whether the entry is of the caller, wherever they are and whatever they ask for.
func (m *model) speaks(e *entry, r request) bool {
	for label, p := range e.labels {
		if !slices.ContainsFunc(r.labels[label], func(v string) bool { return m.match(m.fill(p, r, nil), v) }) {
			return false
		}
	}
	return m.fits(e, "account", r.account, r) && m.fits(e, "type", "repository", r) && m.fits(e, "service", r.service, r)
}

// fits holds a value against the entry's pattern of it, with every choice of label values.
func (m *model) fits(e *entry, key, value string, r request) bool {
	p, ok := e.match[key]
	if !ok {
		return true
	}
	for _, choice := range choices(p, r.labels) {
		if m.match(m.fill(p, r, choice), value) {
			return true
		}
	}
	return false
}

var labelPlaceholder = regexp.MustCompile(`\$\{labels:([^}]*)\}`)

// choices are all ways to put label values in the place of a pattern's placeholders;
// none where somebody lacks a label.
func choices(p string, labels map[string][]string) []map[string]string {
	list := []map[string]string{nil}
	if !strings.Contains(p, "${labels:") {
		return list
	}
	for _, found := range labelPlaceholder.FindAllStringSubmatch(p, -1) {
		var longer []map[string]string
		for _, choice := range list {
			if _, chosen := choice[found[1]]; chosen {
				longer = append(longer, choice)
				continue
			}
			for _, value := range labels[found[1]] {
				one := map[string]string{found[1]: value}
				for k, v := range choice {
					one[k] = v
				}
				longer = append(longer, one)
			}
		}
		list = longer
	}
	return list
}

// fill puts values in the place of placeholders: an account as a literal, and a label's
// value as a pattern.
func (m *model) fill(p string, r request, choice map[string]string) string {
	if !strings.Contains(p, "${") {
		return p
	}
	vars := []string{"${account}", regexp.QuoteMeta(r.account), "${type}", "repository", "${name}", regexp.QuoteMeta(r.name), "${service}", regexp.QuoteMeta(r.service)}
	for label, value := range choice {
		vars = append(vars, "${labels:"+label+"}", value)
	}
	return strings.NewReplacer(vars...).Replace(p)
}

// match is docker_auth's: a regular expression between slashes, which is not anchored,
// or a glob of which `*` and `?` do not reach over a slash.
func (m *model) match(p, value string) bool {
	expr, ok := regex(p)
	if !ok {
		fits, err := path.Match(p, value)
		return err == nil && fits
	}
	re, known := m.compiled[expr]
	if !known {
		re, _ = compileRegex(expr)
		m.compiled[expr] = re
	}
	return re != nil && re.MatchString(value)
}

// regex is the expression of a pattern that is one.
func regex(p string) (string, bool) {
	if len(p) > 2 && p[0] == '/' && p[len(p)-1] == '/' {
		return p[1 : len(p)-1], true
	}
	return "", false
}

func compileRegex(expr string) (*regexp.Regexp, error) { return regexp.Compile(expr) }

// inert are replacements that keep placeholders out of an expression's grammar.
func inert(p string) []string {
	var vars []string
	for _, found := range anyPlaceholder.FindAllString(p, -1) {
		vars = append(vars, found, "x")
	}
	return vars
}

var anyPlaceholder = regexp.MustCompile(`\$\{[a-z]+(:[^}]*)?\}`)
