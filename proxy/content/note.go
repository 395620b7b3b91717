package content

import (
	"time"
	"unique"
)

// suspectAnswer notes that the registry sent something wrong.
func (c *Cache) suspectAnswer(q *Question, h Header) {
	c.metrics.ContentFill("mismatch")
	c.logger.Error("the upstream's answer has another digest than the one asked for, or named; it is not passed on",
		"repository", q.Subject.Repository, "reference", q.Reference, "named", h.get("Docker-Content-Digest"))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.suspects.Add(q.Subject.key(q.Reference), time.Now().Add(suspicion))
}

// note keeps verified content, with its standing and what its tag names, and reports
// whether nothing changed in the repository since it was asked for.
func (c *Cache) note(q *Question, e *Entry, m moment) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memory.put(e.Digest, e.Body)
	text, short := c.standLocked(q, e, m)
	if q.Subject.Kind == Manifest && short {
		c.manners[q.Subject.Upstream] = text
	}
	if q.Tag {
		c.ledger.name(&q.Subject, q.Reference, e.Digest, m, mayBeMade(q.Accept, e.Header))
	}
	return c.ledger.countsFor(&q.Subject, e.Digest, m)
}

// standLocked notes that the registry showed content, with a header that is short enough.
func (c *Cache) standLocked(q *Question, e *Entry, m moment) (text string, short bool) {
	if text, short = label(e.Header, e.Digest); short {
		c.ledger.make(&q.Subject, e.Digest, &standing{moment: m, size: e.Size, label: unique.Make(text)})
	}
	return text, short
}
