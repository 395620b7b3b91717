package question

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/config"
)

// test is one item of a file of tests.
type test struct {
	Question `yaml:",inline"`
	Want     string `yaml:"want"` // allowed or denied
	Rule     string `yaml:"rule"` // name or position of the rule that has to decide, "none" for no rule; empty: any

	place string // file and line
	asked Asked
}

// suite is the tests of a policy.
type suite struct{ tests []test }

const maxSuite = 16 << 20 // bytes of one file

// read adds the tests of a file. Directories are the names that they may use.
func (s *suite) read(name string, directories []string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSuite+1))
	if err != nil {
		return err
	}
	if len(text) > maxSuite {
		return fmt.Errorf("%s is larger than %d MiB", name, maxSuite>>20)
	}
	items, err := itemsOf(text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var faults []error
	for _, item := range items {
		t := test{place: fmt.Sprintf("%s:%d", filepath.Base(name), item.GetToken().Position.Line)}
		at, err := t.decode(item, directories)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s:%d:%d: %w", filepath.Base(name), at.Line, at.Column, err))
		}
		s.tests = append(s.tests, t)
	}
	return errors.Join(faults...)
}

// decode reads an item; at is where its fault is.
func (t *test) decode(item ast.Node, directories []string) (at *token.Position, err error) {
	at = item.GetToken().Position
	if err = yaml.NodeToValue(item, t, yaml.Strict()); err == nil {
		err = t.check(directories)
	}
	var told yaml.Error
	var k *authn.KeyError
	switch {
	case errors.As(err, &told):
		if tk := told.GetToken(); tk != nil {
			at = tk.Position
		}
		err = errors.New(told.GetMessage())
	case errors.As(err, &k):
		if m, ok := item.(*ast.MappingNode); ok {
			for _, pair := range m.Values {
				if name := pair.Key.GetToken().Value; name == k.Key || name == k.Key+"s" { // group is groups here
					at = pair.Key.GetToken().Position
				}
			}
		}
	}
	return at, err
}

// itemsOf are those of a document that is a list.
func itemsOf(text []byte) ([]ast.Node, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, errors.New("not valid YAML: " + yaml.FormatError(err, false, false))
	}
	if len(file.Docs) != 1 {
		return nil, errors.New("must be one document, a list of tests")
	}
	list, ok := file.Docs[0].Body.(*ast.SequenceNode)
	if !ok {
		return nil, errors.New("must be a list of tests")
	}
	if len(list.Values) == 0 {
		return nil, errors.New("has no tests, so nothing would be held against the policy")
	}
	return list.Values, nil
}

func (t *test) check(directories []string) (err error) {
	if t.asked, err = t.Parse(); err != nil {
		return err
	}
	if t.Want != "allowed" && t.Want != "denied" {
		return fmt.Errorf("want must be allowed or denied, not %q", config.Clip(t.Want))
	}
	if t.Directory != "" && !slices.Contains(directories, t.Directory) {
		return fmt.Errorf("the config has no directory %q", config.Clip(t.Directory))
	}
	return nil
}

// run asks the policy of these rules each question, prints those whose answer differs
// and the rules that no question reached, and reports whether all hold.
func (s *suite) run(out io.Writer, p *authz.Policy, rules []authz.Rule) (holds bool) {
	reached, differ := map[string]bool{}, 0
	for i := range s.tests {
		t := &s.tests[i]
		d := p.Explain(t.asked.Identity, t.asked.Request).Decision
		for _, label := range t.deciding(p) {
			reached[label] = true
		}
		if why := t.differs(d, rules); why != "" {
			differ++
			fmt.Fprintf(out, "%s: %s %s %s: %s\n", t.place, t.User, t.Action, t.Ref, why)
		}
	}
	for _, r := range rules {
		if !reached[r.Label()] {
			fmt.Fprintf(out, "no test reaches %s: %s\n", r.Label(), r)
		}
	}
	fmt.Fprintf(out, "%d of %d tests hold\n", len(s.tests)-differ, len(s.tests))
	return differ == 0
}

// deciding are the rules that decided: of a push those of both its halves.
func (t *test) deciding(p *authz.Policy) []string {
	actions := []authz.Action{t.asked.Request.Action}
	if actions[0] == authz.Push {
		actions = []authz.Action{authz.Create, authz.Overwrite}
	}
	var labels []string
	for _, action := range actions {
		r := t.asked.Request
		r.Action = action
		labels = append(labels, p.Explain(t.asked.Identity, r).Rule)
	}
	return labels
}

// differs is what is otherwise than the test wants it, "" for nothing.
func (t *test) differs(d authz.Decision, rules []authz.Rule) string {
	verdict, by := "denied", d.Rule
	if d.Allowed {
		verdict = "allowed"
	}
	if by == "" {
		by = "none"
	}
	switch {
	case verdict != t.Want:
		return fmt.Sprintf("%s (rule: %s), want %s", verdict, by, t.Want)
	case t.Rule != "" && t.Rule != by && !slices.ContainsFunc(rules, func(r authz.Rule) bool {
		return r.Label() == d.Rule && (t.Rule == r.Name || t.Rule == r.Position)
	}):
		return fmt.Sprintf("%s, but by rule: %s, want %s", verdict, by, t.Rule)
	}
	return ""
}
