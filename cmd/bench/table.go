package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// measure is one kind of load and the samples that were taken of it.
type measure struct {
	name   string
	unit   string
	secure bool
	// run loads one endpoint for at least d and returns units a second.
	run func(l *load, ctx context.Context, to endpoint, d time.Duration) (float64, error)
	// target is the least ratio of the gateway to the way named beside it; 0: none.
	target  float64
	against string
	samples map[string][]float64 // by way
}

// measures is everything that is measured by proxies, in the table's order.
func measures() []*measure {
	var all []*measure
	for _, secure := range []bool{false, true} {
		manifests := &measure{name: "manifests", unit: "/s", run: (*load).manifests}
		if !secure {
			manifests.target, manifests.against = 0.55, "direct"
		}
		all = append(all, manifests,
			&measure{name: "blob pull", unit: "MB/s", run: (*load).pull, target: 1, against: "nginx"},
			&measure{name: "blob push", unit: "MB/s", run: (*load).push, target: 1, against: "nginx"})
		for _, m := range all[len(all)-3:] {
			m.secure, m.samples = secure, map[string][]float64{}
		}
	}
	return all
}

// rounds takes the samples: one round to warm up, which is not counted, then
// each measure by each way in turn, starting each round with another way.
func rounds(ctx context.Context, l *load, all []*measure, endpoints []endpoint, o options) error {
	for round := -1; round < o.rounds; round++ {
		for _, m := range all {
			mine := m.endpoints(endpoints)
			for i := range mine {
				to := mine[(i+max(round, 0))%len(mine)]
				length := o.sample
				if round < 0 {
					length = o.sample / 4
				}
				rate, err := m.run(l, ctx, to, length)
				if err != nil {
					return fmt.Errorf("%s by %s (%s): %w", m.name, to.name, to.base, err)
				}
				if round >= 0 {
					m.samples[to.name] = append(m.samples[to.name], rate)
				}
			}
		}
	}
	return nil
}

func (m *measure) endpoints(all []endpoint) []endpoint {
	var mine []endpoint
	for _, to := range all {
		if to.secure == m.secure {
			mine = append(mine, to)
		}
	}
	return mine
}

// ratio is the median over rounds of the gateway's rate to another way's; 0: unknown.
func (m *measure) ratio(to string) float64 {
	ours, theirs := m.samples["gateway"], m.samples[to]
	if len(ours) == 0 || len(ours) != len(theirs) {
		return 0
	}
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / theirs[i]
	}
	return median(ratios)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// printTable prints medians and ratios with the targets beside them, and
// returns how many were missed.
func printTable(out io.Writer, all []*measure) (missed int) {
	fmt.Fprintf(out, "\n%-22s %10s %10s %10s %9s %9s   %s\n", "", "direct", "nginx", "gateway", "/direct", "/nginx", "target")
	for _, m := range all {
		verdict, bad := m.verdict()
		if bad {
			missed++
		}
		fmt.Fprintf(out, "%-22s %10s %10s %10s %9s %9s   %s\n", m.line(),
			figure(median(m.samples["direct"]), 0), figure(median(m.samples["nginx"]), 0), figure(median(m.samples["gateway"]), 0),
			figure(m.ratio("direct"), 2), figure(m.ratio("nginx"), 2), verdict)
	}
	return missed
}

// line is the measure's name in the table.
func (m *measure) line() string {
	scheme := "plain"
	if m.secure {
		scheme = "TLS"
	}
	return m.name + " " + m.unit + " " + scheme
}

func figure(v float64, decimals int) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.*f", decimals, v)
}

func (m *measure) verdict() (text string, missed bool) {
	if m.target == 0 {
		return "", false
	}
	text = fmt.Sprintf(">= %.2f of %s", m.target, m.against)
	switch ratio := m.ratio(m.against); {
	case ratio == 0:
		return text + ": not measured", false
	case ratio < m.target:
		return text + ": MISSED", true
	}
	return text + ": met", false
}
