package question

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"gatehouse/cmd/gatehouse/config"
)

// Query is the question as GET /explain takes it.
func (q *Question) Query() url.Values {
	values := url.Values{"group": q.Groups, "claim": q.Claims}
	for key, field := range q.texts() {
		if *field != "" {
			values.Set(key, *field)
		}
	}
	return values
}

// FromQuery reads the question of a GET /explain. A parameter that is empty is as absent.
func FromQuery(values url.Values) (*Question, error) {
	q := &Question{Groups: given(values["group"]), Claims: given(values["claim"])}
	fields := q.texts()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		field, known := fields[key]
		switch {
		case key == "group", key == "claim":
		case !known:
			return nil, fmt.Errorf("unknown parameter %q", config.Clip(key))
		case len(values[key]) > 1:
			return nil, fmt.Errorf("%s is given twice", key)
		default:
			*field = values[key][0]
		}
	}
	q.At = strings.ReplaceAll(q.At, " ", "+") // which a query that is typed means by the + of a zone
	if q.Machine != "" && q.User != "" {
		return nil, errors.New("user stands beside machine; give one")
	}
	return q, nil
}

// given are those of the values that are not empty; nil: none.
func given(list []string) (there []string) {
	for _, text := range list {
		if text != "" {
			there = append(there, text)
		}
	}
	return there
}

// texts are the parameters but the groups and claims.
func (q *Question) texts() map[string]*string {
	return map[string]*string{"user": &q.User, "machine": &q.Machine, "directory": &q.Directory,
		"action": &q.Action, "ref": &q.Ref, "ip": &q.IP, "at": &q.At}
}
