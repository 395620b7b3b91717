package reference

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/cmd/gatehouse/config"
)

var update = flag.Bool("update", false, "write comments.json and docs/config.md again")

// root is the repository's folder, page the one that users read.
const root, page = "../../..", "../../../docs/config.md"

// TestUpToDate: the comments that the binary carries are those of the source, and
// docs/config.md is what it prints.
func TestUpToDate(t *testing.T) {
	texts := map[string]string{}
	for _, keys := range sections(config.Keys()) {
		for _, k := range keys {
			dot := strings.LastIndexByte(k.Field, '.')
			texts[k.Field] = forUsers(fieldComments(t, k.Field[:dot])[k.Field[dot+1:]], k.Field[dot+1:], siblings(keys))
		}
	}
	var fresh bytes.Buffer
	to := json.NewEncoder(&fresh)
	to.SetEscapeHTML(false)
	to.SetIndent("", "  ")
	if err := to.Encode(texts); err != nil {
		t.Fatal(err)
	}
	if *update {
		commentsJSON = fresh.Bytes()
		write(t, "comments.json", fresh.String())
	}
	printed, err := Markdown()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		write(t, page, printed)
	}
	shown, err := os.ReadFile(page)
	if err != nil || string(shown) != printed || !bytes.Equal(fresh.Bytes(), commentsJSON) {
		t.Errorf("comments.json or docs/config.md is old (%v); run: go generate ./cmd/gatehouse/reference", err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestKeysAreDocumented: every key has a comment beside it, and one that may be left
// out says there what counts then.
func TestKeysAreDocumented(t *testing.T) {
	texts, err := comments()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range config.Flat(config.Keys()) {
		text := texts[k.Field]
		if text == "" {
			t.Errorf("%s (%s) has no comment", k.Path, k.Field)
		}
		leavable := k.Kind != config.Section && !k.List && !k.Required && !k.Nonempty && k.With == "" && k.Kind != config.Secret
		if low := strings.ToLower(text); leavable && !strings.Contains(low, "default") && !strings.Contains(low, "empty:") && !strings.Contains(low, "required") {
			t.Errorf("%s does not say what counts where it is left out: %s", k.Path, text)
		}
	}
}

// TestSpokenForUsers: a comment names keys, not fields.
func TestSpokenForUsers(t *testing.T) {
	keys := map[string]string{"CertFile": "cert_file", "KeyFile": "key_file", "Basic": "basic"}
	for _, test := range []struct{ field, comment, want string }{
		{"KeyFile", "KeyFile is the key of\nCertFile. Default: none.\n", "`key_file` is the key of `cert_file`. Default: none."},
		{"Basic", "Basic takes Basic credentials. OpenLDAP", "`basic` takes Basic credentials. OpenLDAP"},
		{"", "", ""},
	} {
		if got := forUsers(test.comment, test.field, keys); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// fieldComments are the comments of a struct's fields, by gatehouse/PACKAGE.TYPE.
func fieldComments(t *testing.T, structure string) map[string]string {
	t.Helper()
	dot := strings.LastIndexByte(structure, '.')
	files, err := filepath.Glob(filepath.Join(root, strings.TrimPrefix(structure[:dot], "gatehouse/"), "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of %s: %v", structure, err)
	}
	list := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.Name == structure[dot+1:] {
				collect(spec, list)
			}
			return true
		})
	}
	return list
}

func collect(spec *ast.TypeSpec, into map[string]string) {
	s, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range s.Fields.List {
		for _, id := range f.Names {
			into[id.Name] = f.Doc.Text()
		}
	}
}
