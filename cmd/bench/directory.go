package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"

	"gatehouse/authn/authntest"
)

// directoryFigure is a line of what BenchmarkDirectory found, and its target.
type directoryFigure struct {
	name string
	unit string // of the benchmark's metric
	// met judges the value; all holds every unit's.
	met    func(value float64, all map[string]float64) bool
	target string
}

func atMost(limit float64) func(float64, map[string]float64) bool {
	return func(value float64, _ map[string]float64) bool { return value <= limit }
}

func atLeast(limit float64) func(float64, map[string]float64) bool {
	return func(value float64, _ map[string]float64) bool { return value >= limit }
}

// directoryFigures are what an LDAP directory of 10,000 people is asked, and how
// long logins at the realm take.
var directoryFigures = []directoryFigure{
	{"warm logins by 16 clients, with binds", "logins/s", atLeast(500), ">= 500 /s"},
	{"the same, passwords remembered", "remembered/s", func(v float64, all map[string]float64) bool { return v >= 2*all["logins/s"] }, ">= 2 x with binds"},
	{"repeat login, 5 ms to the server, median", "delayed-µs", atMost(1000), "<= 1000 µs"},
	{"LDAP operations a repeat login", "operations/login", atMost(1), "<= 1"},
	{"LDAP operations a known token", "operations/lookup", atMost(0), "0"},
	{"binds of 100 logins with a wrong password", "binds/wrong", atMost(1), "<= 1"},
}

// benchDirectory runs BenchmarkDirectory (it needs what tests start slapd with)
// and prints its figures.
func benchDirectory(ctx context.Context, out io.Writer, o options) (missed int, err error) {
	if o.only != "" || o.gobench <= 0 {
		return 0, nil
	}
	if authntest.Program("slapd") == "" {
		fmt.Fprintln(out, "\nslapd is not installed: nothing is measured of directories (Debian: apt-get install slapd)")
		return 0, nil
	}
	text, err := authntest.Run(exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkDirectory$", "-benchtime", "1x", "gatehouse/cmd/bench"))
	if err != nil {
		return 0, err
	}
	return printDirectory(out, parseMetrics([]byte(text)))
}

// printDirectory prints a line a figure; one that is missing is an error.
func printDirectory(out io.Writer, all map[string]float64) (missed int, err error) {
	fmt.Fprintf(out, "\n%-44s %12s   %s\n", "10,000 people and 200 groups in slapd", "", "target")
	for _, f := range directoryFigures {
		value, measured := all[f.unit]
		verdict := ": met"
		switch {
		case !measured:
			err = errors.Join(err, fmt.Errorf("no figure %s", f.unit))
			verdict = ": not measured"
		case !f.met(value, all):
			missed++
			verdict = ": MISSED"
		}
		fmt.Fprintf(out, "%-44s %12.1f   %s%s\n", f.name, value, f.target, verdict)
	}
	return missed, err
}

// parseMetrics reads the pairs of value and unit from every benchmark's line.
func parseMetrics(text []byte) map[string]float64 {
	all := map[string]float64{}
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		for i := 2; i+1 < len(fields); i += 2 {
			if value, err := strconv.ParseFloat(fields[i], 64); err == nil {
				all[fields[i+1]] = value
			}
		}
	}
	return all
}
