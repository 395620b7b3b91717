package main

import (
	"fmt"
	"io"

	"gatehouse/authn"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/proxy/audit"
)

// start reads the config for the first time.
func (s *server) start() error {
	l, ok := s.load()
	if !ok {
		return fmt.Errorf("%s has %d fault(s); see 'gatehouse check'", l.File, len(l.Faults()))
	}
	s.audit.Record(audit.Start, "file", l.File, "version", buildInfo().Version)
	s.log.Info("config loaded", "file", l.File, "custom", l.Custom)
	return nil
}

// reload takes all of the new config, or keeps all of the old.
func (s *server) reload() {
	l, ok := s.load()
	if !ok {
		n := len(l.Faults())
		s.lasting.metrics.ConfigReload("failed")
		s.audit.Record(audit.Reload, "result", string(audit.Refused), "file", l.File, "faults", n)
		s.log.Error("reload refused; the old config stays", "file", l.File, "faults", n)
		return
	}
	s.lookAtCertificate()
	s.lasting.metrics.ConfigReload("ok")
	s.audit.Record(audit.Reload, "result", string(audit.OK), "file", l.File)
	s.log.Info("config reloaded", "file", l.File, "custom", l.Custom)
}

// load reads the config and, where it has no fault, serves it from now on.
func (s *server) load() (l *config.Loaded, ok bool) {
	old := s.current.Load()
	next := prepare(s.path, s.lasting, old)
	l = next.loaded
	stream := s.openAudit(l)
	s.logFindings(l)
	if len(l.Faults()) > 0 {
		next.release()
		return l, false
	}
	next.expire(old)
	s.adopt(l, stream)
	s.lasting.metrics.WatchCertificates(next.certificates.Ends)
	s.current.Store(next)
	if old != nil {
		old.release()
	}
	return l, true
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

// adopt makes a config count for what outlives reloads.
func (s *server) adopt(l *config.Loaded, stream io.WriteCloser) {
	s.audit.Use(l.AuditFile(), stream, l.Config.Audit.PerSecond)
	_ = s.level.UnmarshalText([]byte(l.Config.Log.Level)) // it was checked
	s.lasting.throttle.Configure(throttleOptions(l))
	s.lasting.hasher.Configure(l.Config.Limits.PasswordsWaiting)
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
