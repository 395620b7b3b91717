package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

func rateOf(s sample) float64        { return s.rate }
func cpuOf(s sample) float64         { return s.cpu }
func p50Of(s sample) float64         { return s.p50 }
func timeOf(s sample) float64        { return 1 / s.rate } // of the same work
func getsOf(s sample) float64        { return s.gets }
func allocationsOf(s sample) float64 { return s.allocations }

// target is a bound of one figure, or of the ratio of two ways.
type target struct {
	work   string
	line   string // of the measure
	figure func(sample) float64
	way    string
	to     string  // the way that it is held against; empty: the figure itself
	least  bool    // the bound is the least
	bound  float64 // asked for
	beyond float64 // hoped for; 0: nothing
	before string  // the way of before, whose own ratio in these rounds is the bound where it was measured; empty: none
}

// noise is by how much a figure may lie below one that it is to keep, and is as good:
// medians of the same program move by more.
const noise = 0.05

// targets are those of the issue, in its order. What is to be "not below today's" has
// the ratios of 2026-11-26, for where the gateway of before is not at hand.
var targets = []target{
	{"manifest by digest, hit, plain, 16 connections: requests/s", "manifests, 16 connections /s plain", rateOf, "cached", "direct", true, 4, 5, ""},
	{"the same over TLS", "manifests, 16 connections /s TLS", rateOf, "cached", "direct", true, 3.5, 4.5, ""},
	{"CPU a hit", "manifests, 16 connections /s plain", cpuOf, "cached", "nginx", false, 2, 1.4, ""},
	{"p50 of a hit, one connection", "manifests, 1 connection /s plain", p50Of, "cached", "direct", false, 0.3, 0.2, ""},
	{"no cache, null upstream: CPU a manifest", "manifests, 16 connections /s null", cpuOf, "gateway", "base", false, 0.65, 0.5, ""},
	{"no cache: manifests/s", "manifests, 16 connections /s plain", rateOf, "gateway", "verifying", true, 1.2, 1.5, ""},
	{"blob 128 MiB, hit: MB/s", "blob pull MB/s plain", rateOf, "cached", "direct", true, 1.2, 0, ""},
	{"the same: CPU a GiB", "blob pull MB/s plain", cpuOf, "cached", "direct", false, 0.65, 0, ""},
	{"the same, TLS, HTTP/1.1: MB/s", "blob pull MB/s TLS", rateOf, "cached", "direct", true, 1.15, 1.3, ""},
	{"the same, HTTP/2: MB/s", "blob pull MB/s HTTP/2", rateOf, "cached", "direct", true, 1, 1.1, ""},
	{"no cache: blob pull", "blob pull MB/s plain", rateOf, "gateway", "nginx", true, 2.18, 0, "base"},
	{"no cache: blob pull, TLS", "blob pull MB/s TLS", rateOf, "gateway", "nginx", true, 1.13, 0, "base"},
	{"no cache: blob push", "blob push MB/s plain", rateOf, "gateway", "nginx", true, 1.03, 0, "base"},
	{"no cache: blob push, TLS", "blob push MB/s TLS", rateOf, "gateway", "nginx", true, 1.01, 0, "base"},
	{"first pull (a miss that fills), 1 Gbit/s: time", "first pull MB/s 1 Gbit/s", timeOf, "cached", "gateway", false, 1.05, 1, ""},
	{"first pull, CPU-bound: MB/s", "first pull MB/s plain", rateOf, "cached", "gateway", true, 0.35, 0.5, ""},
	{"32 clients, one uncached 32 MiB blob, 1 Gbit/s: time", "32 first pulls at once MB/s 1 Gbit/s", timeOf, "cached", "gateway", false, 0.12, 0, ""},
	{"the same: GETs at the upstream", "32 first pulls at once MB/s 1 Gbit/s", getsOf, "cached", "", false, 1, 0, ""},
	{"the same: first byte, p50, µs", "32 first pulls at once MB/s 1 Gbit/s", p50Of, "cached", "", false, 100_000, 0, ""},
	{"allocations a hit", "manifests, 16 connections /s plain", allocationsOf, "cached", "", false, 30, 20, ""},
}

// printTable prints medians by way, and CPU time beside the rate.
func printTable(out io.Writer, all []*measure) {
	fmt.Fprintf(out, "\n| %-46s | %-12s | %10s | %8s | %12s | %10s |\n", "measure", "way", "rate", "scatter", "CPU", "p50")
	fmt.Fprintln(out, "|---|---|---:|---:|---:|---:|")
	for _, m := range all {
		for _, way := range m.ways {
			rates := m.figures(way, rateOf)
			if len(rates) == 0 {
				continue
			}
			fmt.Fprintf(out, "| %-46s | %-12s | %10s | %8s | %12s | %10s |\n", m.line(), way, figure(median(rates), 0), figure(scatter(rates), 2),
				withUnit(median(m.figures(way, cpuOf)), m.cpuUnit()), withUnit(median(m.figures(way, p50Of)), " µs"))
		}
	}
}

