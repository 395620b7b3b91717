// Command mutate removes each check of the named source files in turn and says
// which removals no test notices:
//
//	go run ./cmd/internal/mutate [-min PERCENT] [-equivalent FILE] [-run FOLDER=REGEXP] FILE.go...
//
// All mutants of a package are compiled into one test binary, each behind a switch
// that an environment variable throws, so that each costs a run of the tests and no
// build. The changed files are laid over the real ones (go build -overlay), which
// are never touched. Conditions are forced both ways, sides of && and || dropped,
// comparisons negated and their bounds moved by one, results zeroed or turned
// round, statements deleted, cases emptied, and entries taken out of tables.
//
// Names of mutants that change nothing that can be observed stand in the file of
// -equivalent, each with a reason behind a tab; they do not count.
package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	least := flag.Float64("min", 0, "exit with 1 where fewer `percent` of the mutants are noticed")
	equivalent := flag.String("equivalent", "", "`file` of mutants that change nothing, one a line")
	only := map[string]string{}
	flag.Func("run", "`FOLDER=REGEXP`: only these tests of that folder, since the rest is slow", func(s string) error {
		folder, tests, ok := strings.Cut(s, "=")
		if only[folder] = tests; !ok {
			return errors.New("FOLDER=REGEXP is wanted")
		}
		return nil
	})
	flag.Parse()
	score, err := run(flag.Args(), *equivalent, only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
	if score < *least {
		fmt.Printf("fewer than %.0f %% of the removed checks are noticed\n", *least)
		os.Exit(1)
	}
}

// run tries all mutants of the files, package by package, each with all tests of
// its folder or only some, and gives the score in percent.
func run(files []string, equivalentFile string, only map[string]string) (float64, error) {
	reasons, err := readEquivalent(equivalentFile)
	if err != nil {
		return 0, err
	}
	byFolder := map[string][]string{}
	for _, f := range files {
		byFolder[filepath.Dir(f)] = append(byFolder[filepath.Dir(f)], f)
	}
	var all tally
	for _, folder := range slices.Sorted(maps.Keys(byFolder)) {
		t, err := tryPackage(folder, byFolder[folder], reasons, only[folder])
		if err != nil {
			return 0, fmt.Errorf("%s: %w", folder, err)
		}
		fmt.Printf("%s: %s\n", folder, t)
		all.add(t)
	}
	for name := range reasons {
		return 0, fmt.Errorf("%s lists %q, which is no mutant any more", equivalentFile, name)
	}
	fmt.Printf("in all: %s\n", all)
	return all.score(), nil
}

// tally counts what became of mutants.
type tally struct{ noticed, survived, equivalent int }

func (t *tally) add(u tally) {
	t.noticed, t.survived, t.equivalent = t.noticed+u.noticed, t.survived+u.survived, t.equivalent+u.equivalent
}

func (t tally) score() float64 {
	if t.noticed+t.survived == 0 {
		return 0
	}
	return 100 * float64(t.noticed) / float64(t.noticed+t.survived)
}

func (t tally) String() string {
	return fmt.Sprintf("%d of %d removed checks are noticed, %.1f %% (%d more change nothing)", t.noticed, t.noticed+t.survived, t.score(), t.equivalent)
}

// readEquivalent reads lines of a mutant's name, a tab and the reason.
func readEquivalent(name string) (map[string]string, error) {
	reasons := map[string]string{}
	if name == "" {
		return reasons, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		mutant, reason, ok := strings.Cut(line, "\t")
		if !ok {
			return nil, fmt.Errorf("%s: %q has no reason behind a tab", name, line)
		}
		reasons[mutant] = reason
	}
	return reasons, nil
}
