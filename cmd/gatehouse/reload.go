package main

import (
	"fmt"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/proxy/audit"
)

// reload takes all of the new config, or keeps all of the old.
func (s *server) reload() {
	old := s.current.Load()
	next := prepare(s.path, s.parts, old)
	l := next.loaded
	stream := s.openAudit(l)
	s.logFindings(l)
	if n := len(l.Faults()); n > 0 {
		next.release()
		s.parts.metrics.ConfigReload("failed")
		s.audit.Record(audit.Reload, "result", string(audit.Refused), "file", l.File, "faults", n)
		s.log.Error("reload refused; the old config stays", "file", l.File, "faults", n)
		return
	}
	for _, d := range next.directories {
		if d.cache != nil && old.find(d.name, d.fingerprint) == d {
			d.cache.Expire()
		}
	}
	s.take(l, stream)
	if next.certificate != nil && next.certificate != old.certificate {
		next.certificate.Serve(s.parts.metrics)
	}
	s.current.Store(next)
	old.release()
	s.lookAtCertificate()
	s.ready.forget()
	s.parts.metrics.ConfigReload("ok")
	s.audit.Record(audit.Reload, "result", string(audit.OK), "file", l.File)
	s.log.Info("config reloaded", "file", l.File, "custom", l.Custom)
}

// refuseMoves keeps the listeners where they are, and what holds for all of their
// connections: a service manager or a load balancer relies on that, and only a
// restart can do it whole. Each key that moves is named.
func refuseMoves(l *config.Loaded, old *config.Config) {
	now := &l.Config
	for _, key := range []struct {
		name        string
		before, now any
	}{
		{"listen.address", old.Listen.Address, now.Listen.Address},
		{"admin.address", old.Admin.Address, now.Admin.Address},
		{"limits.header_timeout", old.Limits.HeaderTimeout, now.Limits.HeaderTimeout},
		{"limits.http2_streams", old.Limits.HTTP2Streams, now.Limits.HTTP2Streams},
		{"limits.header_bytes", old.Limits.HeaderBytes, now.Limits.HeaderBytes},
	} {
		if key.now != key.before {
			l.Fault(key.name, "cannot change from %q to %q while the gateway runs; restart it", fmt.Sprint(key.before), config.Clip(fmt.Sprint(key.now)))
		}
	}
}
