package content

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	freePeriod = 10 * time.Second // how often the file system is looked at
	checkRate  = 50 << 20         // bytes a second that are hashed again
	checkPiece = 1 << 20
)

// Tend looks after the folder until ctx ends: it finds out what is there, keeps the file
// system's share free, and hashes again what was not for long. Then it ends the downloads and
// gives the folder up. Without a folder it has nothing to do.
func (c *Cache) Tend(ctx context.Context) {
	if c == nil || c.disk == nil {
		return
	}
	c.scan()
	var both sync.WaitGroup
	both.Go(func() { c.watchSpace(ctx) })
	both.Go(func() { c.checkAll(ctx) })
	both.Wait()
	c.stopGrowing()
	c.mu.Lock()
	good := c.disk.good()
	c.mu.Unlock()
	if err := c.disk.folder.Close(good); err != nil {
		c.faultyDisk(err)
	}
}

// stopGrowing ends all downloads.
func (c *Cache) stopGrowing() {
	c.mu.Lock()
	c.closing = true
	all := maps.Clone(c.growths)
	c.mu.Unlock()
	for g := range all {
		g.stop()
	}
	c.grows.Wait()
}

// scan finds out what is in the folder. Until then everything is a miss.
func (c *Cache) scan() {
	var found []*item
	inOrder := c.disk.folder.clean != nil
	err := c.disk.folder.scan(func(digest string, s stamp, good bool) {
		found = append(found, &item{digest: digest, stamp: s, suspect: !good})
	})
	if err != nil {
		c.logger.Error("the cache's folder cannot be read whole", "error", err.Error())
	}
	slices.SortFunc(found, func(a, b *item) int { return cmp.Compare(a.time, b.time) })
	c.mu.Lock()
	purged := c.disk.know(found)
	gone := c.disk.fit(0)
	c.disk.show()
	entries, bytes := c.disk.entries(), c.disk.bytes()
	c.mu.Unlock()
	c.discard(purged, "purge")
	c.discard(gone, "space")
	c.logger.Info("the cache's folder is known", "blobs", entries, "bytes", bytes, "ended_in_order", inOrder)
}

// watchSpace keeps the file system's share free.
func (c *Cache) watchSpace(ctx context.Context) {
	ticker := time.NewTicker(freePeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := c.keepFree(0); err != nil {
				c.faultyDisk(err)
			}
		}
	}
}

// checkAll hashes what is to be, one after the other.
func (c *Cache) checkAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.disk.wake:
		}
		for i := c.nextCheck(); i != nil; i = c.nextCheck() {
			if err := c.check(ctx, i); ctx.Err() == nil {
				c.checked(i, err)
			}
		}
	}
}

func (c *Cache) nextCheck() *item {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.disk
	if len(d.toCheck) == 0 {
		return nil
	}
	i := d.toCheck[0]
	d.toCheck = d.toCheck[1:]
	return i
}

// check hashes a file, no faster than checkRate.
func (c *Cache) check(ctx context.Context, i *item) error {
	file, err := c.openItem(i)
	if err != nil {
		return err
	}
	defer file.Close()
	h, began := newHash(i.digest), time.Now()
	for read := int64(0); ; {
		n, err := io.CopyN(h, file, checkPiece)
		if read += n; err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		wait := time.Duration(read)*time.Second/checkRate - time.Since(began)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	if !matches(h, i.digest) {
		i.rotten.Store(true)
		return fmt.Errorf("%s: its bytes have another digest", file.Name())
	}
	return nil
}

// checked takes what a check has found.
func (c *Cache) checked(i *item, err error) {
	c.mu.Lock()
	i.waits = false
	if !tooMany(err) {
		i.checked = time.Now().UnixNano()
	}
	if err == nil {
		i.suspect = false
	}
	c.mu.Unlock()
	if err != nil {
		c.drop(i.digest, i, err)
	}
}
