package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gatehouse/authn"
)

// TestKeysAreDocumented: every key has a comment beside it, and one that may be left
// out says there what counts then. The reference of the config is made of these.
func TestKeysAreDocumented(t *testing.T) {
	comments := map[string]map[string]string{} // by package, then TYPE.FIELD
	var look func(key string, typ reflect.Type)
	look = func(key string, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if scalar(typ) {
			return
		}
		if comments[typ.PkgPath()] == nil {
			comments[typ.PkgPath()] = fieldComments(t, typ.PkgPath())
		}
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			switch full := join(key, name); {
			case f.Anonymous:
				look(key, f.Type)
			case name != "" && name != "-":
				comment := comments[typ.PkgPath()][typ.Name()+"."+f.Name]
				if comment == "" {
					t.Errorf("%s (%s.%s) has no comment", full, typ, f.Name)
				}
				leavable := scalar(f.Type) && options == "" && f.Tag.Get("with") == "" && f.Type != reflect.TypeFor[authn.Secret]()
				if low := strings.ToLower(comment); leavable && !strings.Contains(low, "default") && !strings.Contains(low, "empty:") && !strings.Contains(low, "required") {
					t.Errorf("%s does not say what counts where it is left out: %s", full, comment)
				}
				look(full, f.Type)
			}
		}
	}
	look("", reflect.TypeFor[Config]())
}

// fieldComments are the comments of a package's struct fields.
func fieldComments(t *testing.T, path string) map[string]string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", strings.TrimPrefix(path, "gatehouse/"))
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of %s: %v", path, err)
	}
	list := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, id := range f.Names {
						list[spec.Name.Name+"."+id.Name] = f.Doc.Text()
					}
				}
			}
			return false
		})
	}
	return list
}
