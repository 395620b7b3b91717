package main

import (
	"fmt"
	"io"

	"gatehouse/authn"
	"gatehouse/cmd/gatehouse/assembly"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/proxy/audit"
	"gatehouse/proxy/content"
	"gatehouse/tokens"
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
		s.shared.Metrics.ConfigReload("failed")
		s.audit.Record(audit.Reload, "result", string(audit.Refused), "file", l.File, "faults", n)
		s.log.Error("reload refused; the old config stays", "file", l.File, "faults", n)
		return
	}
	s.lookAtCertificate()
	s.shared.Metrics.ConfigReload("ok")
	s.audit.Record(audit.Reload, "result", string(audit.OK), "file", l.File)
	s.log.Info("config reloaded", "file", l.File, "custom", l.Custom)
}

// load reads the config and, where it has no fault, serves it from now on.
func (s *server) load() (l *config.Loaded, ok bool) {
	old := s.current.Load()
	next := assembly.Prepare(s.path, s.shared, old)
	l = next.Loaded
	s.openStore(l)
	if old == nil {
		s.openCache(l)
	}
	stream := s.openAudit(l)
	s.logFindings(l)
	if len(l.Faults()) > 0 {
		next.Release()
		return l, false
	}
	next.Expire(old)
	next.Restore(old)
	s.adopt(l, stream)
	s.shareThrottle(next.Keyring)
	s.shared.Metrics.WatchCertificates(next.Certificates.Ends)
	s.current.Store(next)
	if old != nil {
		old.Release()
	}
	return l, true
}

// openCache takes the folder of the cache, for as long as the gateway runs.
func (s *server) openCache(l *config.Loaded) {
	if len(l.Faults()) > 0 || l.Config.CacheDir() == "" {
		return
	}
	folder, err := content.OpenFolder(l.Path(l.Config.CacheDir()))
	if err != nil {
		l.Fault("cache.dir", "%s cannot be used: %v", l.Config.CacheDir(), err)
	}
	s.shared.Load.UseFolder(folder)
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
	s.shared.Throttle.Configure(throttleOptions(l))
	s.shared.Hasher.Configure(l.Config.Limits.PasswordsWaiting)
}

// shareThrottle has failed logins counted for all gateways that share a store and have the
// same keys.
func (s *server) shareThrottle(k *tokens.Keyring) {
	if s.store == nil {
		return
	}
	if tally := s.store.Tally(s.loginTime); tally != nil {
		s.shared.Throttle.Share(tally, k.Derive("throttle"))
	}
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
