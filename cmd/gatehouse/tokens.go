package main

import (
	"log/slog"

	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/metrics"
)

// openForTokens reads a config for token inspect. A file that whoever asks may not read
// counts only where a token cannot be judged without it.
func openForTokens(path string) cli.Opened {
	s := prepare(path, &lasting{logger: slog.New(slog.DiscardHandler)}, nil)
	defer s.release()
	o := cli.Opened{Keyring: s.keyring, Machines: s.machines()}
	for _, f := range s.loaded.Faults() {
		if !f.Content {
			o.Faults = append(o.Faults, f.String())
		}
	}
	return o
}

// countTokens are the tokens of machines in the config of the moment.
func (s *server) countTokens() []metrics.TokenCount {
	sn := s.acquire()
	defer sn.release()
	all := metrics.TokenCount{Kind: "machine"}
	for _, d := range sn.machines() {
		active, expiring, expired := d.Count()
		all.Active, all.Expiring, all.Expired = all.Active+active, all.Expiring+expiring, all.Expired+expired
	}
	return []metrics.TokenCount{all}
}
