package main

import (
	"context"
	"time"

	"gatehouse/proxy"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/upstream"
)

// lookPeriod is how often it is seen whether addresses that were put aside answer again.
const lookPeriod = 250 * time.Millisecond

// checkUpstreams are the checks of all upstreams, and for information of their addresses.
func checkUpstreams(list []proxy.UpstreamHealth) (checks []health) {
	for _, u := range list {
		name := upstreamSubject(u.Name)
		checks = append(checks, health{name: name, problem: textOf(u.Err())})
		for _, a := range u.Addresses {
			checks = append(checks, health{name: name + " " + a.Address, problem: textOf(a.Err), information: true})
		}
	}
	return checks
}

// checkFreeze tells of a freeze, for information.
func checkFreeze(load *proxy.Load) health {
	h := health{name: "freeze", information: true}
	if o := load.Freeze().Now(); o != nil {
		h.problem = o.String()
	}
	return h
}

// upstreamSubject is an upstream in a line of output; the only one needs no name.
func upstreamSubject(name string) string {
	if name == upstream.DefaultName {
		return "upstream"
	}
	return "upstream " + name
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// watchUpstreams brings back the addresses that answer again, and tells of both.
func (s *server) watchUpstreams(ctx context.Context) error {
	aside := map[[2]string]bool{}
	return every(ctx, lookPeriod, func() {
		s.withGateway(func(g *proxy.Gateway) {
			g.BringBack(ctx)
			aside = s.tellAside(g, aside)
		})
	})
}

// tellAside logs the addresses that are put aside and were not before, and those that are
// back.
func (s *server) tellAside(g *proxy.Gateway, before map[[2]string]bool) (now map[[2]string]bool) {
	now = map[[2]string]bool{}
	g.Healthy(func(upstream, address string, err error) {
		key := [2]string{upstream, address}
		switch {
		case err != nil && !before[key]:
			s.log.Warn("an address of an upstream was put aside", "upstream", upstream, "address", address, "error", err.Error())
		case err == nil && before[key]:
			s.log.Info("an address of an upstream is back", "upstream", upstream, "address", address)
		}
		if err != nil {
			now[key] = true
		}
	})
	return now
}

// withGateway calls f with that of the moment; before there is one, not at all.
func (s *server) withGateway(f func(*proxy.Gateway)) {
	if s.current.Load() == nil {
		return
	}
	sn := s.acquire()
	defer sn.Release()
	f(sn.Gateway)
}

// checkCertificates are the names that have no ordered certificate yet: a fault where
// none has one, else for information.
func checkCertificates(c *listener.Certificates) (checks []health) {
	missing, none := c.Missing()
	for _, s := range missing {
		checks = append(checks, health{name: "certificate " + s.Name, problem: s.Missing().Error(), information: !none})
	}
	return checks
}
