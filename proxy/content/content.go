// Package content is the cache of what a registry holds: manifests and small blobs in
// memory, larger blobs in a folder. It knows neither HTTP nor people. Whoever uses it has decided already that the
// asker may have what they ask for in that repository.
//
// Three facts are kept apart. Content is bytes by digest: it certifies itself, belongs to
// all repositories and never goes stale. A standing says when the registry last showed a
// digest in one repository, as one kind: only with a fresh one content is given out. A
// hint is what a tag last named. What is served has content and a fresh standing for the
// very repository that was asked.
package content

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"gatehouse/metrics"
)

const (
	// MaxManifest is how large a manifest may be, in bytes.
	MaxManifest = 4 << 20
	// mostFilling is how many bytes may be held for answers that are being read.
	mostFilling = 32 << 20
	// faultPause is how long after a fault nobody asks again in the background.
	faultPause = time.Second
	// faultMemory is how long after a fault a stale answer is given at once.
	faultMemory = 10 * time.Second
	// suspicion is how long after a wrong answer each asker's own is read and verified.
	suspicion = time.Minute
)

// Cache is safe for concurrent use.
type Cache struct {
	metrics *metrics.Metrics
	logger  *slog.Logger

	mu       sync.Mutex
	cfg      Config
	upstream string // of the latest Take
	memory   *memory
	disk     *disk // nil: no folder
	ledger   *ledger
	flights  flights
	filling  int64                          // bytes held for answers that are being read
	faults   map[string]*fault              // the last of each upstream that still counts
	manners  map[string]string              // the label of the last manifest of each upstream
	suspects *simplelru.LRU[key, time.Time] // wrong answers, until then
	growing  map[key]*growth                // downloads into files that may be joined
	growths  map[*growth]bool               // all of them
	grows    sync.WaitGroup                 // those
	closing  bool                           // none begins any more
}

// fault is when a registry last could not be asked.
type fault struct {
	at     time.Time
	tried  time.Time // when it was last asked in the background
	asking int       // how many wait for an answer to that
}

// New returns an empty cache. Metrics may be nil, and so may logger.
func New(cfg Config, m *metrics.Metrics, logger *slog.Logger) *Cache {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	c := &Cache{metrics: m, logger: logger, cfg: cfg, memory: newMemory(int64(cfg.Memory), m), ledger: newLedger(), suspects: newLRU[key, time.Time](mostEnded),
		faults: map[string]*fault{}, manners: map[string]string{}, growing: map[key]*growth{}, growths: map[*growth]bool{}}
	c.flights = flights{lock: &c.mu, now: c.ledger.now, running: map[key]*flight{}}
	return c
}

// Take takes other sizes and times at once, and makes every standing due, though still good
// as stale on a fault. Where the upstream is another one than before, all of them end.
func (c *Cache) Take(cfg Config, upstream string) {
	c.discard(c.takeOver(cfg, upstream), "space")
	if c.disk != nil {
		if err := c.keepFree(0); err != nil {
			c.faultyDisk(err)
		}
	}
}

// takeOver returns what has no room any more.
func (c *Cache) takeOver(cfg Config, upstream string) (gone []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg, c.memory.most = cfg, int64(cfg.Memory)
	c.memory.fit()
	c.ledger.expire()
	if c.upstream != upstream {
		c.upstream, c.faults, c.manners = upstream, map[string]*fault{}, map[string]string{}
		c.ledger.end()
	}
	c.disk.measure(&c.cfg)
	return c.disk.fit(0)
}

// Outcome is what became of a request.
type Outcome string

// The outcomes.
const (
	Hit    Outcome = "hit"    // from the cache, with the registry's consent within fresh_for
	Stale  Outcome = "stale"  // from the cache, as the registry cannot be asked
	Joined Outcome = "joined" // from a download that another request began
	Miss   Outcome = "miss"   // asked for by this request
	Pass   Outcome = "pass"   // not for the cache: to be forwarded as it is
)

// Request asks for something in a repository that the asker may have.
type Request struct {
	Subject
	// Reference is a digest that is Known, or a tag.
	Reference string
	// Tag says that it is a tag.
	Tag bool
	// Accept are the values of the asker's field.
	Accept []string
	// Partial: only a part is wanted, so nothing is to be read for the cache.
	Partial bool
	// Head: only the header is wanted.
	Head bool
	// Asker is whoever asks. It is called where a question has to be asked, before Get
	// returns.
	Asker Asker
}

// Asker makes what asks the registry on somebody's behalf.
type Asker interface{ Ask() Ask }

// Ask makes it of itself.
func (a Ask) Ask() Ask { return a }

// Result is what became of a request: an entry to give out, or an answer to pass on, or
// an error, or none of them: then the request is to be forwarded.
type Result struct {
	// Outcome is for the log and the metrics.
	Outcome Outcome
	// Entry may be given out; nil: see the others.
	Entry *Entry
	// Answer is to be passed on, and to be closed.
	Answer *Answer
	// Err is ErrMismatch, ErrBroken, that of an Ask, or the context's.
	Err error
}

// heard notes whether the registry can be asked, by an answer to a GET.
func (c *Cache) heard(upstream string, status int, m moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.faults[upstream]
	switch {
	case Faulty(status) && last == nil:
		c.faults[upstream] = &fault{at: time.Now()}
	case Faulty(status):
		last.at = time.Now()
	case last != nil && !m.time.Before(last.at):
		delete(c.faults, upstream)
	}
}

// offlineLocked is when the registry was at fault moments ago, so that a stale answer need
// not wait for the next fault; nil: it was not.
func (c *Cache) offlineLocked(upstream string, now time.Time) *fault {
	last := c.faults[upstream]
	if c.cfg.StaleFor <= 0 || last == nil || now.Sub(last.at) >= faultMemory && last.asking == 0 {
		return nil
	}
	return last
}

// tries notes that the registry, which is at fault, is being asked in the background: until done is
// called it counts as being so still, however long it is silent.
func (c *Cache) tries(upstream string) (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.faults[upstream]
	if last == nil {
		return func() {}
	}
	last.asking++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		last.asking--
	}
}

// ask asks a question on a context of its own, which ends with the answer. A no, whoever it was
// asked for, ends what is known.
func (c *Cache) ask(ctx context.Context, ask Ask, q Question) (*Answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	a, err := ask(ctx, q)
	if a == nil {
		cancel()
		return nil, err
	}
	a.cancel = cancel
	if refuses(a.Status) {
		c.deny(&q)
	}
	return a, err
}
