package workload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gatehouse/authn"
)

// Claims are values by the name that the config has for them: a top-level claim, or a
// JSON pointer (RFC 6901) such as /kubernetes.io/namespace. A value is a string, a
// json.Number, a bool, nil, or a list or a map of such.
type Claims map[string]any

// MaxBytes is how long the claims that a Mapping reads may be, as JSON.
const MaxBytes = 2 << 10

// Pick takes out of all claims those that the mapping reads, which is what an access
// token carries. The error, where they are over 2 KiB, wraps authn.ErrMismatchedToken.
func (m *Mapping) Pick(all map[string]any) (Claims, error) {
	c := Claims{}
	for _, r := range m.claims {
		if value, ok := r.find(all); ok && value != nil {
			c[r.text] = value
		}
	}
	if n := len(c.String()); n > MaxBytes {
		return nil, fmt.Errorf("%w: the claims that the workloads read are %d bytes, over %d", authn.ErrMismatchedToken, n, MaxBytes)
	}
	return c, nil
}

// String is the claims as JSON, their names in order.
func (c Claims) String() string { return compact(map[string]any(c)) }

// ReadClaims reads what String wrote.
func ReadClaims(text string) (Claims, error) {
	var c Claims
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&c); err != nil {
		return nil, fmt.Errorf("the claims cannot be read: %w", err)
	}
	return c, nil
}

// compact is a value as JSON, without escapes that only HTML needs.
func compact(value any) string {
	var b bytes.Buffer
	to := json.NewEncoder(&b)
	to.SetEscapeHTML(false)
	if err := to.Encode(value); err != nil { // what came of JSON cannot fail
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// textOf is how a value compares: a string as it is, a number or a truth by its JSON
// text. Nothing else has a text.
func textOf(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// textsOf are the texts of a value, or of each element of a list.
func textsOf(value any) []string {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var texts []string
	for _, v := range list {
		if text, ok := textOf(v); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

// shown is a value for a message.
func shown(value any) string { return clip(compact(value), 100) }

// maxRecorded is how much of a claim log and audit show, in bytes.
const maxRecorded = 256

// recorded is a value for log and audit.
func recorded(value any) string {
	text, ok := textOf(value)
	if !ok {
		text = compact(value)
	}
	return clip(text, maxRecorded)
}

// clip keeps a text to so many bytes.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const more = "…"
	return strings.ToValidUTF8(text[:most-len(more)], "") + more
}

// reference is the name of a claim.
type reference struct {
	text  string
	steps []string // from the outermost object inwards
}

// parseReference reads one.
func parseReference(text string) (reference, error) {
	switch {
	case text == "":
		return reference{}, errors.New("an empty name of a claim")
	case text[0] != '/':
		return reference{text, []string{text}}, nil
	}
	r := reference{text: text}
	for step := range strings.SplitSeq(text[1:], "/") {
		if rest := strings.NewReplacer("~0", "", "~1", "").Replace(step); strings.Contains(rest, "~") {
			return r, fmt.Errorf("%.100q is no JSON pointer (RFC 6901): behind ~ stands 0 or 1", text)
		}
		r.steps = append(r.steps, strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
	}
	return r, nil
}

// find is the value in a credential's claims.
func (r reference) find(all map[string]any) (any, bool) {
	var at any = all
	for _, step := range r.steps {
		var ok bool
		switch v := at.(type) {
		case map[string]any:
			at, ok = v[step]
		case []any:
			at, ok = element(v, step)
		}
		if !ok {
			return nil, false
		}
	}
	return at, true
}

// element is that of a list, by its number as a JSON pointer writes it.
func element(list []any, step string) (any, bool) {
	n, err := strconv.ParseUint(step, 10, 16)
	if err != nil || n >= uint64(len(list)) || step != strconv.FormatUint(n, 10) {
		return nil, false
	}
	return list[n], true
}
