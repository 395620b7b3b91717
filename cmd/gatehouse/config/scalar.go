package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"gatehouse/authn"
)

// setScalar reads one text, number or truth, and returns what is wrong with it.
func setScalar(f field, n ast.Node) (problem string) {
	into := f.value
	switch t := into.Type(); {
	case t == durationType:
		return setDuration(n, into)
	case t == timeType:
		return setTime(n, into)
	case named(t):
		return setString(f, n, into.FieldByName("Name"))
	case reflect.PointerTo(t).Implements(ownText):
		return setOwn(n, into.Addr().Interface().(encoding.TextUnmarshaler))
	}
	switch into.Kind() {
	case reflect.String:
		return setString(f, n, into)
	case reflect.Bool:
		return setBool(n, into)
	}
	return setInt(n, into)
}

func setString(f field, n ast.Node, into reflect.Value) string {
	s, ok := textOf(n)
	switch {
	case !ok && into.Type() == reflect.TypeFor[authn.Secret]():
		return fmt.Sprintf("must be a text in quotes, not %s", kindOf(n))
	case !ok:
		return fmt.Sprintf("must be a text, not %s%s", kindOf(n), quoteHint(n))
	case s == "" && f.option("nonempty"):
		return "is empty; give a value or leave the key out"
	}
	into.SetString(s)
	return ""
}

// quoteHint helps with a name that YAML takes for a number.
func quoteHint(n ast.Node) string {
	if _, ok := n.(ast.ScalarNode); ok {
		return fmt.Sprintf("; put it in quotes: %q", Clip(n.GetToken().Value))
	}
	return ""
}

// setOwn reads a type that has a text form of its own, which may look like a number
// or a truth to YAML: min_version: 1.2.
func setOwn(n ast.Node, into encoding.TextUnmarshaler) string {
	s, ok := textOf(n)
	if _, isScalar := n.(ast.ScalarNode); !ok && isScalar {
		s, ok = n.GetToken().Value, true
	}
	if !ok {
		return fmt.Sprintf("must be a text, not %s", kindOf(n))
	}
	if err := into.UnmarshalText([]byte(s)); err != nil {
		return err.Error()
	}
	return ""
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
			return fmt.Sprintf("must be a time with its unit, such as %ss or 5m", Clip(s))
		}
	}
	if !ok {
		return fmt.Sprintf("must be a time such as 30s, 5m or 6h, not %s", kindOf(n))
	}
	t, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return fmt.Sprintf("must be a time such as 30s, 5m or 6h, not %q", Clip(s))
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
		return fmt.Sprintf("must be a moment with its zone, such as 2026-11-26T08:00:00Z or 2026-11-26T09:00:00+01:00, not %q", Clip(s))
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

// kindOf is in words what a value is.
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

// Clip keeps what a message quotes short.
func Clip(s string) string {
	const most = 100
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
