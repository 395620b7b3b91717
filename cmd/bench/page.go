package main

import (
	_ "embed"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// series is a named curve.
type series struct {
	name   string
	points []point
}

// chart is what a drawing shows.
type chart struct {
	title, x, y string
	logarithmic bool // of x
	series      []series
}

const (
	chartWidth, chartHeight                  = 640.0, 340.0
	chartLeft, chartRight, chartTop, chartUp = 70.0, 120.0, 40.0, 50.0
)

// lineColours are told apart by those who see no red or green, too; names stand beside the lines.
var lineColours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7"}

// svg draws the chart.
func (c chart) svg() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12" role="img"><title>%s</title>`+"\n", chartWidth, chartHeight, c.title)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="%.0f" y="22" font-size="15">%s</text>`+"\n", chartLeft, c.title)
	low, high, top := c.bounds()
	place := func(p point) (x, y float64) {
		return chartLeft + (c.scale(p.x)-low)/(high-low)*(chartWidth-chartLeft-chartRight), chartHeight - chartUp - p.y/top*(chartHeight-chartTop-chartUp)
	}
	for i := range 5 {
		value := top * float64(i) / 4
		_, y := place(point{0, value})
		fmt.Fprintf(&b, `<line x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%.0f" y="%.1f" text-anchor="end">%s</text>`+"\n", chartLeft, chartWidth-chartRight, y, y, chartLeft-6, y+4, short(value))
	}
	for _, p := range c.series[0].points {
		x, _ := place(p)
		fmt.Fprintf(&b, `<text x="%.1f" y="%.0f" text-anchor="middle">%s</text>`+"\n", x, chartHeight-chartUp+18, short(p.x))
	}
	fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" text-anchor="middle">%s</text><text x="14" y="%.0f" transform="rotate(-90 14 %.0f)" text-anchor="middle">%s</text>`+"\n",
		(chartWidth-chartRight+chartLeft)/2, chartHeight-10, c.x, chartHeight/2, chartHeight/2, c.y)
	for i, s := range c.series {
		s.draw(&b, lineColours[i%len(lineColours)], place)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (s series) draw(b *strings.Builder, colour string, place func(point) (x, y float64)) {
	var path []string
	var x, y float64
	for _, p := range s.points {
		x, y = place(p)
		path = append(path, fmt.Sprintf("%.1f,%.1f", x, y))
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/><text x="%.1f" y="%.1f" fill="%s">%s</text>`+"\n", strings.Join(path, " "), colour, x+6, y+4, colour, s.name)
}

// bounds are those of x, scaled, and the top of y.
func (c chart) bounds() (low, high, top float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, s := range c.series {
		for _, p := range s.points {
			low, high, top = min(low, c.scale(p.x)), max(high, c.scale(p.x)), max(top, p.y)
		}
	}
	return low, max(high, low+1), top * 1.05
}

func (c chart) scale(x float64) float64 {
	if c.logarithmic {
		return math.Log(x)
	}
	return x
}

func short(v float64) string {
	if v >= 1000 {
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v/1000), ".0") + "k"
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
}

// charts are the drawings by the names of their files.
func charts(c curves, f footprint) map[string]chart {
	rates := chart{title: "Manifests by digest: requests a second over connections", x: "connections", y: "requests/s", logarithmic: true}
	for _, name := range []string{"cached", "direct", "nginx", "gateway"} {
		if points := c.connections[name]; len(points) > 0 {
			rates.series = append(rates.series, series{wayTitles[name], points})
		}
	}
	return map[string]chart{
		"performance-connections.svg": rates,
		"performance-rules.svg": {title: "CPU of a manifest over the rules of the policy", x: "rules", y: "µs", logarithmic: true,
			series: []series{{"no cache", c.rules}}},
		"performance-memory.svg": {title: "Resident memory over idle TLS connections", x: "connections", y: "MiB", series: []series{{"gateway", f.connections}}},
	}
}

var wayTitles = map[string]string{"cached": "with cache", "direct": "bare registry", "nginx": "nginx", "gateway": "without cache"}

const pageHead = `# What it costs

Made by ` + "`make bench`" + ` (` + "`go run ./cmd/bench -page docs`" + `); do not edit. The real binary in front of a real distribution
registry, beside the same registry bare ("direct", without a log; "logging" writes the access log that it has by default, and
that nginx and the gateways write here too), behind an nginx that only passes on, and, without a gateway, with a registry that
verifies tokens itself ("verifying"). "cached" is the gateway with the section ` + "`cache`" + `, and a folder for it; "gateway" is
without; "base" is the gateway before the cache was built. "net/http" is asked the same and gives the same answers, from memory or from a
local file, with nothing but Go's server: no login, no log. What it comes to stands in the last column of the targets: no more can be had.
"docker_auth" is a registry that verifies tokens which docker_auth gave, "zot" checks the password itself.
What is to be no less than before is held against "base" in the same rounds ("once" is what was measured on another day); within
5 % it is "as before", since medians of one program move by that.
Clients, proxies and registries share one machine, so absolute figures say little. Samples of all ways are taken in turns,
figures are medians over rounds, ratios are the medians of each round's own ratio; "scatter" is how far the middle half of
the samples lies apart, by their median. CPU is that of the process that the client talks to.

![Requests a second over connections](performance-connections.svg)
![CPU over rules](performance-rules.svg)
![Memory over connections](performance-memory.svg)

`

// pageEnd tells why, and how near what is bare comes: profiles, read by somebody.
//
//go:embed why.md
var pageEnd string

// writePage writes the page and its drawings into a folder.
func writePage(folder, tables string, all map[string]chart) error {
	for name, c := range all {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(c.svg()), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(folder, "performance.md"), []byte(pageHead+tables+pageEnd), 0o644)
}
