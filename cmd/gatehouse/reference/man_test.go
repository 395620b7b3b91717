package reference

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/cmd/gatehouse/config"
)

// TestManPage writes gatehouse.yaml(5) to the folder $GATEHOUSE_MAN_PAGES where that is
// set: so `make share` makes it. In a test the page does not become part of the program.
func TestManPage(t *testing.T) {
	page, err := manPage()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{".TH GATEHOUSE.YAML 5 ", ".SH NAME\ngatehouse.yaml \\- ", ".SS listen.tls.acme\n", ".B directory_url\n", "default \\(lqacme\\(rq", ".SH SEE ALSO\n", "BR gatehouse\\-check (1)"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(page, ".TP\n"); n != countKeys(config.Keys()) {
		t.Errorf("%d keys on the page, %d in the config", n, countKeys(config.Keys()))
	}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, ".") && !strings.HasPrefix(line, ".TH ") && !strings.HasPrefix(line, ".S") && !strings.HasPrefix(line, ".TP") && !strings.HasPrefix(line, ".B") && !strings.HasPrefix(line, ".PP") {
			t.Errorf("text that roff takes for a request: %q", line)
		}
	}
	if dir := os.Getenv("GATEHOUSE_MAN_PAGES"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, "gatehouse.yaml.5"), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func countKeys(keys []config.Key) int {
	n := len(keys)
	for _, k := range keys {
		n += countKeys(k.Keys)
	}
	return n
}

// manPage is docs/config.md for man.
func manPage() (string, error) {
	texts, err := comments()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(`.TH GATEHOUSE.YAML 5 "" Gatehouse Gatehouse
.SH NAME
gatehouse.yaml \- configuration of the gatehouse gateway
.SH DESCRIPTION
The file is YAML. An unknown or doubled key, or a value of the wrong kind, is an error that names line and column. Names of
files are relative to the config's own folder. Times have a unit: 30s, 5m, 6h. Where no default is shown, none counts.
.PP
A file of the same name with .custom appended is loaded instead where it stands beside it.
.SH KEYS
`)
	writeKeys(&b, "", config.Keys(), texts)
	b.WriteString(".SH SEE ALSO\n.BR gatehouse (1),\n.BR gatehouse\\-check (1),\n.BR gatehouse\\-config\\-schema (1)\n")
	return b.String(), nil
}

// writeKeys writes the keys of one section, then the sections in it.
func writeKeys(b *strings.Builder, path string, keys []config.Key, texts map[string]string) {
	if path != "" {
		fmt.Fprintf(b, ".SS %s\n", roff(path))
	}
	for _, k := range keys {
		name := strings.TrimSuffix(k.Path, "[]")
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(name[strings.LastIndex(name, ".")+1:]), roff(strings.Join(traits(k), ", ")+". "+texts[k.Field]))
	}
	for _, k := range keys {
		if k.Kind == config.Section {
			writeKeys(b, k.Path, k.Keys, texts)
		}
	}
}

// traits are what a value of the key is.
func traits(k config.Key) []string {
	list := []string{typeOf(k)}
	if text := defaultOf(k); text != "" && text != `""` && text != "[]" {
		list = append(list, "default “"+text+"”")
	}
	if text := strings.ReplaceAll(rangeOf(k), "`", ""); text != "" {
		list = append(list, text)
	}
	return list
}

// roff is a text in which nothing is a request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", "", "“", `\(lq`, "”", `\(rq`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		return `\&` + text
	}
	return text
}
