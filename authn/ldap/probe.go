package ldap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const (
	// A server is slow whose 95th percentile is over slowAfter for slowWindow,
	// provided that there were slowLeast searches.
	slowAfter  = time.Second
	slowWindow = 30 * time.Second
	slowLeast  = 20
)

// errSlow is why a server is down that answers, but late. Where no other is up
// it is asked all the same.
var errSlow = errors.New("the server answers too slowly")

// recent is how a server has answered since a while ago.
type recent struct {
	since       time.Time
	total, slow int
	outdone     int // answers of trouble where another server did better
}

// observeLocked notes how long a search took. A server whose answers were slow for
// slowWindow is taken out of use, if another one can do its work.
func (p *pool) observeLocked(s *server, took time.Duration) {
	now := time.Now()
	s.recent.total++
	if took > slowAfter {
		s.recent.slow++
	}
	if now.Sub(s.recent.since) < slowWindow {
		return
	}
	// More than one in twenty: the 95th percentile is over slowAfter.
	slow := s.recent.total >= slowLeast && s.recent.slow*20 > s.recent.total
	s.recent = recent{since: now}
	other := func(o *server) bool { return o != s && !o.down }
	if slow && slices.ContainsFunc(p.servers, other) {
		p.goDownLocked(s, errSlow)
	}
}

// watch probes s until it answers, so that no request has to try.
func (p *pool) watch(s *server) {
	for failures := 0; p.wait(s, failures); failures++ {
		c, err := p.probe(s)
		if p.probed(s, c, err) {
			return
		}
	}
}

// probe opens a search connection and reads the base of the users. A server that
// was too slow must do that quickly.
func (p *pool) probe(s *server) (*conn, error) {
	c, err := p.open(p.ctx, s, true)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(p.ctx, c.close)
	defer stop()
	began := time.Now()
	result, err := c.ldap.Search(p.readBase())
	if err == nil && p.hid(s) {
		result, err = c.ldap.Search(cmp.Or(p.mustShow, p.readBase()))
	}
	p.mu.Lock()
	defer p.unlock()
	switch {
	case err != nil:
		err = fmt.Errorf("reading %s: %w", p.baseDN, c.explainPlain(err))
	case errors.Is(s.why, errHidden) && len(result.Entries) == 0:
		err = s.why
	case errors.Is(s.why, errSlow) && time.Since(began) > slowAfter:
		err = errSlow
	}
	if err != nil {
		go c.close()
		return nil, err
	}
	return c, nil
}

// hid reports whether s is down because it showed nothing of what must be there.
func (p *pool) hid(s *server) bool {
	p.mu.Lock()
	defer p.unlock()
	return errors.Is(s.why, errHidden)
}

// readBase is the cheapest question whose answer says that the directory is there.
func (p *pool) readBase() *ldap.SearchRequest {
	return ldap.NewSearchRequest(p.baseDN, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, seconds(p.attempt), false,
		"(objectClass=*)", []string{"1.1"}, nil)
}

// probed takes in what a probe found and reports whether the watch is over. A
// reason that is another one than before is logged: a server that was down first
// and refuses the service account now needs somebody to act.
func (p *pool) probed(s *server, c *conn, err error) bool {
	p.mu.Lock()
	defer p.unlock()
	if err != nil {
		if essence(err) != essence(s.why) && !p.closed {
			p.logLocked(slog.LevelWarn, "LDAP server is still down", "server", s.url, "error", err)
		}
		s.why = err
		s.failedLocked(err)
		return p.closed
	}
	s.down, s.why, s.upSince, s.recent = false, nil, time.Now(), recent{}
	s.since = s.upSince
	p.adoptLocked(c)
	p.logLocked(slog.LevelInfo, "LDAP server is up", "server", s.url)
	p.announceLocked()
	return true
}

// essence is an error's text without the addresses, which differ each time.
func essence(err error) string {
	var network *net.OpError
	if errors.As(err, &network) {
		return network.Op + ": " + network.Err.Error()
	}
	return fmt.Sprint(err)
}

// wait blocks until the next probe of s is due; false: the pool is closed. How
// long that is changes when other servers go down or come back.
func (p *pool) wait(s *server, failures int) bool {
	start, jitter := time.Now(), 0.8+0.4*rand.Float64()
	for {
		p.mu.Lock()
		changed := p.changed
		delay := probeDelay(failures, p.allDownLocked(), refusedService(s.why))
		p.unlock()
		timer := time.NewTimer(time.Until(start.Add(time.Duration(float64(delay) * jitter))))
		select {
		case <-timer.C:
			return p.ctx.Err() == nil
		case <-changed:
			timer.Stop()
		case <-p.ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// probeDelay is short while nobody can log in, and long while another server
// does the work. Where the service account itself is refused it stays long:
// repeating that would lock the account.
func probeDelay(failures int, allDown, refused bool) time.Duration {
	switch {
	case refused:
		return time.Minute
	case allDown && failures == 0:
		return 50 * time.Millisecond
	case allDown:
		return min(time.Second<<min(failures-1, 2), 4*time.Second)
	}
	return min(30*time.Second<<min(failures, 4), 5*time.Minute)
}
