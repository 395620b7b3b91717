package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	maxConfigBytes = 32 << 20
	maxFlowDepth   = 32
	maxIndent      = 200 // columns; deeper than any config, shallower than the parser's stack
)

func placeOf(tk *token.Token) Place {
	if tk == nil || tk.Position == nil {
		return Place{}
	}
	return Place{tk.Position.Line, tk.Position.Column}
}

// parseYAML returns the root of the one document, nil where it is empty. The
// parser is a library that recurses, so what nests too deep never reaches it, and
// a panic in it is a fault of the file.
func parseYAML(text []byte) (root ast.Node, at Place, err error) {
	defer func() {
		if p := recover(); p != nil {
			root, at, err = nil, Place{1, 1}, errors.New("this is no YAML that can be read")
		}
	}()
	if len(text) > maxConfigBytes {
		return nil, Place{1, 1}, fmt.Errorf("the file is larger than %d MiB", maxConfigBytes>>20)
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
func plainText(text []byte) (Place, error) {
	for i, line := range strings.Split(string(text), "\n") {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case strings.HasPrefix(line[indent:], "\t") && strings.TrimSpace(line) != "":
			return Place{i + 1, indent + 1}, errors.New("a tab cannot indent in YAML; use spaces")
		case indent > maxIndent:
			return Place{i + 1, indent + 1}, fmt.Errorf("indented by more than %d columns", maxIndent)
		}
		for j, c := range line {
			if c == '\uFFFD' || c < ' ' && c != '\t' && c != '\r' || c == 0x7f {
				return Place{i + 1, j + 1}, errors.New("this byte is no text; the file must be UTF-8")
			}
		}
	}
	return Place{}, nil
}

// checkTokens refuses what a config does not need and a reader would trip over.
func checkTokens(tokens token.Tokens) (Place, error) {
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
	return Place{}, nil
}

func detail(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

func syntaxPlace(err error) Place {
	var e yaml.Error
	if errors.As(err, &e) {
		return placeOf(e.GetToken())
	}
	return Place{1, 1}
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
func onlyDocument(file *ast.File) (ast.Node, Place, error) {
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
		return nil, Place{1, 1}, nil
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
