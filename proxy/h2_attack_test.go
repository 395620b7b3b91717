package proxy

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2 is a bare HTTP/2 client: it sends whatever frames it is told to.
type h2 struct {
	*http2.Framer
	conn     *tls.Conn
	t        *testing.T
	settings map[http2.SettingID]uint32
	stream   uint32
}

func (a *arena) dialH2(address string, trust *tls.Config) *h2 {
	a.t.Helper()
	conn, err := tls.Dial("tcp", address, trust)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, http2.ClientPreface)
	c := &h2{Framer: http2.NewFramer(conn, conn), conn: conn, t: a.t, settings: map[http2.SettingID]uint32{}, stream: 1}
	c.ReadMetaHeaders = hpack.NewDecoder(64<<10, nil)
	c.AllowIllegalWrites = true
	c.WriteSettings()
	return c
}

// fields is a header block; a name may stand twice.
func (c *h2) fields(pairs ...string) []byte {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for i := 0; i < len(pairs); i += 2 {
		e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return block.Bytes()
}

// emptyData as data is a DATA frame without a byte.
const emptyData = "\x00empty"

// request sends headers, data where it is not empty, and trailers where there are any.
func (c *h2) request(headers []string, data string, trailers ...string) {
	c.WriteHeaders(http2.HeadersFrameParam{StreamID: c.stream, BlockFragment: c.fields(headers...), EndHeaders: true, EndStream: data == "" && trailers == nil})
	if data == emptyData {
		c.WriteData(c.stream, trailers == nil, nil)
	} else if data != "" {
		c.WriteData(c.stream, trailers == nil, []byte(data))
	}
	if trailers != nil {
		c.WriteHeaders(http2.HeadersFrameParam{StreamID: c.stream, BlockFragment: c.fields(trailers...), EndHeaders: true, EndStream: true})
	}
}

// answer reads to the end of the stream: the status and code as over HTTP/1.1, or
// RST or GOAWAY.
func (c *h2) answer() (text string, got answered) {
	defer func() { c.stream += 2 }()
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			return "closed", got
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			f.ForeachSetting(func(s http2.Setting) error { c.settings[s.ID] = s.Val; return nil })
			if !f.IsAck() {
				c.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			got.header = map[string][]string{}
			for _, field := range f.Fields {
				if field.Name == ":status" {
					fmt.Sscan(field.Value, &got.status)
				}
				got.header.Add(field.Name, field.Value)
			}
		case *http2.DataFrame:
			got.body += string(f.Data())
		case *http2.RSTStreamFrame:
			if got.status != 0 && f.ErrCode == http2.ErrCodeNo {
				return got.String(), got
			}
			return "RST", got
		case *http2.GoAwayFrame:
			return "GOAWAY", got
		}
		if frame.Header().StreamID == c.stream && frame.Header().Flags.Has(http2.FlagDataEndStream) {
			return got.String(), got
		}
	}
}

// h2Attack is one HTTP/2 request; the pseudo fields that it does not give are those of
// an honest GET of a manifest by alice.
type h2Attack struct {
	name     string
	headers  []string
	data     string
	trailers []string
	want     string // one of these, joined by |
	seen     string // *: nothing whole
}

// pseudo builds a header block; further fields follow.
func pseudo(method, path string, more ...string) []string {
	return append([]string{":method", method, ":scheme", "https", ":authority", "gw.test", ":path", path}, more...)
}

const dev = "/v2/team/app/manifests/dev"

