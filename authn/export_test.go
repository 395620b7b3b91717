package authn

import (
	"errors"
	"time"
)

// KeepEvery makes the search connections of d rest for less long.
func (d *LDAP) KeepEvery(every time.Duration) { d.pool.keepEvery = every }

// ServicePassword changes what further connections bind with.
func (d *LDAP) ServicePassword(password Secret) {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	d.pool.bindPassword = password
}

// Recover probes every server that is down now, as a watch does when its time comes.
func (d *LDAP) Recover() {
	for _, s := range d.pool.servers {
		d.pool.mu.Lock()
		down := s.down
		d.pool.mu.Unlock()
		if down {
			c, err := d.pool.probe(s)
			d.pool.probed(s, c, err)
		}
	}
}

// Settle makes as if all servers had been up for long.
func (d *LDAP) Settle() {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	for _, s := range d.pool.servers {
		s.upSince = s.upSince.Add(-settled)
	}
}

// People is how many identities c remembers.
func (c *Cache) People() int { return c.state().Entries["identity"] }

// Quiet makes as if nobody had asked anything for long.
func (d *LDAP) Quiet() {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	for _, s := range d.pool.servers {
		s.used = s.used.Add(-quietAfter)
	}
}

// Connections is how many search connections there are.
func (d *LDAP) Connections() int { return d.pool.state()[0].Searches }

// Dialing reports whether one is being opened.
func (d *LDAP) Dialing() bool {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	return d.pool.servers[0].dialing != nil
}

// Busy reports whether err is that too many wait.
func Busy(err error) bool { return errors.Is(err, errBusy) }
