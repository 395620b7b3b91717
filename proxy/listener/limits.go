package listener

import "time"

// Limits bound what connections can take from each other; what is 0 in a cap is off.
type Limits struct {
	// HeaderTimeout is the time from accept to the end of a request's header, the TLS
	// handshake included, and for a realm form. Default 10s.
	HeaderTimeout time.Duration `yaml:"header_timeout" min:"1s" max:"5m"`
	// HeaderBytes is how many bytes all of its fields may have (a token has up to 16
	// KiB); above: 431. Default 32768.
	HeaderBytes int `yaml:"header_bytes" min:"20480" max:"1048576"`
	// HTTP2Streams is how many streams a connection may have open; 0: no HTTP/2. Default 100.
	HTTP2Streams int `yaml:"http2_streams" min:"0" max:"100"`
	// Connections is how many may be open in all; 0: any number. Default 10000.
	Connections int `yaml:"connections" min:"0" max:"16777216"`
	// ConnectionsPerAddress is how many may be open from one address (IPv6: a /64) that
	// is no trusted proxy; 0: any number. Default 4096.
	ConnectionsPerAddress int `yaml:"connections_per_address" min:"0" max:"16777216"`
}

// DefaultLimits are those of the contract.
func DefaultLimits() Limits {
	return Limits{HeaderTimeout: 10 * time.Second, HeaderBytes: 32 << 10, HTTP2Streams: 100, Connections: 10_000, ConnectionsPerAddress: 4096}
}
