package main

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"gatehouse/authn"
)

const (
	maxConfigBytes = 4 << 20
	maxFlowDepth   = 32
	maxIndent      = 200 // columns; deeper than any config, shallower than the parser's stack
)

// place is where something stands in the config file; zero: nowhere.
type place struct{ line, column int }

func (p place) known() bool { return p.line > 0 }

func placeOf(tk *token.Token) place {
	if tk == nil || tk.Position == nil {
		return place{}
	}
	return place{tk.Position.Line, tk.Position.Column}
}

// decoder fills the config from the syntax tree. It goes on after a fault, so
// that one run shows all of them, and notes where each key stands.
type decoder struct {
	report *report
	places map[string]place // by config path: `directories[1].ldap.users.filter`
}

// decodeConfig reads YAML into cfg. Faults go to the report; the places of all keys
// that were read are returned whatever was wrong.
func decodeConfig(text []byte, cfg *config, r *report) (places map[string]place) {
	d := &decoder{report: r, places: map[string]place{}}
	cfg.defaults()
	root, at, err := parseYAML(text)
	if err != nil {
		r.at(at, "", "%v", err)
		return d.places
	}
	if root != nil {
		d.value("", at, root, reflect.ValueOf(cfg).Elem())
	}
	return d.places
}

// parseYAML returns the root of the one document, nil where it is empty. The
// parser is a library that recurses, so what nests too deep never reaches it, and
// a panic in it is a fault of the file.
func parseYAML(text []byte) (root ast.Node, at place, err error) {
	defer func() {
		if p := recover(); p != nil {
			root, at, err = nil, place{1, 1}, errors.New("this is no YAML that can be read")
		}
	}()
	if len(text) > maxConfigBytes {
		return nil, place{1, 1}, fmt.Errorf("the file is larger than %d MiB", maxConfigBytes>>20)
	}
	if at, err := plainText(text); err != nil {
		return nil, at, err
	}
	tokens := lexer.Tokenize(string(text))
	if at, err := checkTokens(tokens); err != nil {
		return nil, at, err
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxPlace(err), errors.New("not valid YAML: " + syntaxMessage(err))
	}
	return onlyDocument(file)
}

// plainText finds what makes a file unreadable before it is YAML: bytes that are
// no text, tabs that indent, and indentation without end.
func plainText(text []byte) (place, error) {
	for i, line := range strings.Split(string(text), "\n") {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case strings.HasPrefix(line[indent:], "\t") && strings.TrimSpace(line) != "":
			return place{i + 1, indent + 1}, errors.New("a tab cannot indent in YAML; use spaces")
		case indent > maxIndent:
			return place{i + 1, indent + 1}, fmt.Errorf("indented by more than %d columns", maxIndent)
		}
		for j, c := range line {
			if c == '\uFFFD' || c < ' ' && c != '\t' && c != '\r' || c == 0x7f {
				return place{i + 1, j + 1}, errors.New("this byte is no text; the file must be UTF-8")
			}
		}
	}
	return place{}, nil
}

// checkTokens refuses what a config does not need and a reader would trip over.
func checkTokens(tokens token.Tokens) (place, error) {
	depth := 0
	for _, tk := range tokens {
		var problem string
		switch tk.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			problem = "anchors, aliases and merge keys are not supported; write the value out"
		case token.TagType:
			problem = "tags (a leading !) are not supported; put a text that begins so in quotes"
		case token.DirectiveType:
			problem = "directives (a leading %) are not supported"
		case token.MappingKeyType:
			problem = "keys that begin with ? are not supported; write key: value"
		case token.InvalidType:
			problem = "not valid YAML" + detail(tk.Error)
		case token.MappingStartType, token.SequenceStartType:
			if depth++; depth > maxFlowDepth {
				problem = fmt.Sprintf("nested deeper than %d levels", maxFlowDepth)
			}
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType:
			if tk.Position.Column > maxIndent {
				problem = fmt.Sprintf("indented by more than %d columns", maxIndent)
			}
		}
		if problem != "" {
			return placeOf(tk), errors.New(problem)
		}
	}
	return place{}, nil
}

