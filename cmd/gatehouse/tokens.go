package main

import (
	"time"

	"gatehouse/cmd/gatehouse/assembly"
	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/metrics"
)

// openForTokens reads a config for token inspect. A file that whoever asks may not read
// counts only where a token cannot be judged without it.
func openForTokens(path string) cli.Opened {
	s := assembly.Look(path)
	defer s.Release()
	o := cli.Opened{Keyring: s.Keyring, Machines: s.Machines(), Issuers: s.Issuers()}
	for _, f := range s.Loaded.Faults() {
		if !f.Content {
			o.Faults = append(o.Faults, f.String())
		}
	}
	return o
}

// keyAges are how old the keys of issuers are, by directory.
func (s *server) keyAges() map[string]time.Duration {
	sn := s.acquire()
	defer sn.Release()
	ages := map[string]time.Duration{}
	for _, d := range sn.Directories {
		if d.OIDC == nil {
			continue
		}
		if age, known := d.OIDC.KeysAge(); known {
			ages[d.Name] = age
		}
	}
	return ages
}

// countTokens are the tokens of machines in the config of the moment.
func (s *server) countTokens() []metrics.TokenCount {
	sn := s.acquire()
	defer sn.Release()
	all := metrics.TokenCount{Kind: "machine"}
	for _, d := range sn.Machines() {
		active, expiring, expired := d.Count()
		all.Active, all.Expiring, all.Expired = all.Active+active, all.Expiring+expiring, all.Expired+expired
	}
	list := []metrics.TokenCount{all}
	if sn.Desk != nil {
		n := metrics.TokenCount{Kind: "personal"}
		n.Active, n.Expiring, n.Expired = sn.Desk.Book.Count()
		list = append(list, n)
	}
	return list
}
