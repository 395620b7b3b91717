package migrate

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// source is what of a docker_auth config has a meaning here.
type source struct {
	users      []person
	labels     map[string]map[string][]string // by user, then label
	anonymous  bool                           // users has "": whoever gives no name is let in
	ldap       *pair                          // ldap_auth
	ldapLabels []string                       // those that people of the directory have
	acl        []entry
	aclLine    int
	root       []pair
}

// entry is one of `acl`: the first that matches decides.
type entry struct {
	line    int
	broken  bool              // docker_auth fails where it comes to it, which is a refusal
	match   map[string]string // account, type, name, service; a key that is left out matches all
	ip      netip.Prefix      // invalid: any
	labels  map[string]string
	actions []string
}

// grants reports whether an entry that decides lets an action pass.
func (e *entry) grants(action string) bool {
	return !e.broken && (slices.Equal(e.actions, []string{"*"}) || slices.Contains(e.actions, action))
}

// pair is a key with its value, and the line of the key.
type pair struct {
	key   string
	line  int
	value ast.Node
}

// tree reads YAML as docker_auth does: aliases count, keys that nobody knows do not.
type tree struct{ anchors map[string]ast.Node }

// Visit notes anchors.
func (t *tree) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok {
		t.anchors[a.Name.String()] = a.Value
	}
	return t
}

const maxDepth = 50

// plain is a node without anchors, aliases and tags around it.
func (t *tree) plain(n ast.Node) ast.Node {
	for range maxDepth {
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.AliasNode:
			n = t.anchors[v.Value.String()]
		case *ast.TagNode:
			n = v.Value
		case *ast.NullNode, nil:
			return nil
		default:
			return n
		}
	}
	return nil
}

// pairs are the keys of a mapping, merged ones behind its own.
func (t *tree) pairs(n ast.Node, depth int) []pair {
	var values []*ast.MappingValueNode
	switch m := t.plain(n).(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	}
	var own, merged []pair
	for _, v := range values {
		if v.Key.IsMergeKey() && depth < maxDepth {
			merged = append(merged, t.pairs(v.Value, depth+1)...)
			continue
		}
		token := v.Key.GetToken()
		own = append(own, pair{token.Value, token.Position.Line, v.Value})
	}
	return append(own, merged...)
}

// get is the value of a key; a nil node where it is not there or empty.
func (t *tree) get(list []pair, key string) pair {
	for _, p := range list {
		if p.key == key {
			p.value = t.plain(p.value)
			return p
		}
	}
	return pair{}
}

// text is a scalar as a text; no text where it is none.
func (t *tree) text(n ast.Node) (string, bool) {
	switch v := t.plain(n).(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case ast.ScalarNode:
		return v.GetToken().Value, true
	}
	return "", false
}

// list are the texts of a list, and whether it is one.
func (t *tree) list(n ast.Node) (texts []string, ok bool) {
	seq, ok := t.plain(n).(*ast.SequenceNode)
	if !ok {
		return nil, false
	}
	for _, item := range seq.Values {
		text, _ := t.text(item)
		texts = append(texts, text)
	}
	return texts, true
}

// parseSource reads a docker_auth config.
func parseSource(text []byte) (s *source, t *tree, err error) {
	defer func() {
		if recover() != nil { // the library's; what it cannot read nobody can
			err = errors.New("this is no YAML that can be read")
		}
	}()
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, nil, err
	}
	t = &tree{map[string]ast.Node{}}
	s = &source{labels: map[string]map[string][]string{}}
	for _, doc := range file.Docs {
		if doc.Body != nil && s.root == nil {
			ast.Walk(t, doc.Body)
			s.root = t.pairs(doc.Body, 0)
		}
	}
	if len(s.root) == 0 {
		return nil, nil, errors.New("this is no docker_auth config: it has no keys")
	}
	t.readUsers(s)
	if p := t.get(s.root, "ldap_auth"); p.value != nil {
		s.ldap = &p
	}
	return s, t, t.readACL(s)
}

func (t *tree) readUsers(s *source) {
	for _, u := range t.pairs(t.get(s.root, "users").value, 0) {
		if u.key == "" {
			s.anonymous = true
			continue
		}
		keys := t.pairs(u.value, 0)
		hash, _ := t.text(t.get(keys, "password").value)
		labels := map[string][]string{}
		for _, l := range t.pairs(t.get(keys, "labels").value, 0) {
			labels[l.key], _ = t.list(l.value)
		}
		s.users = append(s.users, person{line: u.line, name: u.key, password: hash})
		s.labels[u.key] = labels
	}
}

func (t *tree) readACL(s *source) error {
	acl := t.get(s.root, "acl")
	s.aclLine = max(acl.line, 1)
	seq, ok := acl.value.(*ast.SequenceNode)
	if !ok && acl.value != nil {
		return fmt.Errorf("%d: acl is no list", acl.line)
	}
	if seq == nil {
		return nil
	}
	for i, item := range seq.Values {
		line := 0
		if i < len(seq.Entries) && seq.Entries[i].Start != nil {
			line = seq.Entries[i].Start.Position.Line
		}
		e, err := t.readEntry(item, line)
		if err != nil {
			return err
		}
		s.acl = append(s.acl, e)
	}
	return nil
}

func (t *tree) readEntry(item ast.Node, line int) (entry, error) {
	keys := t.pairs(item, 0)
	if line == 0 && len(keys) > 0 {
		line = keys[0].line
	}
	e := entry{line: line, match: map[string]string{}, labels: map[string]string{}}
	match, hasActions := t.get(keys, "match"), false
	e.actions, hasActions = t.list(t.get(keys, "actions").value)
	e.broken = match.value == nil || !hasActions
	for _, p := range t.pairs(match.value, 0) {
		text, ok := t.text(p.value)
		switch {
		case p.key == "labels":
			for _, l := range t.pairs(p.value, 0) {
				e.labels[l.key], _ = t.text(l.value)
			}
		case !ok:
		case p.key == "ip":
			network, err := parseNetwork(text)
			if err != nil {
				return e, fmt.Errorf("%d: %w", p.line, err)
			}
			e.ip = network
		case slices.Contains([]string{"account", "type", "name", "service"}, p.key):
			e.match[p.key] = text
		}
	}
	return e, e.checkPatterns()
}

// parseNetwork reads an address or a CIDR.
func parseNetwork(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return network, fmt.Errorf("match.ip: %q is neither an address nor a network", text)
	}
	return network.Masked(), nil
}

// checkPatterns refuses what docker_auth refuses when it starts.
func (e *entry) checkPatterns() error {
	for _, p := range e.patterns() {
		if expr, ok := regex(p); ok {
			if _, err := compileRegex(strings.NewReplacer(inert(p)...).Replace(expr)); err != nil {
				return fmt.Errorf("%d: %q: %w", e.line, p, err)
			}
		}
	}
	return nil
}

// patterns are all of the entry.
func (e *entry) patterns() []string {
	var list []string
	for _, p := range e.match {
		list = append(list, p)
	}
	for _, p := range e.labels {
		list = append(list, p)
	}
	return list
}