var h2Attacks = []h2Attack{
	{"A0/control", pseudo("GET", dev, "authorization", "$BEARER"), "", nil, "200", manifest},
	{"A1/slash", pseudo("GET", "/v2/team%2fapp/manifests/dev", "authorization", "$BEARER"), "", nil, "400 UNSUPPORTED", ""},
	{"A2/dots", pseudo("GET", "/v2/team/app/../../secret/x/manifests/v1", "authorization", "$BEARER"), "", nil, "400 UNSUPPORTED", ""},
	{"A3/authority", pseudo("GET", "//v2/_catalog", "authorization", "$BEARER"), "", nil, "400 UNSUPPORTED", ""},
	{"A6/raw bytes", pseudo("GET", "/v2/t\xc3\xa4m/app/manifests/dev", "authorization", "$BEARER"), "", nil, "400 UNSUPPORTED", ""},
	{"A6/space", pseudo("GET", "/v2/team /app/manifests/dev", "authorization", "$BEARER"), "", nil, "RST|400 UNSUPPORTED", ""},
	{"A8/fragment", pseudo("GET", "/v2/secret/x/manifests/v1#/v2/", "authorization", "$BEARER"), "", nil, "400 UNSUPPORTED", ""},
	{"A11/absolute path, foreign", pseudo("GET", "http://other/v2/_catalog", "authorization", "$BEARER"), "", nil, "421 UNSUPPORTED", ""},
	{"A11/absolute path, ours", pseudo("GET", "https://gw.test"+dev, "authorization", "$BEARER"), "", nil, "200", manifest},
	{"A11/absolute path without a slash", pseudo("GET", "https://gw.test", "authorization", "$BEARER"), "", nil, "400 UNSUPPORTED|RST", ""},
	{"A12/asterisk", pseudo("GET", "*", "authorization", "$BEARER"), "", nil, "400 UNSUPPORTED|RST", ""},
	{"A12/asterisk of OPTIONS", pseudo("OPTIONS", "*", "authorization", "$BEARER"), "", nil, "400 UNSUPPORTED", ""},
	{"A12/no slash", pseudo("GET", "v2/", "authorization", "$BEARER"), "", nil, "RST", ""},
	{"A12/empty path", pseudo("GET", "", "authorization", "$BEARER"), "", nil, "RST", ""},
	{"A13/lower case", pseudo("get", dev, "authorization", "$BEARER"), "", nil, "405 UNSUPPORTED", ""},
	{"A13/no method", pseudo("", dev, "authorization", "$BEARER"), "", nil, "RST", ""},
	{"A17/host apart from the authority", pseudo("GET", dev, "host", "other", "authorization", "$BEARER"), "", nil, "200", manifest},
	{"A17/foreign authority", []string{":method", "GET", ":scheme", "https", ":authority", "other", ":path", dev, "host", "gw.test", "authorization", "$BEARER"}, "", nil, "421 UNSUPPORTED", ""},
	{"A17/user in the authority", []string{":method", "GET", ":scheme", "https", ":authority", "a@gw.test", ":path", dev, "authorization", "$BEARER"}, "", nil, "RST|400 UNSUPPORTED|421 UNSUPPORTED", ""},
	{"B2/identity", pseudo("GET", dev, "x-remote-user", "root"), "", nil, "401 UNAUTHORIZED", ""},
	{"B5/two Authorization fields", pseudo("GET", dev, "authorization", "$BEARER", "authorization", "Basic eDp5"), "", nil, "400 UNSUPPORTED", ""},
	{"C6/trailers", pseudo("PATCH", "/v2/team/app/blobs/uploads/u", "authorization", "$BEARER"), "abc", []string{"authorization", "Basic eDp5", "x-gw", "1"}, "200", patched},
	{"C6/pseudo field in trailers", pseudo("PATCH", "/v2/team/app/blobs/uploads/u", "authorization", "$BEARER"), "abc", []string{":path", "/v2/"}, "RST|GOAWAY", "*"},
	{"C9/connection", pseudo("GET", dev, "authorization", "$BEARER", "connection", "authorization"), "", nil, "RST|400", ""},
	{"C9/transfer-encoding", pseudo("PATCH", "/v2/team/app/blobs/uploads/u", "authorization", "$BEARER", "transfer-encoding", "chunked"), "0\r\n\r\n" + inside, nil, "RST|400", ""},
	{"C9/te", pseudo("GET", dev, "authorization", "$BEARER", "te", "gzip"), "", nil, "RST|400", ""},
	{"C9/upgrade", pseudo("GET", dev, "authorization", "$BEARER", "upgrade", "h2c"), "", nil, "RST|400", ""},
	{"C9/line break in a value", pseudo("GET", dev, "authorization", "$BEARER", "accept", "a\r\nx: y"), "", nil, "RST", ""},
	{"C9/line break in the path", pseudo("GET", dev+" HTTP/1.1\r\nx: y", "authorization", "$BEARER"), "", nil, "RST|400 UNSUPPORTED", ""},
	{"C9/line break in the method", pseudo("GET / HTTP/1.1\r\nx: y", dev, "authorization", "$BEARER"), "", nil, "RST|400 UNSUPPORTED|405 UNSUPPORTED", ""},
	{"C9/capital name", pseudo("GET", dev, "Authorization", "$BEARER"), "", nil, "RST", ""},
	{"C9/colon in a name", pseudo("GET", dev, "authorization", "$BEARER", "a:b", "c"), "", nil, "RST", ""},
	{"C9/two paths", append(pseudo("GET", dev, "authorization", "$BEARER"), ":path", "/v2/secret/x/manifests/v1"), "", nil, "RST", ""},
	{"C9/pseudo field after others", append([]string{"authorization", "$BEARER"}, pseudo("GET", dev)...), "", nil, "RST", ""},
	{"C9/unknown pseudo field", pseudo("GET", dev, ":x", "y"), "", nil, "RST", ""},
	{"C9/short body", pseudo("PUT", dev, "authorization", "$BEARER", "content-length", "5"), "{}", nil, "RST|400 SIZE_INVALID", ""},
	{"C9/long body", pseudo("PUT", dev, "authorization", "$BEARER", "content-length", "2"), "{}" + inside, nil, "RST|400 SIZE_INVALID", ""},
	{"C9/bad length", pseudo("PUT", dev, "authorization", "$BEARER", "content-length", "+2"), "{}", nil, "RST|400 UNSUPPORTED", ""},
	{"C9/two lengths", pseudo("PUT", dev, "authorization", "$BEARER", "content-length", "2", "content-length", "3"), "{}", nil, "400 UNSUPPORTED", ""},
	{"C10/CONNECT with a request inside", []string{":method", "CONNECT", ":authority", "gw.test", "authorization", "$BEARER"}, inside, nil, "400 UNSUPPORTED", ""},
	{"C10/CONNECT elsewhere", []string{":method", "CONNECT", ":authority", "127.0.0.1:22", "authorization", "$BEARER"}, inside, nil, "421 UNSUPPORTED", ""},
	{"C10/CONNECT with a path", pseudo("CONNECT", dev, "authorization", "$BEARER"), inside, nil, "RST|405 UNSUPPORTED", ""},
	{"C10/extended CONNECT", pseudo("CONNECT", dev, ":protocol", "websocket", "authorization", "$BEARER"), inside, nil, "RST|405 UNSUPPORTED", ""},
	{"C15/GET with data", pseudo("GET", dev, "authorization", "$BEARER"), "x", nil, "400 UNSUPPORTED", ""},
	{"C15/GET with a length", pseudo("GET", dev, "authorization", "$BEARER", "content-length", "1"), "x", nil, "400 UNSUPPORTED", ""},
	{"C15/DELETE with data", pseudo("DELETE", "/v2/team/app/blobs/uploads/u", "authorization", "$BEARER"), "x", nil, "400 UNSUPPORTED", ""},
	{"C15/POST with data", pseudo("POST", uploads, "authorization", "$BEARER"), "x", nil, "400 UNSUPPORTED", ""},
	// H3: no content is no body, however it is framed.
	{"H3/GET", pseudo("GET", dev, "authorization", "$BEARER"), emptyData, nil, "200", manifest},
	{"H3/HEAD", pseudo("HEAD", dev, "authorization", "$BEARER"), emptyData, nil, "200", "HEAD " + dev},
	{"H3/DELETE of a session", pseudo("DELETE", "/v2/team/app/blobs/uploads/u", "authorization", "$BEARER"), emptyData, nil, "200", "DELETE /v2/team/app/blobs/uploads/u"},
	{"H3/POST", pseudo("POST", uploads, "authorization", "$BEARER"), emptyData, nil, "200", "POST " + uploads},
	{"H3/POST and trailers", pseudo("POST", uploads, "authorization", "$BEARER"), "", []string{"x-from", "secret/x"}, "200", "POST " + uploads},
	{"H3/GET of the realm", pseudo("GET", "/auth"), emptyData, nil, "200", ""},
	{"D1/form on an upload start", pseudo("POST", uploads, "authorization", "$BEARER", "content-type", "application/x-www-form-urlencoded"), "from=secret/x", nil, "400 UNSUPPORTED", ""},
	{"D8/DELETE by who may push", pseudo("DELETE", dev, "authorization", "$BEARER"), "", nil, "403 DENIED", ""},
	{"H3/many fields", pseudo("GET", dev, strings.Split(strings.Repeat("x-a b ", 120)+"authorization $BEARER", " ")...), "", nil, "431 UNSUPPORTED", ""},
}

