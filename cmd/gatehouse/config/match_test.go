package config

import (
	"fmt"
	"testing"
)

// matchConfig is a config with this match.
func matchConfig(match string) string {
	return "upstream: {url: \"http://127.0.0.1:1\"}\n" +
		"directories:\n" +
		"- name: a\n" +
		"  oidc:\n" +
		"    issuer: https://issuer.example.com\n" +
		"    audiences: [x]\n" +
		"    workloads:\n" +
		"    - name: \"{sub}\"\n" +
		"      match: " + match + "\n"
}

// TestMatch: patterns by claim are read in their order and as they are written.
func TestMatch(t *testing.T) {
	for text, want := range map[string]string{
		"{b: x, a: y}":                              "[{b [x]} {a [y]}]",
		"{a: [x, y]}":                               "[{a [x y]}]",
		"{a: 046576199, b: 1.50, c: 1e3}":           "[{a [046576199]} {b [1.50]} {c [1e3]}]",
		"{a: true, b: [false, 5]}":                  "[{a [true]} {b [false 5]}]",
		`{"/kubernetes.io/namespace": "prod"}`:      "[{/kubernetes.io/namespace [prod]}]",
		`{"https://example.com/roles": "a*"}`:       "[{https://example.com/roles [a*]}]",
		"\n        a: >-\n          x\n          y": "[{a [x y]}]",
		"\n        a:\n        - x\n        - y":    "[{a [x y]}]",
		"{}":                                        "[]",
		"":                                          "[]",
	} {
		l := load(t, t.TempDir(), matchConfig(text))
		if got := fmt.Sprint(l.Config.Directories[0].OIDC.Workloads[0].Match); got != want || len(l.Faults()) > 0 {
			t.Errorf("%s is %s, want %s: %v", text, got, want, l.Faults())
		}
	}
	for text, want := range map[string]string{
		"[a]":          "directories[0].oidc.workloads[0].match: must be a section of keys, not a list",
		"x":            "directories[0].oidc.workloads[0].match: must be a section of keys, not a text",
		"{a: }":        "directories[0].oidc.workloads[0].match.a: must be a pattern, or a list of them, not nothing",
		"{a: {b: c}}":  "directories[0].oidc.workloads[0].match.a: must be a pattern, or a list of them, not a section of keys",
		"{a: [x, []]}": "directories[0].oidc.workloads[0].match.a[1]: must be a pattern, or a list of them, not a list",
		"{a: x, a: y}": "directories[0].oidc.workloads[0].match.a: stands twice (first in line 9); remove one",
	} {
		l := load(t, t.TempDir(), matchConfig(text))
		if faults := l.Faults(); len(faults) != 1 || faults[0].Key+": "+faults[0].Text != want || faults[0].Place.Line != 9 {
			t.Errorf("%s: %v, want %s", text, faults, want)
		}
	}
}
