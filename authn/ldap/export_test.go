package ldap

import (
	"errors"
	"time"

	"gatehouse/authn"
)

// KeepEvery makes the search connections of d rest for less long.
func (d *Directory) KeepEvery(every time.Duration) { d.pool.keepEvery = every }

// ServicePassword changes what further connections bind with.
func (d *Directory) ServicePassword(password authn.Secret) {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	d.pool.bindPassword = password
}

// Recover probes every server that is down now, as a watch does when its time comes.
func (d *Directory) Recover() {
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
func (d *Directory) Settle() {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	for _, s := range d.pool.servers {
		s.upSince = s.upSince.Add(-settled)
	}
}

// Quiet makes as if nobody had asked anything for long.
func (d *Directory) Quiet() {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	for _, s := range d.pool.servers {
		s.used = s.used.Add(-quietAfter)
	}
}

// Connections is how many search connections there are.
func (d *Directory) Connections() int { return d.pool.state()[0].Searches }

// InFlight is how many operations run.
func (d *Directory) InFlight() int { return d.pool.state()[0].InFlight }

// Dialing reports whether one is being opened.
func (d *Directory) Dialing() bool {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	return d.pool.servers[0].dialing != nil
}

// Busy reports whether err is that too many wait.
func Busy(err error) bool { return errors.Is(err, errBusy) }