// TestHTTP2 sends raw frames over TLS to the same gateway, each attack on a
// connection of its own.
func TestHTTP2(t *testing.T) {
	a := newArena(t, nil)
	address, trust := a.serveTLS()
	for _, c := range h2Attacks {
		t.Run(c.name, func(t *testing.T) {
			a.t = t
			conn := a.dialH2(address, trust)
			headers := make([]string, len(c.headers))
			for i, h := range c.headers {
				headers[i] = strings.Replace(h, "$BEARER", "Bearer "+a.alice, 1)
			}
			conn.request(headers, c.data, c.trailers...)
			got, full := conn.answer()
			list, seen := a.arrivals()
			if !strings.Contains("|"+c.want+"|", "|"+got+"|") {
				t.Errorf("answered %q %v, want %q", got, full, c.want)
			}
			if c.seen == "*" && len(list) > 0 && list[0].whole || c.seen != "*" && seen != c.seen {
				t.Errorf("the upstream saw %q, want %q", seen, c.seen)
			}
		})
	}
}

// TestStreams is C11: the limit of streams stands in the settings, and a flood of
// requests that are taken back at once neither reaches the upstream in number nor
// keeps others from being served.
func TestStreams(t *testing.T) {
	a := newArena(t, nil)
	address, trust := a.serveTLS()
	honest := a.dialH2(address, trust)
	honest.request(pseudo("GET", dev, "authorization", "Bearer "+a.alice), "")
	if got, _ := honest.answer(); got != "200" || honest.settings[http2.SettingMaxConcurrentStreams] != 100 {
		t.Fatalf("%s with settings %v", got, honest.settings)
	}
	flood := a.dialH2(address, trust)
	block := flood.fields(pseudo("GET", "/v2/")...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for id := uint32(1); ; id += 2 {
			err := flood.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: true})
			if err == nil {
				err = flood.WriteRSTStream(id, http2.ErrCodeCancel)
			}
			if err != nil || id > 50_000 {
				return
			}
		}
	}()
	go io.Copy(io.Discard, flood.conn)
	for range 20 {
		honest.request(pseudo("GET", dev, "authorization", "Bearer "+a.alice), "")
		if got, _ := honest.answer(); got != "200" {
			t.Errorf("beside the flood: %s", got)
		}
	}
	<-done // the server ends the connection where its handlers fall behind; either is right
	if list, _ := a.arrivals(); len(list) != 21 {
		t.Errorf("%d requests reached the upstream", len(list))
	}
}

// TestNoClearHTTP2 is C12: the preface in clear text gets no HTTP/2.
func TestNoClearHTTP2(t *testing.T) {
	a := newArena(t, nil)
	conn, err := net.Dial("tcp", a.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, http2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	reply, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(reply), "HTTP/1.1 4") {
		t.Errorf("%q", reply)
	}
	if _, seen := a.arrivals(); seen != "" {
		t.Errorf("the upstream saw %s", seen)
	}
}
