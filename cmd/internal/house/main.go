// Command house measures the code of this repository, package by package, by what the
// compiler knows of it (go/types), tests apart:
//
//	go run ./cmd/internal/house [FOLDER]
//
// Its tests hold the limits (limits_test.go), the line of the rooms (rooms_test.go) and
// the language (language_test.go), and that what the docs name is there.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

func main() {
	folder := "."
	if len(os.Args) > 1 {
		folder = os.Args[1]
	}
	packages, err := load(folder)
	if err != nil {
		fmt.Fprintln(os.Stderr, "house:", err)
		os.Exit(1)
	}
	report(os.Stdout, packages)
}

// report prints a line a package and one for all.
func report(out io.Writer, packages []*figures) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "package\tfiles\tlines\ttest ratio\tfunctions\tmedian\tp90\tlongest\tfields\tdocumented\tcircles\t")
	all := &figures{path: "all"}
	for _, p := range packages {
		printLine(w, p)
		all.add(p)
	}
	printLine(w, all)
	w.Flush()
}

func printLine(w io.Writer, p *figures) {
	lengths := p.lengths()
	longest := ""
	if len(p.functions) > 0 {
		longest = fmt.Sprintf("%d %s", quantile(lengths, 1), p.longest().name)
	}
	var circles []string
	for _, c := range p.circles {
		circles = append(circles, fmt.Sprint(len(c)))
	}
	fmt.Fprintf(w, "%s\t%d\t%d\t%.2f\t%d\t%d\t%d\t%s\t%d\t%.0f %%\t%s\t\n", p.path, p.files, p.lines, p.testRatio(), len(p.functions),
		quantile(lengths, 0.5), quantile(lengths, 0.9), longest, p.fields, p.documentedPercent(), strings.Join(circles, " "))
}

// quantile is the value below which that part of the sorted values lies.
func quantile(sorted []int, part float64) int {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(part*float64(len(sorted)-1))]
}

func (f *figures) lengths() []int {
	var all []int
	for _, fn := range f.functions {
		all = append(all, fn.lines)
	}
	slices.Sort(all)
	return all
}