func detail(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

func syntaxPlace(err error) place {
	var e yaml.Error
	if errors.As(err, &e) {
		return placeOf(e.GetToken())
	}
	return place{1, 1}
}

func syntaxMessage(err error) string {
	var e yaml.Error
	if errors.As(err, &e) {
		return e.GetMessage()
	}
	return strings.SplitN(err.Error(), "\n", 2)[0]
}

// onlyDocument refuses a second document: a reader would not expect that one of
// them does not count.
func onlyDocument(file *ast.File) (ast.Node, place, error) {
	var root ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if root != nil {
			return nil, placeOf(firstToken(doc.Body)), errors.New("a second document (after ---); the config is one document")
		}
		root = doc.Body
	}
	if root == nil {
		return nil, place{1, 1}, nil
	}
	return root, placeOf(firstToken(root)), nil
}

// firstToken is where a value begins; the tree gives a mapping the place of its
// first colon.
func firstToken(n ast.Node) *token.Token {
	switch n := n.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 && !n.IsFlowStyle {
			return n.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return n.GetToken()
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
)

// value decodes one value. at is where to point: the value, or its key where the
// value is empty.
func (d *decoder) value(path string, at place, n ast.Node, into reflect.Value) {
	if p := placeOf(firstToken(n)); p.known() && n.Type() != ast.NullType {
		at = p
	}
	switch kind := into.Kind(); {
	case into.Type() == timeType:
		d.scalar(path, at, n, into)
	case kind == reflect.Pointer:
		d.section(path, at, n, into)
	case kind == reflect.Struct:
		d.mapping(path, at, n, into)
	case kind == reflect.Slice:
		d.sequence(path, at, n, into)
	default:
		d.scalar(path, at, n, into)
	}
}

// section decodes a part that may be left out. Empty is neither there nor left
// out, so it is refused: `tls:` with all its lines commented out must not be plain HTTP.
func (d *decoder) section(path string, at place, n ast.Node, into reflect.Value) {
	if n.Type() == ast.NullType {
		d.report.at(at, path, "is empty; give its keys or leave it out")
		return
	}
	v := reflect.New(into.Type().Elem())
	d.mapping(path, at, n, v.Elem())
	into.Set(v)
}

func (d *decoder) mapping(path string, at place, n ast.Node, into reflect.Value) {
	if s, ok := into.Addr().Interface().(defaulter); ok && path != "" {
		s.defaults()
	}
	if n.Type() == ast.NullType {
		return
	}
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		d.report.at(at, path, "must be a section of keys, not %s", kindOf(n))
		return
	}
	seen := map[string]place{}
	for _, kv := range values {
		d.entry(path, kv, into, seen)
	}
}

// entry decodes one key of a section and its value.
func (d *decoder) entry(path string, kv *ast.MappingValueNode, into reflect.Value, seen map[string]place) {
	tk := kv.Key.GetToken()
	at, name := placeOf(tk), tk.Value
	full := join(path, name)
	if first, ok := seen[name]; ok {
		d.report.at(at, full, "stands twice (first in line %d); remove one", first.line)
		return
	}
	seen[name] = at
	field, ok := fieldOf(into, name)
	if !ok {
		d.report.at(at, "", "unknown key %q%s; allowed here: %s", clip(name), under(path), strings.Join(keysOf(into.Type()), ", "))
		return
	}
	d.places[full] = at
	d.value(full, at, kv.Value, field)
}

func under(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func fieldOf(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func keysOf(t reflect.Type) []string {
	keys := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		keys = append(keys, t.Field(i).Tag.Get("yaml"))
	}
	slices.Sort(keys)
	return keys
}

func (d *decoder) sequence(path string, at place, n ast.Node, into reflect.Value) {
	if n.Type() == ast.NullType {
		return
	}
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.report.at(at, path, "must be a list, such as [a, b], not %s", kindOf(n))
		return
	}
	list := reflect.MakeSlice(into.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		name := fmt.Sprintf("%s[%d]", path, i)
		p := placeOf(firstToken(item))
		if !seq.IsFlowStyle && i < len(seq.Entries) && placeOf(seq.Entries[i].Start).known() {
			p = placeOf(seq.Entries[i].Start)
		}
		d.places[name] = p
		d.item(name, p, item, list.Index(i))
	}
	into.Set(list)
}

