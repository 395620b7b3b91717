package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	idleLimit        = 30.0  // MiB
	fullLimit        = 104.0 // MiB above idle: 64 of content and 40 of standings
	idleConnections  = 10_000
	connectionsLimit = 350.0 // MiB
)

// memoryOnly is what -only says to look at memory alone.
const memoryOnly = "memory"

// point is one of a curve.
type point struct{ x, y float64 }

// footprint is what a gateway's memory came to.
type footprint struct {
	idle, full  float64 // MiB
	connections []point // idle TLS connections, MiB
}

// benchMemory looks at the resident memory of gateways that were started for it.
func benchMemory(ctx context.Context, h *house) (f footprint, err error) {
	to, err := h.startGateway(ctx, h.binary, "memory", plain, settings{Upstream: h.source.address, Cached: true})
	if err != nil {
		return f, err
	}
	if f.idle, err = resident(to.front.Cmd.Process.Pid); err != nil {
		return f, err
	}
	if err := h.fill(ctx, to); err != nil {
		return f, err
	}
	if f.full, err = resident(to.front.Cmd.Process.Pid); err != nil {
		return f, err
	}
	if to, err = h.startGateway(ctx, h.binary, "memory", overs, settings{Upstream: h.source.address, Secure: true}); err != nil {
		return f, err
	}
	f.connections, err = h.connect(ctx, to)
	return f, err
}

// fill asks for each of the source's manifests once.
func (h *house) fill(ctx context.Context, to endpoint) error {
	digests := make(chan string)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(digests)
		for digest := range h.source.manifests {
			select {
			case digests <- digest:
			case <-ctx.Done():
				return nil
			}
		}
		return nil
	})
	for range 16 {
		group.Go(func() error {
			c, err := dial(ctx, to, "/v2/", h.roots, 16<<10)
			if err != nil {
				return err
			}
			defer c.Close()
			for digest := range digests {
				c.request = requestFor(to, "/v2/"+repository+"/manifests/"+digest)
				if _, err := c.ask(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// connect opens idle TLS connections, each of which has made a request.
func (h *house) connect(ctx context.Context, to endpoint) (curve []point, err error) {
	if err := allowDescriptors(idleConnections + 1000); err != nil {
		return nil, err
	}
	var open []*caller
	var mu sync.Mutex
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	path := "/v2/" + repository + "/manifests/" + digestOf(manifestOf(0))
	for _, n := range []int{0, 1000, 2000, 4000, 6000, 8000, idleConnections} {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(16)
		for range n - len(open) {
			group.Go(func() error {
				c, err := dial(ctx, to, path, h.roots, 8<<10)
				if err != nil {
					return err
				}
				mu.Lock()
				open = append(open, c)
				mu.Unlock()
				_, err = c.ask()
				c.buffer = nil
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		used, err := resident(to.front.Cmd.Process.Pid)
		if err != nil {
			return nil, err
		}
		curve = append(curve, point{float64(n), used})
	}
	return curve, nil
}

func allowDescriptors(n uint64) error {
	limit := syscall.Rlimit{Cur: n, Max: n}
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil || now.Cur >= n {
		return err
	}
	limit.Max = max(now.Max, n)
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// print prints the targets of memory and returns how many were missed.
func (f footprint) print(out io.Writer) (missed int) {
	fmt.Fprint(out, "\n| resident memory, MiB | asked | measured |   |\n|---|---|---:|---|\n")
	last := f.connections[len(f.connections)-1]
	for _, row := range []struct {
		what       string
		limit, got float64
	}{
		{"idle", idleLimit, f.idle},
		{"64 MiB cache full, with 100,000 standings: over idle", fullLimit, f.full - f.idle},
		{"10,000 idle TLS connections", connectionsLimit, last.y},
	} {
		verdict := "met"
		if row.got > row.limit {
			verdict = "MISSED"
			missed++
		}
		fmt.Fprintf(out, "| %s | <= %.0f | %.0f | %s |\n", row.what, row.limit, row.got, verdict)
	}
	return missed
}

// curves are taken of a few samples each.
type curves struct {
	connections map[string][]point // connections, requests/s, by way
	rules       []point            // rules, CPU µs a manifest
}

// benchCurves measures how rates grow with connections, and what rules cost.
func benchCurves(ctx context.Context, l *load, o options) (c curves, err error) {
	c.connections = map[string][]point{}
	for _, n := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256} {
		m := &measure{name: "manifests", scheme: plain, unit: requests, ways: []string{"direct", "nginx", "gateway", "cached"}, run: l.manifests(n), samples: map[string][]sample{}}
		if err := rounds(ctx, []*measure{m}, l.house.endpoints, options{rounds: 3, sample: o.sample / 2}); err != nil {
			return c, err
		}
		for _, way := range m.ways {
			if rates := m.figures(way, rateOf); len(rates) > 0 {
				c.connections[way] = append(c.connections[way], point{float64(n), median(rates)})
			}
		}
	}
	c.rules, err = l.rules(ctx, o.sample/2)
	return c, err
}

// rules measures gateways whose policies are ever longer.
func (l *load) rules(ctx context.Context, d time.Duration) (curve []point, err error) {
	for i, n := range []int{1, 10, 100, 1000, 10_000, 30_000} {
		set := settings{Upstream: l.house.source.address, Rules: make([]int, n)}
		for at := range set.Rules {
			set.Rules[at] = at
		}
		to, err := l.house.startGateway(ctx, l.house.binary, fmt.Sprint("rules-", i), null, set)
		if err != nil {
			return nil, err
		}
		m := &measure{name: "manifests", scheme: null, unit: requests, ways: []string{to.name}, run: l.manifests(16), samples: map[string][]sample{}}
		err = rounds(ctx, []*measure{m}, []endpoint{to}, options{rounds: 3, sample: d})
		if err = errors.Join(err, to.front.Stop(10*time.Second)); err != nil {
			return nil, err
		}
		curve = append(curve, point{float64(n), median(m.figures(to.name, cpuOf))})
	}
	return curve, nil
}
