package assembly

import "gatehouse/proxy/ui"

// inside is what the pages of administration show of the snapshot: nothing of what its
// config says.
func (s *Snapshot) inside() ui.Inside {
	c := ui.Served{File: s.Loaded.File, SHA256: s.Loaded.SHA256, Loaded: s.Loaded.At, KeyIDs: s.Keyring.KeyIDs()}
	for _, f := range s.Loaded.Warnings() {
		c.Warnings = append(c.Warnings, f.String())
	}
	for name, ends := range s.Certificates.Ends() {
		c.Certificates = append(c.Certificates, ui.Certificate{Name: name, Ends: ends})
	}
	return ui.Inside{Config: c}
}
