package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const pass = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: 12 MiB/s\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
`
	tests := map[string]struct {
		in     string
		status int
		want   []string
		absent string
	}{
		"all pass":       {pass, 0, []string{"ok  \tp\t0.1s\n", "a_test.go:7: 12 MiB/s", "1 tests passed, 0 failed, 0 skipped in 1 packages\nPASS\n"}, "=== RUN"},
		"nothing ran":    {`{"Action":"skip","Package":"q"}`, 1, []string{"0 tests passed"}, "SKIPPED"},
		"a skip":         {pass + `{"Action":"skip","Package":"p","Test":"TestB"}`, 1, []string{"SKIPPED: p TestB", "1 skipped", "FAIL"}, "PASS\n"},
		"a failure":      {pass + `{"Action":"output","Package":"p","Test":"TestC","Output":"boom\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestC"}`, 1, []string{"boom\n", "FAILED: p TestC\nboom\n", "1 failed"}, "PASS\n"},
		"a long failure": {pass + strings.Repeat(`{"Action":"output","Package":"p","Test":"TestC","Output":"a\n"}`+"\n", 50) + `{"Action":"fail","Package":"p","Test":"TestC"}`, 1, []string{strings.Repeat("a\n", 50), "TestC\n" + strings.Repeat("a\n", 40) + "1 tests passed"}, "PASS\n"},
		"a package":      {pass + `{"Action":"output","Package":"q","Output":"panic: x\n"}` + "\n" + `{"Action":"fail","Package":"q"}`, 1, []string{"FAILED: q\npanic: x\n1 tests"}, "PASS\n"},
		"does not build": {pass + `{"Action":"build-output","ImportPath":"z","Output":"z.go:1: undefined: x\n"}` + "\n" + `{"Action":"build-fail","ImportPath":"z"}`, 1, []string{"undefined: x", "FAIL"}, "PASS\n"},
		"not an event":   {"warning: odd\n" + pass, 0, []string{"warning: odd\n"}, "FAIL"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			r := &report{out: &out, output: map[[2]string][]string{}}
			if err := r.read(strings.NewReader(test.in)); err != nil {
				t.Fatal(err)
			}
			if status := r.end(); status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in:\n%s", want, out.String())
				}
			}
			if strings.Contains(out.String(), test.absent) {
				t.Errorf("%q in:\n%s", test.absent, out.String())
			}
		})
	}
}
