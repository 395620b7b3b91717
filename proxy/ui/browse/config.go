package browse

import (
	"time"

	"gatehouse/proxy/content"
)

// Config are the keys of the section `ui` that say how the registry is read.
type Config struct {
	// UpstreamRequests is how many questions the pages have in flight at the registry at
	// once, 1 to 64. Default 8.
	UpstreamRequests int `yaml:"upstream_requests" min:"1" max:"64"`
	// CacheBytes is how many bytes of manifests and configurations of images are kept in
	// memory, 1MiB to 1GiB. Default 64MiB.
	CacheBytes content.Size `yaml:"cache_bytes" min:"1MiB" max:"1GiB"`
	// CatalogRefresh is the age at which the list of repositories is read again once a
	// page needs it, 10s to 1h. Default 1m.
	CatalogRefresh time.Duration `yaml:"catalog_refresh" min:"10s" max:"1h"`
}

// Defaults are what the config file may leave out.
func (c *Config) Defaults() {
	c.UpstreamRequests, c.CacheBytes, c.CatalogRefresh = 8, 64<<20, time.Minute
}
