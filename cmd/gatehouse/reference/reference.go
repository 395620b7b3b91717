// Package reference describes the config file: a page for people and a JSON Schema for
// editors. Both are made of the fields that the file is decoded into (config.Keys) and of
// the comments beside them, which comments.json carries into the binary. After a change
// of a field or its comment run
//
//	go generate ./cmd/gatehouse/reference
//
// which writes comments.json and docs/config.md again; a test fails where they are old.
package reference

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/config"
)

//go:generate go test -run TestUpToDate -update .

//go:embed comments.json
var commentsJSON []byte

// Commands are config-reference and config-schema.
func Commands() []*cobra.Command {
	return []*cobra.Command{
		command("config-reference", "Print every key of the config, as Markdown", Markdown, "  gatehouse config-reference > config.md"),
		command("config-schema", "Print the JSON Schema of the config, for editors", Schema,
			"  gatehouse config-schema > gatehouse.schema.json\n  # and in the first line of the config: # yaml-language-server: $schema=gatehouse.schema.json"),
	}
}

func command(name, short string, text func() (string, error), example string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			page, err := text()
			if err == nil {
				_, err = fmt.Fprint(cmd.OutOrStdout(), page)
			}
			return err
		},
	}
}

// comments are those of the fields, by package path, type and field, as keys are
// described: `address` for Address where the comment speaks of itself.
func comments() (map[string]string, error) {
	list := map[string]string{}
	err := json.Unmarshal(commentsJSON, &list)
	return list, err
}

const preface = `# Configuration

Every key of the config file. This page is printed by ` + "`gatehouse config-reference`" + `; an editor completes and checks the file
with ` + "`gatehouse config-schema > gatehouse.schema.json`" + ` and the first line ` + "`# yaml-language-server: $schema=gatehouse.schema.json`" + `.

The file is YAML. An unknown or doubled key, or a value of the wrong kind, is an error that names line and column. Names of
files are relative to the config's own folder. Times have a unit: ` + "`30s`, `5m`, `6h`" + `. Where no default is shown, none counts.
`

// Markdown is the page of all keys.
func Markdown() (string, error) {
	texts, err := comments()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(preface)
	writeTable(&b, "", config.Keys(), texts)
	return b.String(), nil
}

// writeTable writes the keys of one section, then the sections in it.
func writeTable(b *strings.Builder, path string, keys []config.Key, texts map[string]string) {
	if path != "" {
		fmt.Fprintf(b, "\n%s `%s`\n", strings.Repeat("#", min(2+strings.Count(path, "."), 4)), path)
	} else {
		b.WriteString("\n## Sections\n")
	}
	b.WriteString("\n| key | type | default | range | since | meaning |\n|---|---|---|---|---|---|\n")
	for _, k := range keys {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s |\n", strings.TrimSuffix(k.Path, "[]"), typeOf(k), quoted(defaultOf(k)), rangeOf(k), since(k), cell(texts[k.Field]))
	}
	for _, k := range keys {
		if k.Kind == config.Section {
			writeTable(b, k.Path, k.Keys, texts)
		}
	}
}

func typeOf(k config.Key) string {
	if k.List {
		return "list of " + map[bool]string{true: "sections", false: string(k.Kind) + "s"}[k.Kind == config.Section]
	}
	return string(k.Kind)
}

// defaultOf is what counts where the key is left out.
func defaultOf(k config.Key) string {
	switch {
	case k.Default == "" && k.List && !k.Required:
		return "[]"
	case k.Default == "" && !k.Required && (k.Kind == config.Text || k.Kind == config.File || k.Kind == config.SecretFile || k.Kind == config.Folder):
		return `""`
	}
	return k.Default
}

func quoted(text string) string {
	if text == "" {
		return ""
	}
	return "`" + cell(text) + "`"
}

// rangeOf is what a value may be, and which other keys it needs.
func rangeOf(k config.Key) string {
	var list []string
	switch {
	case len(k.Values) > 0:
		list = append(list, "`"+strings.Join(k.Values, "`, `")+"`")
	case k.Min != "" && k.Max != "":
		list = append(list, k.Min+" to "+k.Max)
	case k.Min != "":
		list = append(list, k.Min+" or more")
	case k.Kind == config.Duration:
		list = append(list, "0s or more")
	}
	if k.Required {
		list = append(list, "required")
	}
	if k.Nonempty {
		list = append(list, "not empty")
	}
	if k.With != "" {
		list = append(list, "with `"+k.With+"`")
	}
	if k.Either != "" {
		list = append(list, "either this or `"+strings.Join(strings.Fields(k.Either), "` or `")+"`")
	}
	return strings.Join(list, "; ")
}

func since(k config.Key) string {
	if k.Since == "" {
		return "the first"
	}
	return k.Since
}

// cell is a text that stands in a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// camel is a name that is Go's alone, such as CertFile.
var camel = regexp.MustCompile(`\b[A-Z]+[a-z]+[A-Za-z]*[A-Z][A-Za-z]*\b`)

// forUsers is a field's comment in one line and with keys in the place of fields' names.
func forUsers(comment, field string, keys map[string]string) string {
	text := strings.Join(strings.Fields(comment), " ")
	if rest, ok := strings.CutPrefix(text, field+" "); ok {
		text = "`" + keys[field] + "` " + rest
	}
	text = camel.ReplaceAllStringFunc(text, func(word string) string {
		if key, ok := keys[word]; ok {
			return "`" + key + "`"
		}
		return word
	})
	return strings.TrimSpace(text)
}

// siblings are the keys of one section by the names of their fields.
func siblings(keys []config.Key) map[string]string {
	names := map[string]string{}
	for _, k := range keys {
		names[k.Field[strings.LastIndexByte(k.Field, '.')+1:]] = k.Name
	}
	return names
}

// sections are all lists of keys that stand together.
func sections(keys []config.Key) [][]config.Key {
	list := [][]config.Key{keys}
	for _, k := range keys {
		if len(k.Keys) > 0 {
			list = slices.Concat(list, sections(k.Keys))
		}
	}
	return list
}
