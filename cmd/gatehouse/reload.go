package main

// reload takes all of the new config, or keeps all of the old.
func (s *server) reload() {
	l, old := loadConfig(s.path), s.current.Load()
	if l.decoded() {
		l.refuseMoves(&old.cfg)
	}
	next := assemble(l, s.parts, old)
	stream := s.openAudit(l)
	s.logFindings(l)
	if n := len(l.faults()); n > 0 {
		next.release()
		s.parts.metrics.ConfigReload("failed")
		s.parts.audit.Info("reload", "result", "refused", "file", l.file, "faults", n)
		s.log.Error("reload refused; the old config stays", "file", l.file, "faults", n)
		return
	}
	for _, d := range next.directories {
		if d.cache != nil && old.find(d.name, d.fingerprint) == d {
			d.cache.Expire()
		}
	}
	s.take(l, stream)
	s.current.Store(next)
	old.release()
	s.lookAtCertificate()
	s.ready.forget()
	s.parts.metrics.ConfigReload("ok")
	s.parts.audit.Info("reload", "result", "ok", "file", l.file)
	s.log.Info("config reloaded", "file", l.file, "custom", l.custom)
}

// refuseMoves keeps the listeners where they are, and what holds for all of their
// connections: a service manager or a load balancer relies on that, and only a
// restart can do it whole.
func (l *loaded) refuseMoves(old *config) {
	if l.cfg.Listen.Address != old.Listen.Address {
		l.fault("listen.address", "cannot change from %q to %q while the gateway runs; restart it", old.Listen.Address, clip(l.cfg.Listen.Address))
	}
	if l.cfg.Admin.Address != old.Admin.Address {
		l.fault("admin.address", "cannot change from %q to %q while the gateway runs; restart it", old.Admin.Address, clip(l.cfg.Admin.Address))
	}
	if now, before := &l.cfg.Limits, &old.Limits; now.HeaderTimeout != before.HeaderTimeout {
		l.fault("limits.header_timeout", "cannot change while the gateway runs; restart it")
	} else if now.HTTP2Streams != before.HTTP2Streams {
		l.fault("limits.http2_streams", "cannot change while the gateway runs; restart it")
	} else if now.HeaderBytes != before.HeaderBytes {
		l.fault("limits.header_bytes", "cannot change while the gateway runs; restart it")
	}
}
