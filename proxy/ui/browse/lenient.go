package browse

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"time"
)

// What a registry says is taken as far as it can be: a value of another type, or out of range,
// is not known, and of a list that has no end its beginning is kept.

// size is a number of bytes; -1 is one that cannot be.
type size int64

// UnmarshalJSON takes any value for a size.
func (s *size) UnmarshalJSON(b []byte) error {
	var n int64
	if err := json.Unmarshal(b, &n); err != nil || n < 0 {
		n = -1
	}
	*s = size(n)
	return nil
}

// plus adds sizes; what has a part that is not known, or is beyond all bounds, is not known.
func (s size) plus(o size) size {
	if s < 0 || o < 0 || s > math.MaxInt64-o {
		return -1
	}
	return s + o
}

// moment is a time; zero is one that cannot be.
type moment struct{ time.Time }

// UnmarshalJSON takes any value for a time (RFC 3339).
func (m *moment) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		m.Time = parseTime(text)
	}
	return nil
}

// parseTime reads a time of this calendar, zero where there is none.
func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() < 1 || t.UTC().Year() > 9999 {
		return time.Time{}
	}
	return t.UTC()
}

// list is a list of texts, or one text.
type list []string

// UnmarshalJSON takes any value for a list.
func (l *list) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*l = list{one}
		return nil
	}
	*l = nil
	each(b, '[', func(in *json.Decoder, _ string) error {
		var text any
		err := in.Decode(&text)
		if text, ok := text.(string); ok {
			*l = append(*l, text)
		}
		return enough(len(*l), mostValues, err)
	})
	return nil
}

// texts are texts by name.
type texts map[string]string

// UnmarshalJSON takes any value for texts; those that are none are left out.
func (t *texts) UnmarshalJSON(b []byte) error {
	*t = texts{}
	each(b, '{', func(in *json.Decoder, key string) error {
		var value any
		err := in.Decode(&value)
		if text, ok := value.(string); ok {
			(*t)[key] = text
		}
		return enough(len(*t), mostValues, err)
	})
	return nil
}

// marks are the annotations of a descriptor, those that are of use here.
type marks texts

var marking = map[string]bool{markReference: true, markTitle: true, markPredicate: true}

const (
	markReference = "vnd.docker.reference.type"
	markTitle     = "org.opencontainers.image.title"
	markPredicate = "dev.sigstore.bundle.predicateType"
)

// UnmarshalJSON takes any value.
func (m *marks) UnmarshalJSON(b []byte) error {
	*m = nil
	n := 0
	each(b, '{', func(in *json.Decoder, key string) error {
		var value any
		err := in.Decode(&value)
		if text, ok := value.(string); ok && marking[key] {
			if *m == nil {
				*m = marks{}
			}
			(*m)[key] = text
		}
		n++
		return enough(n, mostValues, err)
	})
	return nil
}

// descriptors are a list of them.
type descriptors struct {
	list []descriptor // the first mostLayers of them
	more int          // how many follow, as far as they were counted
	sum  size         // of all
}

// mostCounted is how many descriptors are looked at; with more of them their sum is not known.
const mostCounted = 20 * mostLayers

// UnmarshalJSON takes any value; what is no descriptor is an empty one.
func (d *descriptors) UnmarshalJSON(b []byte) error {
	*d = descriptors{}
	each(b, '[', func(in *json.Decoder, _ string) error {
		if len(d.list) == mostLayers {
			var rest struct{ Size size }
			err := in.Decode(&rest)
			if d.more, d.sum = d.more+1, d.sum.plus(rest.Size); d.more == mostCounted {
				d.sum = -1
			}
			return enough(d.more, mostCounted, ofType(err))
		}
		var one descriptor
		err := in.Decode(&one)
		d.list, d.sum = append(d.list, one), d.sum.plus(one.Size)
		return ofType(err)
	})
	return nil
}

// ofType leaves out that a value is of another type than it should be.
func ofType(err error) error {
	if errors.As(err, new(*json.UnmarshalTypeError)) {
		return nil
	}
	return err
}

var errEnough = errors.New("the rest is left out")

// enough ends a visit after so many.
func enough(n, most int, err error) error {
	if err == nil && n >= most {
		return errEnough
	}
	return err
}

// each visits the values of a list or an object, in order, until one cannot be read.
func each(b []byte, open json.Delim, visit func(in *json.Decoder, key string) error) {
	in := json.NewDecoder(bytes.NewReader(b))
	if first, err := in.Token(); err != nil || first != open {
		return
	}
	for in.More() {
		key := ""
		if open == '{' {
			token, err := in.Token()
			if err != nil {
				return
			}
			key, _ = token.(string) // as the names of JSON's objects are
		}
		if visit(in, key) != nil {
			return
		}
	}
}