func (m *measure) cpuUnit() string {
	if m.unit == requests {
		return " µs"
	}
	return " ms/GiB"
}

// printTargets holds the targets against the samples and returns how many were missed.
func printTargets(out io.Writer, all []*measure) (missed int) {
	fmt.Fprintf(out, "\n| %-58s | %-12s | %-20s | %8s | %8s |   | %8s |\n", "work", "to", "asked (hoped)", "measured", "scatter", bareWay)
	fmt.Fprintln(out, "|---|---|---|---:|---:|---|---:|")
	for _, t := range targets {
		t = t.held(all)
		values := t.values(all)
		verdict, bad := t.verdict(values)
		if bad {
			missed++
		}
		fmt.Fprintf(out, "| %-58s | %-12s | %-20s | %8s | %8s | %s | %8s |\n", t.work, orDash(t.to), t.asked(), figure(median(values), 2), figure(scatter(values), 2),
			verdict, figure(median(t.bare().values(all)), 2))
	}
	return missed
}

// others are beside other ways to have a login, of what was measured.
var others = []target{
	{work: "manifest, hit: requests/s", line: "manifests, 16 connections /s plain", figure: rateOf, way: "cached", to: "logging"},
	{work: "manifest, hit: requests/s", line: "manifests, 16 connections /s plain", figure: rateOf, way: "cached", to: "docker_auth"},
	{work: "manifest, hit: requests/s", line: "manifests, 16 connections /s plain", figure: rateOf, way: "cached", to: "zot"},
	{work: "manifest, no cache: requests/s", line: "manifests, 16 connections /s plain", figure: rateOf, way: "gateway", to: "docker_auth"},
	{work: "manifest, no cache: requests/s", line: "manifests, 16 connections /s plain", figure: rateOf, way: "gateway", to: "zot"},
	{work: "manifest, hit, one connection: p50", line: "manifests, 1 connection /s plain", figure: p50Of, way: "cached", to: "logging"},
	{work: "manifest, hit, one connection: p50", line: "manifests, 1 connection /s plain", figure: p50Of, way: "cached", to: "docker_auth"},
	{work: "manifest, hit, one connection: p50", line: "manifests, 1 connection /s plain", figure: p50Of, way: "cached", to: bareWay},
	{work: "logins with a password: /s", line: "logins, 16 connections /s plain", figure: rateOf, way: "gateway", to: "docker_auth"},
}

// printOthers prints how we are beside others, without a verdict.
func printOthers(out io.Writer, all []*measure) {
	fmt.Fprintf(out, "\n| %-35s | %-12s | %8s | %8s |\n|---|---|---:|---:|\n", "beside others", "to", "measured", "scatter")
	for _, t := range others {
		if values := t.values(all); len(values) > 0 {
			fmt.Fprintf(out, "| %-35s | %-12s | %8s | %8s |\n", t.work, t.to, figure(median(values), 2), figure(scatter(values), 2))
		}
	}
}

// bare is the same target, of what it would come to with a hit that costs nothing but the
// answer: so much can be had at most. Of what is no hit there is none.
func (t target) bare() target {
	if t.way != "cached" || t.to == "" {
		return target{}
	}
	t.way = bareWay
	return t
}

// held is the target with the bound that the way of before gives it.
func (t target) held(all []*measure) target {
	then := t
	then.way = t.before
	if values := then.values(all); t.before != "" && len(values) > 0 {
		t.beyond, t.bound = t.bound, median(values)
	} else {
		t.before = ""
	}
	return t
}

// values are what the target is about, of each round.
func (t target) values(all []*measure) []float64 {
	for _, m := range all {
		switch {
		case m.line() != t.line:
		case t.to == "":
			return slices.DeleteFunc(m.figures(t.way, t.figure), math.IsNaN)
		default:
			return m.ratios(t.figure, t.way, t.to)
		}
	}
	return nil
}

func (t target) asked() string {
	sign := "<="
	if t.least {
		sign = ">="
	}
	text := fmt.Sprintf("%s %s", sign, trimmed(t.bound))
	if t.before != "" {
		return fmt.Sprintf("%s (%s once)", text, trimmed(t.beyond))
	}
	if t.beyond != 0 {
		text += " (" + trimmed(t.beyond) + ")"
	}
	return text
}

func (t target) verdict(values []float64) (text string, missed bool) {
	switch got := median(values); {
	case len(values) == 0:
		return "not measured", false
	case t.before != "" && got < t.bound && got >= t.bound*(1-noise):
		return "as before", false
	case t.least && got < t.bound, !t.least && got > t.bound:
		return "MISSED", true
	}
	return "met", false
}

func trimmed(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.2f", v), ".00") }

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// figure is empty for what was not measured.
func figure(v float64, decimals int) string {
	if v == 0 || math.IsNaN(v) {
		return "-"
	}
	return fmt.Sprintf("%.*f", decimals, v)
}

func withUnit(v float64, unit string) string {
	if v == 0 || math.IsNaN(v) {
		return "-"
	}
	return fmt.Sprintf("%.0f%s", v, unit)
}
