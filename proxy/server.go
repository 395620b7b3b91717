package proxy

import (
	"log"
	"net/http"
	"time"
)

const (
	headerLimit     = 10 * time.Second // from accept to the end of a request's headers
	idleLimit       = 180 * time.Second
	serverHeaderMax = 192 << 10 // the gateway itself refuses above 32 KiB, with an answer in the registry's form
	maxStreams      = 100
	http2Window     = 4<<20 - 1<<10 // a stream's; the default makes a push over a long line crawl
)

// NewServer is the public listener's server with the limits of the contract: it
// speaks HTTP/1.1, and HTTP/2 over TLS alone, never in clear text (h2c). There is
// no limit on whole bodies: a layer takes as long as it takes, and the gateway
// watches that it moves.
func NewServer(h http.Handler, errorLog *log.Logger) *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            headerLimit,
		IdleTimeout:                  idleLimit,
		MaxHeaderBytes:               serverHeaderMax,
		DisableGeneralOptionsHandler: true,
		Protocols:                    protocols,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: http2Window,
			MaxReceiveBufferPerConnection: http2Window, SendPingTimeout: idleLimit / 2, PingTimeout: 15 * time.Second},
		ErrorLog: errorLog,
	}
}
