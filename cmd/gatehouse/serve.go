package main

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/cmd/gatehouse/memory"
	"gatehouse/cmd/gatehouse/sockets"
	"gatehouse/proxy"
	"gatehouse/proxy/audit"
)

const adminLimit = 10 * time.Second // for a whole request to the admin listener

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long: "Runs the gateway. TERM and INT drain it, a second INT ends it at once, HUP loads the config again,\n" +
			"USR1 opens the audit file again.\n" +
			"Request records go to stdout, all else to stderr.",
		Example: "  gatehouse serve -c /etc/gatehouse/gatehouse.yaml",
		Args:    cobra.NoArgs,
	}
	path := cli.ConfigFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		signals := make(chan os.Signal, 8)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
		defer signal.Stop(signals)
		signal.Ignore(syscall.SIGPIPE) // who reads our logs may go away; we stay
		memory.Pace()
		out, flush := queuedStreams(cmd.OutOrStdout(), cmd.ErrOrStderr())
		defer flush()
		if err := serve(cmd.Context(), cli.ConfigPath(*path), out, signals); err != nil {
			out.log.Error("ended", "error", err.Error())
			return &cli.Error{Status: cli.Fault}
		}
		return nil
	}
	return cmd
}

// serve runs until it is drained (nil) or could not start or had to cut (an error).
func serve(ctx context.Context, path string, out streams, signals <-chan os.Signal) error {
	s := newServer(path, out)
	defer s.audit.Close()
	defer s.closeStore()
	if err := s.start(); err != nil {
		return err
	}
	defer func() { s.current.Load().Release() }()
	loaded := s.current.Load().Loaded
	cfg := &loaded.Config
	set, err := sockets.Open(sockets.Addresses{Public: cfg.Listen.Address, HTTP: cfg.Listen.HTTPAddress,
		Admin: cfg.Admin.Address, Socket: loaded.AdminSocket(), Shared: cfg.Listen.ReusePort})
	if err != nil {
		return err
	}
	s.log.Info("serving", "address", sockets.Names(set.Public), "http", sockets.Names(set.HTTP), "admin", sockets.Names(set.Admin), "admin_socket", sockets.Names(set.Socket), "tls", cfg.Listen.TLS != nil,
		"upstream", cfg.UpstreamURLs(), "version", buildInfo().Version)
	s.checkDescriptors(&cfg.Limits.Limits)
	s.recall(ctx)
	return s.run(ctx, set, signals)
}

// checkDescriptors warns where the process may open fewer files than its limits let
// clients make it need.
func (s *server) checkDescriptors(limits *proxy.Limits) {
	var limit syscall.Rlimit
	need := limits.Descriptors()
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil && limit.Cur < need {
		s.log.Warn("limits.connections and limits.requests need more file descriptors than the process may have; raise LimitNOFILE (ulimit -n) or lower them",
			"connections", limits.Connections, "requests", limits.Requests, "needed", need, "descriptors", limit.Cur)
	}
}

// run owns every goroutine: the listeners, the look at the certificates, and the
// signals, whose end ends the others.
func (s *server) run(ctx context.Context, set *sockets.Set, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.sockets = set
	errorLog := errorLog(s.log)
	adoptStandardLog(errorLog)
	limits := s.current.Load().Config.Limits
	s.public = limits.Server(http.HandlerFunc(s.serveHTTP), errorLog)
	s.plain = limits.Server(http.HandlerFunc(s.servePlain), errorLog)
	adminServer, socketServer := newAdminServer(s.adminHandler(), errorLog), newAdminServer(s.socketHandler(), errorLog)
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range set.Public {
		s.front(group, s.public, &sockets.Taking{Listener: l, Take: s.accept})
	}
	for _, l := range set.HTTP {
		s.front(group, s.plain, &sockets.Taking{Listener: l, Take: s.acceptPlain})
	}
	for _, l := range set.Admin {
		group.Go(func() error { return ended(adminServer.Serve(l)) })
	}
	for _, l := range set.Socket {
		group.Go(func() error { return ended(socketServer.Serve(l)) })
	}
	group.Go(func() error { return s.watchCertificate(ctx) })
	group.Go(func() error { return s.watchUpstreams(ctx) })
	group.Go(func() error { return s.followStore(ctx) })
	group.Go(func() error { return s.keep(ctx) })
	group.Go(func() error { s.shared.Load.Gossip(ctx, s.withGateway); return nil })
	ordering, orders := newOrders(ctx)
	s.orders = orders
	group.Go(func() error { return s.watchOrders(ordering) })
	group.Go(func() error { return s.audit.Run(ctx) })
	group.Go(func() error { s.shared.Load.Tend(ctx); return nil })
	group.Go(func() error { return s.notify.Watchdog(ctx) })
	s.notify.Ready()
	group.Go(func() error {
		err := s.control(ctx, signals)
		adminServer.Close() // they answer to the end
		socketServer.Close()
		s.public.Close()
		s.plain.Close()
		s.audit.Record(audit.Stop)
		cancel()
		return err
	})
	return group.Wait()
}

func newAdminServer(h http.Handler, errorLog *log.Logger) *http.Server {
	return &http.Server{Handler: h, ReadTimeout: adminLimit, WriteTimeout: 2 * time.Minute, IdleTimeout: 3 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: errorLog}
}

// front serves clients; drain waits until nothing is accepted any more.
func (s *server) front(group *errgroup.Group, to *http.Server, l net.Listener) {
	s.accepting.Add(1)
	group.Go(func() error {
		defer s.accepting.Done()
		return ended(to.Serve(l))
	})
}

func ended(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// control obeys signals until the gateway is drained.
func (s *server) control(ctx context.Context, signals <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case sig := <-signals:
			switch sig {
			case syscall.SIGHUP:
				s.notify.Reloading()
				s.reload()
				s.notify.Ready()
			case syscall.SIGUSR1:
				s.audit.Reopen()
			default:
				return s.drain(sig, signals)
			}
		}
	}
}

var (
	errCut       = errors.New("shutdown.timeout is over; running requests were cut")
	errSecondINT = errors.New("a second INT; running requests were cut")
)

// drain is the end: not ready at once, no new connections after the delay, and
// the running requests have until the timeout.
func (s *server) drain(sig os.Signal, signals <-chan os.Signal) error {
	s.draining.Store(true)
	s.notify.Stopping()
	limits := s.current.Load().Config.Shutdown
	s.log.Info("draining", "signal", sig.String(), "delay", limits.Delay.String(), "timeout", limits.Timeout.String())
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go interrupt(ctx, cancel, signals)
	delay := time.NewTimer(limits.Delay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	ctx, stop := context.WithTimeoutCause(ctx, limits.Timeout, errCut)
	defer stop()
	s.orders.end(ctx)
	s.shared.Load.Leave()
	s.sockets.Stop()
	s.accepting.Wait()
	s.shared.Load.Settle(ctx)
	var ends errgroup.Group
	ends.Go(func() error { return s.public.Shutdown(ctx) })
	ends.Go(func() error { return s.plain.Shutdown(ctx) })
	if err := ends.Wait(); err != nil {
		return errors.Join(context.Cause(ctx), s.public.Close(), s.plain.Close())
	}
	s.log.Info("drained")
	return nil
}

// interrupt waits for the INT of somebody who does not want to wait.
func interrupt(ctx context.Context, cancel context.CancelCauseFunc, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-signals:
			if sig == syscall.SIGINT {
				cancel(errSecondINT)
				return
			}
		}
	}
}
