package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"gatehouse/authn"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/metrics"
	"gatehouse/proxy"
	"gatehouse/proxy/audit"
)

const (
	adminLimit        = 10 * time.Second // for a whole request to the admin listener
	certificatePeriod = time.Minute
)

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
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		signals := make(chan os.Signal, 8)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
		defer signal.Stop(signals)
		signal.Ignore(syscall.SIGPIPE) // who reads our logs may go away; we stay
		out, flush := queuedStreams(cmd.OutOrStdout(), cmd.ErrOrStderr())
		defer flush()
		if err := serve(cmd.Context(), configPath(*path), out, signals); err != nil {
			out.log.Error("ended", "error", err.Error())
			return &exitError{status: exitFault}
		}
		return nil
	}
	return cmd
}

// server is the running gateway.
type server struct {
	path     string
	parts    *parts
	log      *slog.Logger
	level    *slog.LevelVar
	audit    *audit.Stream
	current  atomic.Pointer[snapshot]
	draining atomic.Bool
	public   *http.Server
	ready    readiness
}

// serve runs until it is drained (nil) or could not start or had to cut (an error).
func serve(ctx context.Context, path string, out streams, signals <-chan os.Signal) error {
	s := newServer(path, out)
	defer s.audit.Close()
	if err := s.start(); err != nil {
		return err
	}
	defer func() { s.current.Load().release() }()
	cfg := s.current.Load().cfg
	public, err := listen("listen.address", cfg.Listen.Address)
	if err != nil {
		return err
	}
	admin, err := listenAdmin(cfg.Admin.Address)
	if err != nil {
		public.Close()
		return err
	}
	s.log.Info("serving", "address", public.Addr().String(), "admin", addressOf(admin), "tls", cfg.Listen.TLS != nil,
		"upstream", cfg.Upstream.URL, "version", buildInfo().Version)
	s.checkDescriptors(&cfg.Limits.Limits)
	return s.run(ctx, public, admin, signals)
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

func newServer(path string, out streams) *server {
	m := metrics.New(buildInfo())
	a := audit.New(audit.Options{Stdout: out.stdout, Log: out.log, Metrics: m, Replace: clipAttr})
	return &server{path: path, log: out.log, level: out.level, audit: a,
		parts: &parts{metrics: m, access: out.access, audit: a.Records(), logger: out.log, load: proxy.NewLoad(),
			throttle: authn.NewThrottle(authn.ThrottleConfig{}), refusals: authn.NewRefusalTime(), hasher: authn.NewHasher(1)}}
}

// start reads the config for the first time.
func (s *server) start() error {
	first := prepare(s.path, s.parts, nil)
	l := first.loaded
	stream := s.openAudit(l)
	s.logFindings(l)
	if n := len(l.Faults()); n > 0 {
		first.release()
		return fmt.Errorf("%s has %d fault(s); see 'gatehouse check'", l.File, n)
	}
	s.take(l, stream)
	if first.certificate != nil {
		first.certificate.Serve(s.parts.metrics)
	}
	s.current.Store(first)
	s.audit.Record(audit.Start, "file", l.File, "version", buildInfo().Version)
	s.log.Info("config loaded", "file", l.File, "custom", l.Custom)
	return nil
}

// openAudit opens the audit stream of a config that is good otherwise: that it
// cannot be opened is a fault of the config.
func (s *server) openAudit(l *config.Loaded) io.WriteCloser {
	if len(l.Faults()) > 0 {
		return nil
	}
	out, err := s.audit.Open(l.AuditFile())
	if err != nil {
		l.Fault("audit.file", "%s cannot be opened: %v", l.Config.Audit.File, err)
	}
	return out
}

// take makes a config count for what outlives reloads.
func (s *server) take(l *config.Loaded, stream io.WriteCloser) {
	s.audit.Use(l.AuditFile(), stream, l.Config.Audit.PerSecond)
	_ = s.level.UnmarshalText([]byte(l.Config.Log.Level)) // it was checked
	s.parts.throttle.Configure(throttleOptions(l))
	s.parts.hasher.Configure(l.Config.Limits.PasswordsWaiting)
}

func throttleOptions(l *config.Loaded) authn.ThrottleConfig {
	t := l.Config.Throttle
	t.InFlight = l.Config.Limits.LoginsPerUser
	return t
}

// logFindings writes each fault and warning as a line of its own.
func (s *server) logFindings(l *config.Loaded) {
	for _, f := range l.Warnings() {
		s.log.Warn(f.String())
	}
	for _, f := range l.Faults() {
		s.log.Error(f.String())
	}
}

func listen(key, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s %s is in use by another process; end that or choose another port", key, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", key, address, err)
	}
	return l, nil
}

