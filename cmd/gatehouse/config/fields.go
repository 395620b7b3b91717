package config

import (
	"encoding"
	"iter"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/workload"
	"gatehouse/proxy/content"
)

// A section of the file is the Config struct of the package that uses it. Its fields
// carry what the file may say in tags, and what it means, with its unit, in comments:
//
//	yaml:"timeout"         the key; without one, or with "-", a field is no key
//	yaml:"url,required"    the key must be there, with a text that is not blank
//	yaml:"user,nonempty"   where the key is there, its text is not empty
//	min:"100ms" max:"5m"   the range of a number or a time, both ends included
//	with:"key_file"        the key needs that other one beside it
//	below:"session"        where the key is left out, it is no more than that other one
//
// Others only tell the pages that are made of them what the section's package checks:
//
//	yaml:"base,needed"     the key must be there
//	either:"ldap machines" one of those other keys is needed where this one is left out, and none can stand beside another
//	values:"auto true"     the words that may stand
//	default:"uid"          what counts where the text is empty
//	since:"1.2"            the release that brought the key; without it the first one
//
// Keys of an embedded struct count as the section's own, unless it has one of that name.
// Defaults come from a method
// Defaults, what else is to be checked from a method Check.

// defaulter is a section that has defaults. They are asked for before the section is
// read, so that sections in lists have them as well.
type defaulter interface{ Defaults() }

// checker is a section that checks what its tags cannot say. Its error joins
// *authn.KeyError values with keys relative to the section.
type checker interface{ Check() error }

// field is one key of a section.
type field struct {
	key   string
	tag   tag
	value reflect.Value
	owner reflect.Type // of a key: the struct in which it is called name
	name  string
}

// tag is what the tags of a field say.
type tag struct {
	reflect.StructTag
	options               []string // of the key
	min, max, with, below string
}

func readTag(text reflect.StructTag) (key string, t tag) {
	key, options, _ := strings.Cut(text.Get("yaml"), ",")
	return key, tag{text, strings.Split(options, ","), text.Get("min"), text.Get("max"), text.Get("with"), text.Get("below")}
}

// key is one key of a type of section.
type key struct {
	field       // without a value
	index []int // of the value in the section
}

// keys are those of types of sections, in []key by reflect.Type: found once, for there may
// be a hundred thousand rules.
var keys sync.Map

// fields yields the keys of a section, those of embedded structs among them.
func fields(section reflect.Value) iter.Seq[field] {
	return func(yield func(field) bool) {
		for _, k := range keysOfType(section.Type()) {
			if k.value = section.FieldByIndex(k.index); !yield(k.field) {
				return
			}
		}
	}
}

func keysOfType(section reflect.Type) []key {
	if known, ok := keys.Load(section); ok {
		return known.([]key)
	}
	var list []key
	for i := range section.NumField() {
		f := section.Field(i)
		if f.Anonymous {
			for _, inner := range keysOfType(f.Type) {
				if !hides(section, inner.key) {
					inner.index = slices.Concat(f.Index, inner.index)
					list = append(list, inner)
				}
			}
			continue
		}
		if name, tag := readTag(f.Tag); name != "" && name != "-" {
			list = append(list, key{field{key: name, tag: tag, owner: section, name: f.Name}, f.Index})
		}
	}
	keys.Store(section, list)
	return list
}

// hides reports whether a section has a key itself, so that one of the same name in an
// embedded struct is none.
func hides(section reflect.Type, key string) bool {
	for i := range section.NumField() {
		f := section.Field(i)
		if own, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); !f.Anonymous && own == key {
			return true
		}
	}
	return false
}

// fieldOf is the field of a key; "" is none.
func fieldOf(section reflect.Value, key string) (field, bool) {
	if key == "" {
		return field{}, false
	}
	for f := range fields(section) {
		if f.key == key {
			return f, true
		}
	}
	return field{}, false
}

func keysOf(section reflect.Value) []string {
	var keys []string
	for f := range fields(section) {
		keys = append(keys, f.key)
	}
	slices.Sort(keys)
	return keys
}

// option reports whether the key's tag has an option such as required.
func (f field) option(name string) bool { return slices.Contains(f.tag.options, name) }

var (
	durationType   = reflect.TypeFor[time.Duration]()
	sizeType       = reflect.TypeFor[content.Size]()
	percentType    = reflect.TypeFor[content.Percent]()
	timeType       = reflect.TypeFor[time.Time]()
	fileType       = reflect.TypeFor[authn.File]()
	secretFileType = reflect.TypeFor[authn.SecretFile]()
	folderType     = reflect.TypeFor[authn.Folder]()
	matchType      = reflect.TypeFor[workload.Match]() // a section whose keys are the user's
	ownText        = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// named reports whether values of a type are files or folders that the config names.
func named(t reflect.Type) bool { return t == fileType || t == secretFileType || t == folderType }

// scalar reports whether values of a type are written as one text, number or truth.
func scalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct, reflect.Slice, reflect.Pointer:
		return named(t) || t == matchType || reflect.PointerTo(t).Implements(ownText)
	}
	return true
}

// walk visits a field and all that stands below it, the inner first. The key is the
// path from the root.
func walk(f field, visit func(field)) {
	switch v := f.value; {
	case scalar(v.Type()):
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			walk(field{key: f.key, tag: f.tag, value: v.Elem()}, visit)
		}
		return
	case v.Kind() == reflect.Struct:
		for inner := range fields(v) {
			inner.key = join(f.key, inner.key)
			walk(inner, visit)
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			walk(field{key: item(f.key, i), tag: f.tag, value: v.Index(i)}, visit)
		}
	}
	visit(f)
}

// setDefaults gives a section and the sections in it what the file may leave out;
// optional ones are made by the decoder.
func setDefaults(section reflect.Value) {
	for f := range fields(section) {
		if f.value.Kind() == reflect.Struct && !scalar(f.value.Type()) {
			setDefaults(f.value)
		}
	}
	if s, ok := section.Addr().Interface().(defaulter); ok {
		s.Defaults()
	}
}

// textOfField is the name of a File, SecretFile or Folder, or a text itself.
func textOfField(v reflect.Value) string {
	if named(v.Type()) {
		v = v.FieldByName("Name")
	}
	return v.String()
}
