package reference

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"gatehouse/cmd/gatehouse/config"
)

// object is one schema, or a part of one.
type object = map[string]any

// timePattern is what time.ParseDuration takes and is not negative.
const timePattern = `^\+?(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`

// Schema is a JSON Schema (2020-12) of the file. What it refuses `check` refuses; `check`
// knows more: ranges of times, patterns, files, and what stands in them.
func Schema() (string, error) {
	texts, err := comments()
	if err != nil {
		return "", err
	}
	root := section(config.Keys(), texts)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "The config of gatehouse"
	text, err := json.MarshalIndent(root, "", "  ")
	return string(text) + "\n", err
}

// section is the schema of a mapping: no key that is not known, those that must be there,
// and those that go together.
func section(keys []config.Key, texts map[string]string) object {
	properties, required, rules := object{}, []string{}, []object{}
	for _, k := range keys {
		properties[k.Name] = property(k, texts)
		if k.Required {
			required = append(required, k.Name)
		}
		if k.With != "" {
			rules = append(rules, object{"if": given(k.Name), "then": given(k.With)})
		}
		if k.Either != "" {
			one := []object{given(k.Name)}
			for other := range strings.FieldsSeq(k.Either) {
				one = append(one, given(other))
			}
			rules = append(rules, object{"oneOf": one})
		}
	}
	out := object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	if len(rules) > 0 {
		out["allOf"] = rules
	}
	return out
}

// given holds where the key is there and, where it is a text, not empty.
func given(key string) object {
	return object{"required": []string{key}, "properties": object{key: object{"not": object{"const": ""}}}}
}

// property is the schema of one key's value, with what an editor shows beside it.
func property(k config.Key, texts map[string]string) object {
	out := value(k, texts)
	if k.List {
		out = list(k, out)
	} else if k.Nullable && !k.Required && k.Either == "" {
		out["type"] = []string{"object", "null"}
	}
	out["description"] = texts[k.Field]
	if k.Default != "" {
		out["default"] = asWritten(k)
	}
	return out
}

func list(k config.Key, items object) object {
	out := object{"type": []string{"array", "null"}, "items": items}
	if k.Required {
		out["type"], out["minItems"] = "array", 1
	}
	return out
}

// value is the schema of one value, or of one item of a list.
func value(k config.Key, texts map[string]string) object {
	switch k.Kind {
	case config.Section:
		return section(k.Keys, texts)
	case config.Truth:
		return object{"type": "boolean"}
	case config.Number:
		return number(k)
	case config.Duration:
		return object{"anyOf": []object{{"type": "string", "pattern": timePattern}, {"const": 0}}}
	case config.Size:
		return object{"anyOf": []object{{"type": "string", "pattern": `^[0-9]+( *([KMGT]i)?B)?$`}, {"type": "integer", "minimum": 0}}}
	case config.Percent:
		return object{"type": "string", "pattern": `^([0-9]|[1-8][0-9]|90)%$`}
	case config.Moment:
		return object{"type": "string", "pattern": `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$`}
	case config.Match:
		pattern := object{"type": []string{"string", "number", "boolean"}, "minLength": 1}
		return object{"type": "object", "minProperties": 1, "propertyNames": object{"minLength": 1},
			"additionalProperties": object{"anyOf": []object{pattern, {"type": "array", "items": pattern, "minItems": 1}}}}
	case config.Word:
		if list := words(k); len(list) > 0 {
			return object{"enum": list}
		}
	}
	switch out := (object{"type": "string"}); {
	case len(k.Values) > 0 && (k.Required || k.List):
		return object{"enum": k.Values}
	case len(k.Values) > 0:
		return object{"enum": append([]string{k.Default}, without(k.Values, k.Default)...)}
	case k.Required:
		out["pattern"] = `\S`
		return out
	case k.Nonempty:
		out["minLength"] = 1
		return out
	default:
		return out
	}
}

func without(list []string, one string) []string {
	var rest []string
	for _, s := range list {
		if s != one {
			rest = append(rest, s)
		}
	}
	return rest
}

// number is a whole number in its range; the decoder takes 32 bits.
func number(k config.Key) object {
	bound := func(text string, otherwise int64) int64 {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return max(math.MinInt32, min(math.MaxInt32, n))
		}
		return otherwise
	}
	return object{"type": "integer", "minimum": bound(k.Min, math.MinInt32), "maximum": bound(k.Max, math.MaxInt32)}
}

// words are those of a value that YAML may take for a number or a truth, as both.
func words(k config.Key) []any {
	var list []any
	for _, word := range k.Values {
		list = append(list, word)
		var bare any
		if json.Unmarshal([]byte(word), &bare) == nil {
			list = append(list, bare)
		}
	}
	return list
}

// asWritten is a key's default as its kind of value.
func asWritten(k config.Key) any {
	var bare any
	if (k.Kind == config.Number || k.Kind == config.Truth) && json.Unmarshal([]byte(k.Default), &bare) == nil {
		return bare
	}
	return k.Default
}
