package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		arguments string
		good      bool
	}{
		{"", true},
		{"-rounds 1 -blob 1 -sample 0s -gobench 0 -strict", true},
		{"-rounds 0", false},
		{"-blob 0", false},
		{"-workers 0", false},
		{"-sample -1s", false},
		{"more", false},
		{"-unknown", false},
	} {
		if _, err := parse(strings.Fields(c.arguments), io.Discard); (err == nil) != c.good {
			t.Errorf("%q: %v", c.arguments, err)
		}
	}
	o, err := parse([]string{"-blob", "2"}, io.Discard)
	if err != nil || o.blobSize != 2<<20 || o.sample != time.Second {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestParseSteps(t *testing.T) {
	got := parseSteps([]byte(`goos: linux
BenchmarkVerify/warm-2         	 5000000	       231.5 ns/op	      16 B/op	       1 allocs/op
BenchmarkVerify/warm-2         	 5000000	       931.5 ns/op	      16 B/op	       1 allocs/op
BenchmarkDecide 	 100	 1900 ns/op	 3.00 rules/op	 0 B/op	 0 allocs/op
BenchmarkDecide 	 100	 1000 ns/op	 3.00 rules/op	 0 B/op	 0 allocs/op
BenchmarkNoMemory-2 	 100	 1000 ns/op
PASS
`))
	want := []step{{"Verify/warm", 231.5, 16, 1}, {"Decide", 1000, 0, 0}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(step{})); diff != "" {
		t.Error(diff)
	}
}

// TestTable judges one measure by its targets, with and without nginx.
func TestTable(t *testing.T) {
	for _, c := range []struct {
		samples map[string][]float64
		missed  int
		want    string
	}{
		{map[string][]float64{"direct": {9, 9, 9}, "nginx": {1, 2, 3}, "gateway": {2, 2, 3}}, 0, "1.00   >= 1.00 of nginx: met"},
		{map[string][]float64{"direct": {9, 9}, "nginx": {2, 4}, "gateway": {1, 3}}, 1, "0.62   >= 1.00 of nginx: MISSED"},
		{map[string][]float64{"direct": {4}, "gateway": {2}}, 0, "-   >= 1.00 of nginx: not measured"},
	} {
		var out bytes.Buffer
		m := &measure{name: "blob pull", unit: "MB/s", target: 1, against: "nginx", samples: c.samples}
		if missed := printTable(&out, []*measure{m}); missed != c.missed || !strings.Contains(out.String(), c.want) {
			t.Errorf("missed %d, want %d with %q:\n%s", missed, c.missed, c.want, out.String())
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.values, got, c.want)
		}
	}
}
