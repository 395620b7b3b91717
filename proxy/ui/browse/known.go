package browse

import "time"

// namingBytes is about what one naming takes.
const namingBytes = 256

// catalog is the list of the repositories of one place, for all callers. The Library's lock
// guards it; names are never changed, but replaced.
type catalog struct {
	names    []string // sorted, each once
	cut      bool     // there are more than mostNames
	read     time.Time
	due      bool     // what changed since cannot be told but by reading it again
	added    []string // pushed since the reading that is under way began
	doubtful []string // something was deleted there
	reading  bool
}

// tagsKey is where tags were read.
type tagsKey struct{ place, repository string }

func (k tagsKey) flight() string { return "tags\x00" + k.place + "\x00" + k.repository }

// repository is what is known of a repository's tags. The Library's lock guards what its
// references name, and all else is not changed once it is kept.
type repository struct {
	tags  []string  // from the oldest version to the newest
	began time.Time // the reading of them; zero: they were not read
	bytes int64
	held  int64             // bytes of what is named
	named map[string]naming // by tag, and by digest for what is there
	// serial is another one after each change, so that what was begun before does not count.
	serial string
}

// naming is what a reference names.
type naming struct {
	digest    string
	mediaType string
	at        time.Time // when that was asked
}

func (r *repository) weight() int64 { return r.bytes + 24*int64(len(r.tags)) + r.held }
