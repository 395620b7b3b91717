package content

// Purge says what is to be forgotten: all; or a digest in every repository, with its content;
// or a repository; or, with both, a digest in one repository, whose content stays.
type Purge struct {
	// Repository is a repository of any upstream.
	Repository string
	// Digest is one that is Known.
	Digest string
	// All is everything.
	All bool
}

// Store is what one place holds.
type Store struct {
	// Entries are how many manifests and blobs.
	Entries int `json:"entries"`
	// Bytes are theirs.
	Bytes int64 `json:"bytes"`
	// Most is how many bytes there may be.
	Most int64 `json:"most"`
}

// Status is what the cache knows at this moment.
type Status struct {
	// Memory and Disk are the two places; Disk is nil where there is no folder.
	Memory Store  `json:"memory"`
	Disk   *Store `json:"disk,omitempty"`
	// Standings are digests that the registry showed in a repository, some of them not of late.
	Standings int `json:"standings"`
	// Tags are those of which it is known what they last named.
	Tags int `json:"tags"`
	// Questions are those that the registry is being asked, downloads among them.
	Questions int `json:"questions"`
}

// Status tells what the cache knows.
func (c *Cache) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{Memory: Store{c.memory.content.Len(), c.memory.bytes, c.memory.most}, Standings: c.ledger.standings.Len(),
		Tags: c.ledger.hints.Len(), Questions: c.flights.n}
	if c.disk != nil {
		s.Disk = &Store{c.disk.entries(), c.disk.bytes(), c.disk.most}
	}
	return s
}

// Purge forgets, and returns how many manifests and blobs were removed. What is on its way to
// somebody goes on; what is being asked for counts no more.
func (c *Cache) Purge(p Purge) (removed int) {
	memory, gone := c.forget(p)
	c.metrics.ContentEvicted("memory", "purge", memory)
	c.discard(gone, "purge")
	return memory + len(gone)
}

// forget returns how many entries it took out of memory, and what is to be removed from the
// disk.
func (c *Cache) forget(p Purge) (memory int, gone []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case p.All:
		c.ledger.end()
		memory = c.memory.clear()
		gone = c.disk.purge("")
	case p.Repository != "" && p.Digest != "":
		c.ledger.forgetDigest(p.Repository, p.Digest)
	case p.Repository != "":
		c.ledger.change(p.Repository, true)
	case p.Digest != "":
		c.ledger.forgetDigest("", p.Digest)
		if c.memory.remove(p.Digest) {
			memory = 1
		}
		gone = c.disk.purge(p.Digest)
	}
	return memory, gone
}
