// Testreport reads what `go test -json` writes on its standard input and shows it
// as `go test` would: a line a package, the whole output of what failed, and of
// what passed only the lines that a test logged (figures and tables). It ends with
// the counts, below the output of what failed once more, since who reads only the end
// of a long log must find it there, and with status 1 if any test failed or was
// skipped or none ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of `go test -json` (see `go doc test2json`).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// report is what has been seen so far.
type report struct {
	out                      io.Writer
	output                   map[[2]string][]string // by package and test, until it ends
	passed, failed, packages int
	skipped                  []string
	failures                 []failure
}

// failure is a test, or a package outside its tests, that failed, and what it printed.
type failure struct {
	name  string
	lines []string
}

// kept is how many of the last lines of a failure are shown again at the end.
const kept = 40

func main() {
	r := &report{out: os.Stdout, output: map[[2]string][]string{}}
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
	os.Exit(r.end())
}

// read takes events to the end of in. A line that is no event is shown as it is.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		var e event
		switch {
		case line == "":
		case json.Unmarshal([]byte(line), &e) != nil:
			fmt.Fprint(r.out, line)
		default:
			r.add(e)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) add(e event) {
	key := [2]string{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "build-fail":
		r.failed++
	case "output":
		r.output[key] = append(r.output[key], e.Output)
	case "pass", "fail", "skip":
		r.show(e, r.output[key])
		if e.Action == "fail" {
			r.failures = append(r.failures, failure{strings.TrimSpace(e.Package + " " + e.Test), r.output[key]})
		}
		delete(r.output, key)
		r.count(e)
	}
}

func (r *report) count(e event) {
	switch {
	case e.Action == "fail":
		r.failed++
	case e.Test == "":
		if e.Action == "pass" {
			r.packages++
		}
	case e.Action == "pass":
		r.passed++
	default:
		r.skipped = append(r.skipped, e.Package+" "+e.Test)
	}
}

// show prints a finished test's or package's output: all of it where it failed.
func (r *report) show(e event, lines []string) {
	for _, line := range lines {
		if strings.HasPrefix(line, "=== ") {
			continue
		}
		logged := strings.HasPrefix(line, "    ") && !strings.HasPrefix(strings.TrimSpace(line), "--- ")
		summary := e.Test == "" && (strings.HasPrefix(line, "ok ") || strings.HasPrefix(line, "?"))
		if e.Action != "pass" || logged || summary {
			fmt.Fprint(r.out, line)
		}
	}
}

// end prints the counts and returns the exit status.
func (r *report) end() int {
	for _, f := range r.failures {
		fmt.Fprintln(r.out, "FAILED:", f.name)
		for _, line := range f.lines[max(0, len(f.lines)-kept):] {
			fmt.Fprint(r.out, line)
		}
	}
	for _, test := range r.skipped {
		fmt.Fprintln(r.out, "SKIPPED:", test)
	}
	fmt.Fprintf(r.out, "%d tests passed, %d failed, %d skipped in %d packages\n", r.passed, r.failed, len(r.skipped), r.packages)
	if r.failed > 0 || len(r.skipped) > 0 || r.passed == 0 {
		fmt.Fprintln(r.out, "FAIL")
		return 1
	}
	fmt.Fprintln(r.out, "PASS")
	return 0
}
