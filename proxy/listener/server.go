package listener

import (
	"log"
	"net/http"
	"time"
)

const (
	idleLimit  = 180 * time.Second
	writeLimit = 60 * time.Second // for one byte to be taken
	// What a client may send ahead on one HTTP/2 stream, in bytes: less makes a push
	// over a long line crawl. A connection has that for each of its streams, so those
	// that the registry does not take leave the others their room.
	http2StreamWindow = 2 << 20
	// The gateway refuses a header over its limit with an answer in the registry's
	// form; the server itself, which has no such form, so many times above it.
	headerSlack = 6
)

// Server is the public listener's server: it speaks HTTP/1.1, and HTTP/2 over TLS
// alone, never in clear text (h2c). There is no limit on whole bodies: a layer
// takes as long as it takes, and the gateway watches that it moves.
func (l Limits) Server(h http.Handler, errorLog *log.Logger) *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(l.HTTP2Streams > 0)
	return &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            l.HeaderTimeout,
		IdleTimeout:                  idleLimit,
		MaxHeaderBytes:               headerSlack * l.HeaderBytes,
		DisableGeneralOptionsHandler: true,
		Protocols:                    protocols,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: l.HTTP2Streams, MaxReceiveBufferPerStream: http2StreamWindow,
			MaxReceiveBufferPerConnection: max(l.HTTP2Streams, 1) * http2StreamWindow, SendPingTimeout: idleLimit / 2, PingTimeout: 15 * time.Second,
			WriteByteTimeout: writeLimit},
		ConnContext: withConn,
		ConnState:   noteState,
		ErrorLog:    errorLog,
	}
}
