package content

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Config is the section `cache`. The words are those of a directory's cache, and
// mean the same.
type Config struct {
	// Memory is how many bytes of manifests and small blobs are kept. Default 64MiB.
	Memory Size `yaml:"memory" min:"1MiB"`
	// Small is how large a blob may be to be kept in memory, 0 to 16MiB. Default 256KiB.
	Small Size `yaml:"small" min:"0" max:"16MiB"`
	// Dir is the folder in which larger blobs are kept, relative to the config's. It is made where
	// there is none, for the gateway alone, and holds private layers in clear: use an encrypted
	// disk. Default none: larger blobs are not kept. Another one needs a restart.
	Dir string `yaml:"dir"`
	// Disk is how many bytes are kept in dir, none of a blob above a quarter of it. Default 20GiB.
	Disk Size `yaml:"disk" min:"1MiB"`
	// Free is how much of dir's file system stays free, whoever fills it, 0% to 90%. Default 10%.
	Free Percent `yaml:"free"`
	// FreshFor is how long after the registry said that a repository has a digest it is
	// served without asking. Default 60s; 0s: asked each time.
	FreshFor time.Duration `yaml:"fresh_for"`
	// StaleFor is how long after that a digest, and a tag seen then, is served while the
	// registry cannot be asked. Default 0s: never.
	StaleFor time.Duration `yaml:"stale_for"`
	// TagsFreshFor is how long a tag is taken to name what it last named. Default 0s: asked each time.
	TagsFreshFor time.Duration `yaml:"tags_fresh_for"`
}

// Defaults are what the config file may leave out.
func (c *Config) Defaults() {
	c.Memory, c.Small, c.FreshFor = 64<<20, 256<<10, time.Minute
	c.Disk, c.Free = 20<<30, 10
}

// Size is a number of bytes.
type Size int64

// units are the powers of 1024.
var units = []struct {
	name  string
	bytes Size
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}}

// String is how the config file writes it: in the largest unit that leaves a whole number.
func (s Size) String() string {
	text := strconv.FormatInt(int64(s), 10)
	for _, u := range units {
		if u.bytes > 1 && s != 0 && s%u.bytes == 0 {
			text = strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return text
}

// MarshalText is String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes a whole number with a unit, such as 64MiB, or of bytes.
func (s *Size) UnmarshalText(text []byte) error {
	number, factor := string(text), Size(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, factor = strings.TrimRight(rest, " "), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || Size(n) > (1<<63-1)/factor {
		return errors.New("must be a size such as 256KiB, 64MiB or 20GiB")
	}
	*s = Size(n) * factor
	return nil
}

// Percent is a part of a hundred, 0 to 90.
type Percent int

// String is how the config file writes it.
func (p Percent) String() string { return strconv.Itoa(int(p)) + "%" }

// MarshalText is String.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText takes a whole number with a percent sign.
func (p *Percent) UnmarshalText(text []byte) error {
	number, ok := strings.CutSuffix(string(text), "%")
	n, err := strconv.ParseUint(number, 10, 8)
	if err != nil || !ok || n > 90 {
		return errors.New("must be a part of the file system from 0% to 90%, such as 10%")
	}
	*p = Percent(n)
	return nil
}