func listenAdmin(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	return listen("admin.address", address)
}

func addressOf(l net.Listener) string {
	if l == nil {
		return "off"
	}
	return l.Addr().String()
}

// run owns every goroutine: the two listeners, the look at the certificate, and
// the signals, whose end ends the others.
func (s *server) run(ctx context.Context, public, admin net.Listener, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errorLog := s.errorLog()
	adoptStandardLog(errorLog)
	s.public = s.current.Load().cfg.Limits.Server(http.HandlerFunc(s.serveHTTP), errorLog)
	adminServer := &http.Server{Handler: s.adminHandler(), ReadTimeout: adminLimit,
		WriteTimeout: 2 * time.Minute, IdleTimeout: 3 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: errorLog}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ended(s.public.Serve(&switchListener{public, s})) })
	if admin != nil {
		group.Go(func() error { return ended(adminServer.Serve(admin)) })
	}
	group.Go(func() error { return s.watchCertificate(ctx) })
	group.Go(func() error { return s.audit.Run(ctx) })
	group.Go(func() error {
		err := s.control(ctx, signals)
		adminServer.Close() // it answers to the end
		s.public.Close()
		s.audit.Record(audit.Stop)
		cancel()
		return err
	})
	return group.Wait()
}

func ended(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// serveHTTP gives a request the snapshot of this moment, for all of its life.
func (s *server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	sn := s.acquire()
	defer sn.release()
	sn.gateway.ServeHTTP(w, r)
}

func (s *server) acquire() *snapshot {
	for {
		if sn := s.current.Load(); sn.acquire() {
			return sn
		}
	}
}

// switchListener ends TLS as the snapshot of the moment says, so that a reload may
// bring another pair, or TLS at all.
type switchListener struct {
	net.Listener
	server *server
}

func (l *switchListener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if conn := l.server.accept(raw); conn != nil {
			return conn, nil
		}
	}
}

// accept takes a connection as the snapshot of the moment says; nil: it is closed.
func (s *server) accept(raw net.Conn) net.Conn {
	sn := s.acquire()
	defer sn.release()
	conn := sn.gateway.Accepted(raw)
	if conn == nil || sn.tls == nil {
		return conn
	}
	return tls.Server(conn, sn.tls) // the server knows TLS by this type
}

// watchCertificate looks each minute whether the pair's files have changed.
func (s *server) watchCertificate(ctx context.Context) error {
	ticker := time.NewTicker(certificatePeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			s.lookAtCertificate()
		}
	}
}

func (s *server) lookAtCertificate() {
	sn := s.acquire()
	defer sn.release()
	if sn.certificate == nil {
		return
	}
	switch changed, err := sn.certificate.Reload(); {
	case err != nil:
		s.log.Error("the new certificate cannot be used; the old one stays", "error", err.Error())
	case changed:
		s.log.Info("certificate changed")
	}
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
				s.reload()
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
	limits := s.current.Load().cfg.Shutdown
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
	if err := s.public.Shutdown(ctx); err != nil {
		return errors.Join(context.Cause(ctx), s.public.Close())
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
