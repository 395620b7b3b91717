package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"gatehouse/authn"
)

// Kind is how the value of a key is written.
type Kind string

// The kinds of values.
const (
	Text       Kind = "text"
	Secret     Kind = "secret text"
	Word       Kind = "word" // one of Values, which YAML may take for a number or a truth
	Number     Kind = "number"
	Duration   Kind = "time"       // such as 30s
	Size       Kind = "size"       // such as 64MiB
	Percent    Kind = "percentage" // such as 10%
	Moment     Kind = "moment"
	Truth      Kind = "true or false"
	File       Kind = "file"
	SecretFile Kind = "secret file"
	Folder     Kind = "folder"
	Section    Kind = "section"
	Match      Kind = "patterns by claim"
)

// Key is one key of the file, as its field describes it: for pages and editors.
type Key struct {
	// Name is the key, and Path how it is reached: directories[].ldap.users.filter.
	Name, Path string
	// Field is the Go field behind it, gatehouse/authn/ldap.Users.Filter.
	Field string
	// Kind is that of the value, or of each item of a List.
	Kind Kind
	// List: the value is a list.
	List bool
	// Required: the key must be there, and not empty.
	Required bool
	// Nonempty: where the key is there, its text is not empty.
	Nonempty bool
	// Nullable: `key:` with nothing behind it is an empty section or list.
	Nullable bool
	// Min and Max are the ends of the range as the field writes them; empty: none.
	Min, Max string
	// Values are the words that may stand; none: any text.
	Values []string
	// Default is what counts where the key is left out, as YAML writes it; empty: nothing does.
	Default string
	// With is the key that is needed beside this one, Either those, apart by blanks, of
	// which one is needed where this one is left out, and none can stand beside another.
	With, Either string
	// Since is the release that brought the key; empty: the first.
	Since string
	// Keys are those of a section.
	Keys []Key
}

// Keys are all keys of the file, in its order.
func Keys() []Key {
	root := reflect.New(reflect.TypeFor[Config]()).Elem()
	setDefaults(root)
	return keysIn("", root)
}

// keysIn are the keys of a section that has its defaults.
func keysIn(path string, section reflect.Value) []Key {
	var keys []Key
	for f := range fields(section) {
		keys = append(keys, describe(join(path, f.key), f))
	}
	return keys
}

// describe is what a field's type and tags say of its key.
func describe(path string, f field) Key {
	k := Key{Name: f.key, Path: path, Field: fmt.Sprintf("%s.%s.%s", f.owner.PkgPath(), f.owner.Name(), f.name),
		Required: f.option("required") || f.option("needed"), Nonempty: f.option("nonempty"),
		Min: f.tag.min, Max: f.tag.max, With: f.tag.with, Either: f.tag.Get("either"), Since: f.tag.Get("since"),
		Default: f.tag.Get("default"), Values: strings.Fields(f.tag.Get("values"))}
	t := f.value.Type()
	if k.List = t.Kind() == reflect.Slice && !scalar(t); k.List {
		k.Path, t = path+"[]", t.Elem()
	}
	k.Nullable = k.List || t.Kind() == reflect.Struct && !scalar(t)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if k.Kind = kindOfType(t); k.Kind == Section {
		k.Keys = keysIn(k.Path, sectionOf(f.value, t))
	} else if k.Default == "" && !k.List && k.Kind != Match {
		k.Default = shown(f.value)
	}
	if k.Required && k.Default != "" {
		k.Required, k.Nonempty = false, true
	}
	return k
}

// sectionOf is a field's section, or a new one where it is optional or an item of a list.
func sectionOf(value reflect.Value, t reflect.Type) reflect.Value {
	if value.Type() == t {
		return value
	}
	section := reflect.New(t).Elem()
	setDefaults(section)
	return section
}

// kindOfType is how values of a type are written.
func kindOfType(t reflect.Type) Kind {
	kinds := map[reflect.Type]Kind{durationType: Duration, timeType: Moment, fileType: File, secretFileType: SecretFile, folderType: Folder,
		reflect.TypeFor[authn.Secret](): Secret, sizeType: Size, percentType: Percent, matchType: Match}
	switch kind, known := kinds[t]; {
	case known:
		return kind
	case !scalar(t):
		return Section
	case reflect.PointerTo(t).Implements(ownText):
		return Word
	case t.Kind() == reflect.String:
		return Text
	case t.Kind() == reflect.Bool:
		return Truth
	}
	return Number
}

// shown is a default as YAML writes it; an empty text is none.
func shown(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case time.Duration:
		return shortTime(value)
	case time.Time:
		return ""
	case encoding.TextMarshaler:
		text, _ := value.MarshalText()
		return string(text)
	}
	if named(v.Type()) || v.Kind() == reflect.String {
		return textOfField(v)
	}
	return fmt.Sprint(v.Interface())
}

// shortTime is a duration without the parts that are zero: 5m, not 5m0s.
func shortTime(d time.Duration) string {
	text := d.String()
	for _, zero := range []struct{ long, short string }{{"m0s", "m"}, {"h0m", "h"}} {
		if strings.HasSuffix(text, zero.long) {
			text = strings.TrimSuffix(text, zero.long) + zero.short
		}
	}
	return text
}

// Flat are the keys and all that stand below them, the outer first.
func Flat(keys []Key) []Key {
	var list []Key
	for _, k := range keys {
		list = append(list, k)
		list = slices.Concat(list, Flat(k.Keys))
	}
	return list
}
