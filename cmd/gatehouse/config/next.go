package config

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
)

// readNext takes the rules of policy_next_file as if they stood under policy_next. What
// is wrong with them is told of that file, with line and column there.
func (l *Loaded) readNext() {
	file := &l.Config.PolicyNextFile
	if _, both := l.places[nextKey]; both && file.Name != "" {
		l.Fault(nextKey+"_file", "stands beside policy_next; take one of the two out")
		return
	}
	if file.Data == nil {
		return
	}
	own := Report{File: filepath.Join(filepath.Dir(l.File), file.Name)}
	if filepath.IsAbs(file.Name) {
		own.File = file.Name
	}
	d := &decoder{report: &own, places: map[string]Place{}}
	root, at, err := parseYAML(bytes.TrimPrefix(file.Data, []byte("\ufeff")))
	switch {
	case err != nil:
		own.at(at, nextKey, "%v", err)
	case root == nil:
		own.at(Place{1, 1}, nextKey, "is empty; write a list of rules")
	default:
		d.value(field{key: nextKey, value: reflect.ValueOf(&l.Config.PolicyNext).Elem()}, at, root)
	}
	own.places = d.places
	l.findings = append(l.findings, own.findings...)
	l.next = &own
}

// position gives each rule of a list its place.
func (l *Loaded) position() {
	for i := range l.Config.Policy {
		l.Config.Policy[i].Position = l.Position(fmt.Sprintf("policy[%d]", i))
	}
	for i := range l.Config.PolicyNext {
		l.Config.PolicyNext[i].Position = l.Position(fmt.Sprintf("%s[%d]", nextKey, i))
	}
}
