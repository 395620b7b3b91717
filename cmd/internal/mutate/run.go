package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// variable names the mutant that is on.
const variable = "GATEHOUSE_MUTANT"

// helpers is the file that is added to a package: the switch and the comparisons
// whose bound can be moved.
const helpers = `package %s

import (
	"cmp"
	"os"
	"strconv"
)

var mutantOn = func() int { n, _ := strconv.Atoi(os.Getenv(%q)); return n }()

func mutantIs(n int) bool { return mutantOn == n }

func mutantLess[T cmp.Ordered](n int, a, b T) bool         { return a < b || mutantOn == n && a == b }
func mutantLessEqual[T cmp.Ordered](n int, a, b T) bool    { return a < b || mutantOn != n && a == b }
func mutantGreater[T cmp.Ordered](n int, a, b T) bool      { return a > b || mutantOn == n && a == b }
func mutantGreaterEqual[T cmp.Ordered](n int, a, b T) bool { return a > b || mutantOn != n && a == b }

func init() {
	%s
}
`

// workers is how many mutants are tried at once.
const workers = 2

// tryPackage tries the mutants of files of one package. Names that it finds in
// reasons it takes out of there.
func tryPackage(folder string, files []string, reasons map[string]string, tests string) (t tally, err error) {
	work, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return t, err
	}
	defer os.RemoveAll(work)
	mutants, overlay, err := writeMutants(work, folder, files)
	if err != nil {
		return t, err
	}
	b, err := build(work, folder, overlay, tests)
	if err != nil {
		return t, err
	}
	start := time.Now()
	if out, ok := b.passes(0, time.Minute); !ok {
		return t, fmt.Errorf("the tests fail without any mutant:\n%s", out)
	}
	survived := b.survivors(mutants, 3*time.Second+8*time.Since(start))
	for i, m := range mutants {
		_, known := reasons[m.name]
		delete(reasons, m.name)
		switch {
		case known && !survived[i]:
			return t, fmt.Errorf("%q is said to change nothing, and a test notices it", m.name)
		case known:
			t.equivalent++
		case survived[i]:
			t.survived++
			fmt.Printf("line %d\t%s\n", m.line, m.name)
		default:
			t.noticed++
		}
	}
	return t, nil
}

// writeMutants writes the changed files and the list that lays them over the real
// ones, and gives its name.
func writeMutants(work, folder string, files []string) (all []*mutant, overlay string, err error) {
	ids, replace := 0, map[string]string{}
	put := func(name, text string) error {
		real, err := filepath.Abs(filepath.Join(folder, name))
		if err != nil {
			return err
		}
		replace[real] = filepath.Join(work, name)
		return os.WriteFile(replace[real], []byte(text), 0o600)
	}
	var inits []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, "", err
		}
		s, err := parseSource(f, text, &ids)
		if err != nil {
			return nil, "", err
		}
		all, inits = append(all, s.mutants...), append(inits, s.inits...)
		if err := put(filepath.Base(f), s.mutated()); err != nil {
			return nil, "", err
		}
	}
	if err := put("mutant_switch.go", fmt.Sprintf(helpers, filepath.Base(folder), variable, strings.Join(inits, "\n\t"))); err != nil {
		return nil, "", err
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, "", err
	}
	overlay = filepath.Join(work, "overlay.json")
	return all, overlay, os.WriteFile(overlay, list, 0o600)
}

// binary is the compiled tests of a package.
type binary struct {
	path, folder string
	flags        []string
}

func build(work, folder, overlay, tests string) (binary, error) {
	b := binary{path: filepath.Join(work, "package.test"), folder: folder,
		flags: []string{"-test.failfast", "-test.run=" + tests}}
	out, err := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", b.path, "./"+folder).CombinedOutput()
	if err != nil {
		return b, fmt.Errorf("%w\n%s", err, out)
	}
	// Generated tests must draw the same for each mutant, and leave no files behind.
	if help, _ := exec.Command(b.path, "-h").CombinedOutput(); strings.Contains(string(help), "rapid.nofailfile") {
		b.flags = append(b.flags, "-rapid.nofailfile", "-rapid.seed=1", "-rapid.shrinktime=0s")
	}
	return b, nil
}

// passes runs the tests with one mutant on. Where they never end, the limit ends
// them.
func (b binary) passes(id int, limit time.Duration) (out []byte, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := exec.CommandContext(ctx, b.path, b.flags...)
	c.WaitDelay = time.Second // for what the tests started
	c.Dir = b.folder
	c.Env = append(os.Environ(), variable+"="+strconv.Itoa(id))
	out, err := c.CombinedOutput()
	return out, err == nil
}

// survivors says of each mutant whether all tests pass with it.
func (b binary) survivors(mutants []*mutant, limit time.Duration) []bool {
	survived := make([]bool, len(mutants))
	next := make(chan int)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for i := range next {
				_, survived[i] = b.passes(mutants[i].id, limit)
			}
		})
	}
	for i := range mutants {
		next <- i
	}
	close(next)
	wait.Wait()
	return survived
}
