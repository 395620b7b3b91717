package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"gatehouse/authn/workload"
)

// decoder fills the config from the syntax tree. It goes on after a fault, so
// that one run shows all of them, and notes where each key stands.
type decoder struct {
	report *Report
	places map[string]Place // by config path: `directories[1].ldap.users.filter`
}

// decodeConfig reads YAML into cfg. Faults go to the report; the places of all keys
// that were read are returned whatever was wrong.
func decodeConfig(text []byte, cfg *Config, r *Report) (places map[string]Place) {
	d := &decoder{report: r, places: map[string]Place{}}
	into := reflect.ValueOf(cfg).Elem()
	setDefaults(into)
	root, at, err := parseYAML(text)
	if err != nil {
		r.at(at, "", "%v", err)
		return d.places
	}
	if root != nil {
		d.value(field{value: into}, at, root)
	}
	return d.places
}

// value decodes one value. at is where to point: the value, or its key where the
// value is empty.
func (d *decoder) value(f field, at Place, n ast.Node) {
	if p := placeOf(firstToken(n)); p.known() && n.Type() != ast.NullType {
		at = p
	}
	switch kind := f.value.Kind(); {
	case f.value.Type() == matchType:
		d.match(f, at, n)
	case scalar(f.value.Type()):
		d.scalar(f, at, n)
	case kind == reflect.Pointer:
		d.section(f, at, n)
	case kind == reflect.Struct:
		d.mapping(f, at, n)
	default:
		d.sequence(f, at, n)
	}
}

// section decodes a part that may be left out. Empty is neither there nor left
// out, so it is refused: `tls:` with all its lines commented out must not be plain HTTP.
func (d *decoder) section(f field, at Place, n ast.Node) {
	if n.Type() == ast.NullType {
		d.report.at(at, f.key, "is empty; give its keys or leave it out")
		return
	}
	v := reflect.New(f.value.Type().Elem())
	setDefaults(v.Elem())
	d.mapping(field{key: f.key, tag: f.tag, value: v.Elem()}, at, n)
	f.value.Set(v)
}

func (d *decoder) mapping(f field, at Place, n ast.Node) {
	seen := map[string]Place{}
	for _, kv := range d.members(f, at, n) {
		d.entry(f, kv, seen)
	}
}

// members are the keys of a section with their values.
func (d *decoder) members(f field, at Place, n ast.Node) []*ast.MappingValueNode {
	switch m := n.(type) {
	case *ast.NullNode:
	case *ast.MappingNode:
		return m.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}
	default:
		d.report.at(at, f.key, "must be a section of keys, not %s", kindOf(n))
	}
	return nil
}

// match decodes patterns by claim, in their order. A pattern may look like a number or a
// truth to YAML; it is taken as it is written.
func (d *decoder) match(f field, at Place, n ast.Node) {
	seen := map[string]Place{}
	list := workload.Match{}
	for _, kv := range d.members(f, at, n) {
		tk := kv.Key.GetToken()
		at, name := placeOf(tk), tk.Value
		full := join(f.key, name)
		if first, ok := seen[name]; ok {
			d.report.at(at, full, "stands twice (first in line %d); remove one", first.Line)
			continue
		}
		seen[name], d.places[full] = at, at
		list = append(list, workload.Condition{Claim: name, Any: d.patterns(full, at, kv.Value)})
	}
	f.value.Set(reflect.ValueOf(list))
}

// patterns decodes one pattern, or a list of them.
func (d *decoder) patterns(key string, at Place, n ast.Node) []string {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		return []string{d.pattern(key, at, n)}
	}
	var list []string
	for i, item := range seq.Values {
		name := fmt.Sprintf("%s[%d]", key, i)
		d.places[name] = placeOf(firstToken(item))
		list = append(list, d.pattern(name, d.places[name], item))
	}
	return list
}

func (d *decoder) pattern(key string, at Place, n ast.Node) string {
	text, ok := textOf(n)
	if _, isScalar := n.(ast.ScalarNode); !ok && isScalar && n.Type() != ast.NullType {
		text, ok = n.GetToken().Value, true
	}
	if !ok {
		if p := placeOf(firstToken(n)); p.known() && n.Type() != ast.NullType {
			at = p
		}
		d.report.at(at, key, "must be a pattern, or a list of them, not %s", kindOf(n))
	}
	return text
}

// entry decodes one key of a section and its value.
func (d *decoder) entry(section field, kv *ast.MappingValueNode, seen map[string]Place) {
	tk := kv.Key.GetToken()
	at, name := placeOf(tk), tk.Value
	full := join(section.key, name)
	if first, ok := seen[name]; ok {
		d.report.at(at, full, "stands twice (first in line %d); remove one", first.Line)
		return
	}
	seen[name] = at
	f, ok := fieldOf(section.value, name)
	if !ok {
		d.report.at(at, "", "%s%q%s; allowed here: %s", unknownKey, Clip(name), under(section.key), strings.Join(keysOf(section.value), ", "))
		return
	}
	d.places[full], f.key = at, full
	d.value(f, at, kv.Value)
}

// unknownKey begins the message about one, which alone leaves the rest readable.
const unknownKey = "unknown key "

func under(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

// sequence decodes a list. One that is written without items is empty, not nil.
func (d *decoder) sequence(f field, at Place, n ast.Node) {
	seq, ok := n.(*ast.SequenceNode)
	switch {
	case n.Type() == ast.NullType:
		f.value.Set(reflect.MakeSlice(f.value.Type(), 0, 0))
		return
	case !ok:
		d.report.at(at, f.key, "must be a list, such as [a, b], not %s", kindOf(n))
		return
	}
	list := reflect.MakeSlice(f.value.Type(), len(seq.Values), len(seq.Values))
	for i, value := range seq.Values {
		name := item(f.key, i)
		p := placeOf(firstToken(value))
		if !seq.IsFlowStyle && i < len(seq.Entries) && placeOf(seq.Entries[i].Start).known() {
			p = placeOf(seq.Entries[i].Start)
		}
		d.places[name] = p
		d.item(field{key: name, tag: f.tag, value: list.Index(i)}, p, value)
	}
	f.value.Set(list)
}

// item decodes one element of a list; `- ` alone is a mistake, never an empty rule.
func (d *decoder) item(f field, at Place, n ast.Node) {
	if n.Type() == ast.NullType {
		d.report.at(at, f.key, "is empty; give a value or remove the item")
		return
	}
	if f.value.Kind() == reflect.Struct && !scalar(f.value.Type()) {
		setDefaults(f.value)
	}
	d.value(f, at, n)
}

func (d *decoder) scalar(f field, at Place, n ast.Node) {
	problem := "has no value; give one or leave the key out"
	if n.Type() != ast.NullType {
		problem = setScalar(f, n)
	}
	if problem != "" {
		d.report.at(at, f.key, "%s", problem)
	}
}
