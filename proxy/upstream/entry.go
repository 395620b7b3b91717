package upstream

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"gatehouse/authn"
)

// Entry is one of `upstreams`: a registry at one or more addresses, and what leads there.
type Entry struct {
	// Name stands in logs and metrics: up to 64 letters, digits, . _ and -, unlike that of
	// any other. Required.
	Name string `yaml:"name,required"`
	// Hosts are those of the requests that lead here: host or host:port, as in
	// listen.public_urls. Empty: any.
	Hosts []string `yaml:"hosts"`
	// Repositories are patterns, as in rules but without placeholders, of what is here. Empty: any.
	Repositories []string `yaml:"repositories"`
	// URLs are the addresses of the one registry, each as url is written: they share its
	// storage and its http.secret. Required, unless url is given.
	URLs []string `yaml:"urls" either:"url"`
	// URL is the address of a registry that has only one. Empty: urls.
	URL string `yaml:"url"`
	Config
}

// DefaultName is the name of the one upstream of the section `upstream`.
const DefaultName = "default"

// Default is the entry that the section means.
func Default(c Config) Entry { return Entry{Name: DefaultName, URL: c.URL, Config: c} }

var entryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Check finds what is wrong with the name and the addresses. Keys are relative to the entry.
func (e *Entry) Check() error {
	var faults authn.Faults
	if e.Name != "" && !entryName.MatchString(e.Name) {
		faults.Add("name", fmt.Errorf("%.80q is no name of an upstream; use letters, digits, . _ and -", e.Name))
	}
	switch {
	case e.URL != "" && len(e.URLs) > 0:
		faults.Add("urls", errors.New("stands beside url; write all addresses here"))
	case e.URL == "" && len(e.URLs) == 0:
		faults.Add("urls", errors.New("is required: the addresses of the registry"))
	}
	for i, text := range e.URLs {
		if first := slices.Index(e.URLs, text); first < i {
			faults.Add(fmt.Sprintf("urls[%d]", i), fmt.Errorf("is urls[%d] again", first))
		}
	}
	for _, c := range e.Addresses() {
		if err := c.Check(); err != nil { // of the others it would be the same
			faults.Join(err)
			break
		}
	}
	return faults.Err()
}

// Addresses are the configs of the addresses, one for each.
func (e *Entry) Addresses() []Config {
	if len(e.URLs) == 0 {
		one := e.Config
		one.URL = e.URL
		return []Config{one}
	}
	list := make([]Config, len(e.URLs))
	for i, text := range e.URLs {
		list[i] = e.Config
		list[i].URL, list[i].listed = text, fmt.Sprintf("urls[%d]", i)
	}
	return list
}
