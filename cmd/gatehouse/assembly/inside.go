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
	directories := make([]ui.Directory, len(s.Directories))
	for i, d := range s.Directories {
		directories[i] = d.standing()
	}
	return ui.Inside{Config: c, Directories: directories}
}

// standing is how the directory is now.
func (d *Directory) standing() ui.Directory {
	of := ui.Directory{Name: d.Name, Kind: d.Kind(), KeysAge: -1}
	switch {
	case d.LDAP != nil:
		of.Servers, of.Cache, of.CanaryUser = d.LDAP.Servers(), d.cache.State(), d.LDAP.CanaryUser()
	case d.OIDC != nil:
		if age, known := d.OIDC.KeysAge(); known {
			of.KeysAge = age
		}
	}
	return of
}
