package question

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/config"
)

// Source is where a question is asked: a config, or a running gateway.
type Source struct {
	Policy      *authz.Policy                                                                            // decides
	Find        func(ctx context.Context, user string) (authn.Identity, error)                           // asks the directories
	FindMachine func(ctx context.Context, machine string, claims map[string]any) (authn.Identity, error) // of DIRECTORY/NAME
	Directories []string                                                                                 // their names
}

// Answer is what explain says, in lines or as JSON.
type Answer struct{ authz.Answer }

// onlineLimit is how long directories have for a question.
const onlineLimit = 30 * time.Second

// ErrDirectory is the error of a question about somebody who is not known,
// because a directory is at fault. Every other error is of a question that is wrong.
var ErrDirectory = errors.New("a directory is at fault")

// Ask answers the question.
func (q *Question) Ask(ctx context.Context, s Source) (a Answer, err error) {
	asked, err := q.Parse()
	if err != nil {
		return a, err
	}
	if q.Directory != "" && !slices.Contains(s.Directories, q.Directory) {
		return a, &authn.KeyError{Key: "directory", Err: fmt.Errorf("the config has no directory %q", config.Clip(q.Directory))}
	}
	id, err := q.find(ctx, s, asked)
	key := new(authn.KeyError)
	switch {
	case errors.As(err, &key):
		return a, err
	case errors.Is(err, authn.ErrUnknownUser):
		return unknown(q, err), nil
	case err != nil:
		return a, fmt.Errorf("%w, so nothing is known of %s: %w", ErrDirectory, config.Clip(q.who()), err)
	}
	a.Answer = s.Policy.Answer(id, asked.Request)
	if id.Directory == NoDirectory {
		a.Identity.Directory = "none"
	}
	if id.Machine && id.Note != "" {
		a.Conditions = append(a.Conditions, id.Note)
	}
	return a, nil
}

// who is the caller that is asked about.
func (q *Question) who() string {
	if q.Machine != "" {
		return q.Machine
	}
	return q.User
}

func (q *Question) find(ctx context.Context, s Source, asked Asked) (authn.Identity, error) {
	if q.Machine != "" {
		return s.FindMachine(ctx, q.Machine, asked.Claims)
	}
	if q.User == "-" || q.Described() {
		return asked.Identity, nil
	}
	ctx, cancel := context.WithTimeout(ctx, onlineLimit)
	defer cancel()
	return s.Find(ctx, q.User)
}

func unknown(q *Question, err error) Answer {
	who := authz.Person{User: config.Clip(q.User)}
	if q.Machine != "" {
		who = authz.Person{Machine: config.Clip(q.Machine)}
	}
	return Answer{authz.Unknown(who, err)}
}

// Print writes the answer in lines.
func (a Answer) Print(w io.Writer) {
	verdict := "denied"
	if a.Allowed {
		verdict = "allowed"
	}
	fmt.Fprintf(w, "%s\nrule: %s\n", verdict, a.Rule.Label())
	PrintPerson(w, a.Identity)
	for _, c := range a.Conditions {
		fmt.Fprintf(w, "condition: %s\n", Printable(c))
	}
}

// PrintPerson writes who was asked about in lines.
func PrintPerson(w io.Writer, p authz.Person) {
	kind, name := "user", p.User
	if p.Machine != "" {
		kind, name = "machine", p.Machine
	}
	if p.Unknown != "" {
		fmt.Fprintf(w, "%s: %s is unknown (%s)\n", kind, Printable(name), Printable(p.Unknown))
		return
	}
	PrintField(w, kind, name)
	if p.Directory == "" { // the anonymous caller
		return
	}
	PrintField(w, "directory", p.Directory)
	PrintField(w, "id", p.ID)
	PrintField(w, "dn", p.DN)
	groups := strings.Join(p.Groups, "; ")
	if groups == "" {
		groups = "none"
	}
	PrintField(w, "groups", groups)
	PrintField(w, "no login", p.NoLogin)
}

// PrintField writes a line, where there is a value.
func PrintField(w io.Writer, name, value string) {
	if value != "" {
		fmt.Fprintf(w, "%s: %s\n", name, Printable(value))
	}
}

// Printable keeps control characters, which a server may have sent, off the terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
