package main

import (
	"context"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
)

// orderPeriod is how often it is seen whether a certificate is to be ordered.
const orderPeriod = time.Second

// listening is where the gateway listens, for those who answer on the same ports.
func (s *server) listening() (secure, plain string) {
	first := func(list []net.Listener) string {
		if len(list) == 0 {
			return ""
		}
		return list[0].Addr().String()
	}
	return first(s.sockets.Public), first(s.sockets.HTTP)
}

// orders is the loop that orders certificates, and its end.
type orders struct {
	stop  context.CancelFunc
	ended chan struct{}
}

// newOrders makes one; it ends with ctx at the latest.
func newOrders(ctx context.Context) (context.Context, *orders) {
	ctx, stop := context.WithCancel(ctx)
	return ctx, &orders{stop, make(chan struct{})}
}

// end stops the loop and waits until nothing of it runs, or ctx ends. A drain begins
// with it: from then on the ports may be another process', which answers the ACME server.
func (o *orders) end(ctx context.Context) {
	o.stop()
	select {
	case <-o.ended:
	case <-ctx.Done():
	}
}

// watchOrders orders certificates until ctx ends.
func (s *server) watchOrders(ctx context.Context) error {
	defer close(s.orders.ended)
	var running errgroup.Group
	defer running.Wait()
	return every(ctx, orderPeriod, func() {
		sn := s.acquire()
		defer sn.Release()
		sn.Certificates.Order(ctx, func(order func()) {
			running.Go(func() error { order(); return nil })
		})
	})
}