// item decodes one element of a list; `- ` alone is a mistake, never an empty rule.
func (d *decoder) item(path string, at place, n ast.Node, into reflect.Value) {
	if n.Type() == ast.NullType {
		d.report.at(at, path, "is empty; give a value or remove the item")
		return
	}
	d.value(path, at, n, into)
}

func (d *decoder) scalar(path string, at place, n ast.Node, into reflect.Value) {
	if n.Type() == ast.NullType {
		d.report.at(at, path, "has no value; give one or leave the key out")
		return
	}
	problem := ""
	switch {
	case into.Type() == durationType:
		problem = setDuration(n, into)
	case into.Type() == timeType:
		problem = setTime(n, into)
	case into.Type() == reflect.TypeFor[tlsVersion]():
		problem = setVersion(n, into)
	case into.Kind() == reflect.String:
		problem = setString(n, into)
	case into.Kind() == reflect.Bool:
		problem = setBool(n, into)
	default:
		problem = setInt(n, into)
	}
	if problem != "" {
		d.report.at(at, path, "%s", problem)
	}
}

func setString(n ast.Node, into reflect.Value) string {
	s, ok := textOf(n)
	switch {
	case !ok && into.Type() == reflect.TypeFor[authn.Secret]():
		return fmt.Sprintf("must be a text in quotes, not %s", kindOf(n))
	case !ok:
		return fmt.Sprintf("must be a text, not %s%s", kindOf(n), quoteHint(n))
	}
	into.SetString(s)
	return ""
}

// quoteHint helps with a name that YAML takes for a number.
func quoteHint(n ast.Node) string {
	if _, ok := n.(ast.ScalarNode); ok {
		return fmt.Sprintf("; put it in quotes: %q", clip(n.GetToken().Value))
	}
	return ""
}

func setVersion(n ast.Node, into reflect.Value) string {
	if n.Type() == ast.FloatType {
		into.SetString(n.GetToken().Value)
		return ""
	}
	return setString(n, into)
}

func setBool(n ast.Node, into reflect.Value) string {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		return fmt.Sprintf("must be true or false, without quotes, not %s", kindOf(n))
	}
	into.SetBool(b.Value)
	return ""
}

func setInt(n ast.Node, into reflect.Value) string {
	if n.Type() != ast.IntegerType {
		return fmt.Sprintf("must be a whole number, not %s", kindOf(n))
	}
	i, err := strconv.ParseInt(n.GetToken().Value, 10, 64)
	if err != nil || i > math.MaxInt32 || i < math.MinInt32 {
		return "must be a whole number of ordinary size, in decimal digits"
	}
	into.SetInt(i)
	return ""
}

func setDuration(n ast.Node, into reflect.Value) string {
	s, ok := textOf(n)
	if n.Type() == ast.IntegerType {
		s, ok = n.GetToken().Value, n.GetToken().Value == "0"
		if !ok {
			return fmt.Sprintf("must be a time with its unit, such as %ss or 5m", clip(s))
		}
	}
	if !ok {
		return fmt.Sprintf("must be a time such as 30s, 5m or 6h, not %s", kindOf(n))
	}
	t, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return fmt.Sprintf("must be a time such as 30s, 5m or 6h, not %q", clip(s))
	case t < 0:
		return "must not be negative"
	}
	into.SetInt(int64(t))
	return ""
}

func setTime(n ast.Node, into reflect.Value) string {
	s, ok := textOf(n)
	if !ok {
		return fmt.Sprintf("must be a moment such as 2026-11-26T08:00:00Z, not %s", kindOf(n))
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return fmt.Sprintf("must be a moment with its zone, such as 2026-11-26T08:00:00Z or 2026-11-26T09:00:00+01:00, not %q", clip(s))
	}
	into.Set(reflect.ValueOf(t))
	return ""
}

// textOf is the text of a node that is one: plain, quoted or a block.
func textOf(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	}
	return "", false
}

// kindOf says in words what a value is.
func kindOf(n ast.Node) string {
	switch n.Type() {
	case ast.StringType, ast.LiteralType:
		return "a text"
	case ast.BoolType:
		return "true or false"
	case ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		return "a number"
	case ast.SequenceType:
		return "a list"
	case ast.MappingType, ast.MappingValueType:
		return "a section of keys"
	case ast.NullType:
		return "nothing"
	}
	return "this"
}

// clip keeps what a message quotes short.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
