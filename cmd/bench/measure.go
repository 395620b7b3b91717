package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// sample is what one measure by one way was in one round; what was not measured is NaN.
type sample struct {
	rate        float64 // units a second
	cpu         float64 // of the way's front process: µs a request, ms a GiB
	p50         float64 // µs a request, or until its first byte
	allocations float64 // of a gateway, a request
	gets        float64 // that reached the end of the slow line
}

// measure is one kind of load, by some ways, and the samples that were taken of it.
type measure struct {
	name   string
	scheme scheme
	unit   unit
	ways   []string
	// run loads one way for at least d.
	run     func(ctx context.Context, to endpoint, d time.Duration) (result, error)
	samples map[string][]sample // by way
}

// unit is what a measure counts.
type unit struct {
	name    string  // of the rate
	size    float64 // of one of it, in what result.units counts
	cpuUnit float64 // of what CPU time is given, in what result.units counts
	cpuTime time.Duration
}

var (
	requests = unit{"/s", 1, 1, time.Microsecond}
	bytesOf  = unit{"MB/s", 1e6, 1 << 30, time.Millisecond}
)

// measures is everything that is measured by proxies, in the table's order.
func measures(l *load) []*measure {
	front, all := []string{"direct", "nginx", "gateway", "cached"}, []string{"direct", "nginx", "gateway", "base"}
	small := slices.Clip(append(slices.Clone(front), bareWay))
	list := []*measure{
		{name: "manifests, 16 connections", scheme: plain, unit: requests, ways: append(small, "logging", "verifying", "docker_auth", "zot"), run: l.manifests(16)},
		{name: "manifests, 16 connections", scheme: overs, unit: requests, ways: small, run: l.manifests(16)},
		{name: "manifests, 1 connection", scheme: plain, unit: requests, ways: append(small, "logging", "verifying", "docker_auth", "zot"), run: l.manifests(1)},
		{name: "manifests, 16 connections", scheme: null, unit: requests, ways: []string{"gateway", "base"}, run: l.manifests(16)},
		{name: "blob pull", scheme: plain, unit: bytesOf, ways: append(small, "base"), run: l.pull},
		{name: "blob pull", scheme: overs, unit: bytesOf, ways: append(small, "base"), run: l.pull},
		{name: "blob pull", scheme: http2, unit: bytesOf, ways: front, run: l.pull},
		{name: "blob push", scheme: plain, unit: bytesOf, ways: all, run: l.push},
		{name: "blob push", scheme: overs, unit: bytesOf, ways: all, run: l.push},
		{name: "first pull", scheme: plain, unit: bytesOf, ways: []string{"gateway", "cached"}, run: l.firstPull},
		{name: "first pull", scheme: line, unit: bytesOf, ways: []string{"gateway", "cached"}, run: l.firstPull},
		{name: "32 first pulls at once", scheme: line, unit: bytesOf, ways: []string{"gateway", "cached"}, run: l.herd(32)},
		{name: "logins, 16 connections", scheme: plain, unit: requests, ways: []string{"gateway", "docker_auth"}, run: l.logins(16)},
	}
	for _, m := range list {
		m.samples = map[string][]sample{}
	}
	return list
}

// rounds takes the samples: one round to warm up, which is not counted, then
// each measure by each way in turn, starting each round with another way.
func rounds(ctx context.Context, all []*measure, endpoints []endpoint, o options) error {
	for round := -1; round < o.rounds; round++ {
		for _, m := range all {
			mine := m.endpoints(endpoints)
			for i := range mine {
				to := mine[(i+max(round, 0))%len(mine)]
				length := o.sample
				if round < 0 {
					length = o.sample / 4
				}
				s, err := m.take(ctx, to, length)
				if err != nil {
					return fmt.Errorf("%s by %s (%s): %w", m.name, to.name, to.base, err)
				}
				if round >= 0 {
					m.samples[to.name] = append(m.samples[to.name], s)
				}
			}
		}
	}
	return nil
}

// take takes one sample.
func (m *measure) take(ctx context.Context, to endpoint, d time.Duration) (sample, error) {
	before, err := spent(to)
	if err != nil {
		return sample{}, err
	}
	r, err := m.run(ctx, to, d)
	if err != nil {
		return sample{}, err
	}
	after, err := spent(to)
	s := sample{rate: r.units / m.unit.size / r.took.Seconds(), gets: float64(r.gets), p50: math.NaN(), allocations: math.NaN(), cpu: math.NaN()}
	if len(r.each) > 0 {
		s.p50 = float64(median(r.each)) / float64(time.Microsecond)
	}
	if to.front != nil {
		s.cpu = float64(after.cpu-before.cpu) / float64(m.unit.cpuTime) / (r.units / m.unit.cpuUnit)
	}
	if to.admin != "" {
		s.allocations = (after.allocations - before.allocations) / r.units
	}
	return s, err
}

func (m *measure) endpoints(all []endpoint) []endpoint {
	return slices.DeleteFunc(slices.Clone(all), func(to endpoint) bool {
		return to.scheme != m.scheme || !slices.Contains(m.ways, to.name)
	})
}

// line is the measure's name in the table.
func (m *measure) line() string { return m.name + " " + m.unit.name + " " + string(m.scheme) }

// figures are one figure of all samples of a way.
func (m *measure) figures(way string, f func(sample) float64) []float64 {
	var list []float64
	for _, s := range m.samples[way] {
		list = append(list, f(s))
	}
	return list
}

// ratios are those of one way's figure to another's in each round; empty: not measured.
func (m *measure) ratios(f func(sample) float64, way, to string) []float64 {
	ours, theirs := m.figures(way, f), m.figures(to, f)
	if len(ours) != len(theirs) {
		return nil
	}
	for i := range ours {
		ours[i] /= theirs[i]
	}
	return slices.DeleteFunc(ours, math.IsNaN)
}

// median of nothing is zero.
func median[T float64 | time.Duration](values []T) T {
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

// scatter is how far the middle half of the samples lies apart, by their median.
func scatter(values []float64) float64 {
	if len(values) < 4 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	quarter := len(sorted) / 4
	return (sorted[len(sorted)-1-quarter] - sorted[quarter]) / median(sorted)
}
