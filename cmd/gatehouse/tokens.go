package main

import (
	"time"

	"gatehouse/metrics"
)

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
