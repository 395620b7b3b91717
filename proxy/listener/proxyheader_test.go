package listener

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// introduced serves one real connection whose client sends text, by a gateway that
// believes PROXY headers of those networks, and returns the address and the answer that
// the client gets; empty: the connection was closed without a word.
func introduced(t *testing.T, cfg Config, limits Limits, pieces ...string) string {
	t.Helper()
	edge, err := NewEdge(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := NewConnections()
	door := &Door{Edge: edge, Limits: &limits, Open: open, Logger: slog.New(slog.DiscardHandler)}
	server := limits.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Of(r).Enter()
		defer Of(r).Leave()
		w.Header().Set("Connection", "close")
		io.WriteString(w, r.RemoteAddr)
	}), nil)
	server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	go server.Serve(&taking{l, door})
	defer server.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, piece := range pieces {
		io.WriteString(c, piece)
	}
	answer, _ := io.ReadAll(c) // a reset is an end too
	c.Close()
	for deadline := time.Now().Add(10 * time.Second); open.Open() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections stay open", open.Open())
		}
	}
	if len(open.addresses) != 0 {
		t.Errorf("addresses are still counted: %v", open.addresses)
	}
	status, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	if strings.Contains(status, " 400 ") {
		return "400"
	}
	return body
}

// taking is what package cmd does with connections.
type taking struct {
	net.Listener
	door *Door
}

func (l *taking) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.door.Take(raw); c != nil {
			return c, nil
		}
	}
}

// version2 is a header of version 2 by the library's own writer.
func version2(t *testing.T, command proxyproto.ProtocolVersionAndCommand, client string) string {
	t.Helper()
	h := &proxyproto.Header{Version: 2, Command: command, TransportProtocol: proxyproto.UNSPEC}
	if client != "" {
		addr := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(client))
		h.TransportProtocol, h.SourceAddr, h.DestinationAddr = proxyproto.TCPv4, addr, addr
		if addr.IP.To4() == nil {
			h.TransportProtocol = proxyproto.TCPv6
		}
	}
	text, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestProxyHeader: where a network has to send a PROXY header its address is the
// connection's, and nothing is answered without one; elsewhere it is no HTTP.
func TestProxyHeader(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	near, far := []string{"127.0.0.0/8"}, []string{"10.0.0.0/8"}
	limits := DefaultLimits()
	limits.HeaderTimeout = time.Second
	for _, test := range []struct {
		name   string
		from   []string
		pieces []string
		want   string // the client's address; own: loopback's; empty: closed
	}{
		{"version 1", near, []string{"PROXY TCP4 203.0.113.7 10.0.0.1 50123 443\r\n" + get}, "203.0.113.7:50123"},
		{"version 1 of IPv6", near, []string{"PROXY TCP6 2001:db8::1 2001:db8::2 50123 443\r\n" + get}, "[2001:db8::1]:50123"},
		{"version 1 and the request apart", near, []string{"PROXY TCP4 203.0.113.7 10.0.0.1 50123 443\r\n", get}, "203.0.113.7:50123"},
		{"version 1 in pieces", near, []string{"PRO", "XY TCP4 203.0.113.7 10.0", ".0.1 50123 443\r", "\n", get}, "203.0.113.7:50123"},
		{"version 1 of the proxy itself", near, []string{"PROXY UNKNOWN\r\n" + get}, "own"},
		{"version 2", near, []string{version2(t, proxyproto.PROXY, "203.0.113.7:5") + get}, "203.0.113.7:5"},
		{"version 2 of IPv6", near, []string{version2(t, proxyproto.PROXY, "[2001:db8::1]:5") + get}, "[2001:db8::1]:5"},
		{"version 2 of the proxy itself", near, []string{version2(t, proxyproto.LOCAL, "") + get}, "own"},
		{"none", near, []string{get}, ""},
		{"nothing in time", near, nil, ""},
		{"half in time", near, []string{"PROXY TCP4 203.0.113.7"}, ""},
		{"half of version 2 in time", near, []string{version2(t, proxyproto.PROXY, "203.0.113.7:5")[:14]}, ""},
		{"no address", near, []string{"PROXY TCP4 203.0.113.999 10.0.0.1 50123 443\r\n" + get}, ""},
		{"everybody's address", near, []string{"PROXY TCP4 0.0.0.0 10.0.0.1 50123 443\r\n" + get}, ""},
		{"no port", near, []string{"PROXY TCP4 203.0.113.7 10.0.0.1 x 443\r\n" + get}, ""},
		{"lower case", near, []string{"proxy TCP4 203.0.113.7 10.0.0.1 50123 443\r\n" + get}, ""},
		{"without CR", near, []string{"PROXY TCP4 203.0.113.7 10.0.0.1 50123 443\n" + get}, ""},
		{"too long", near, []string{"PROXY UNKNOWN " + strings.Repeat("x", 200) + "\r\n" + get}, ""},
		{"two", near, []string{strings.Repeat("PROXY TCP4 203.0.113.7 10.0.0.1 50123 443\r\n", 2) + get}, "400"},
		{"from elsewhere", far, []string{"PROXY TCP4 203.0.113.7 10.0.0.1 50123 443\r\n" + get}, "400"},
		{"none from elsewhere", far, []string{get}, "own"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := introduced(t, Config{ProxyProtocol: test.from}, limits, test.pieces...)
			if got != test.want && (test.want != "own" || !strings.HasPrefix(got, "127.0.0.1:")) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestProxyHeaderCounts: the connection is its client's in the caps too, whose address
// may be a trusted proxy's, which is exempt.
func TestProxyHeaderCounts(t *testing.T) {
	limits := DefaultLimits()
	limits.ConnectionsPerAddress = 1
	edge, err := NewEdge(Config{ProxyProtocol: []string{"127.0.0.0/8"}, TrustedProxies: []string{"10.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	door := &Door{Edge: edge, Limits: &limits, Open: NewConnections(), Logger: slog.New(slog.DiscardHandler)}
	take := func(client string) (net.Conn, error) {
		here, there := net.Pipe()
		t.Cleanup(func() { there.Close() })
		c := door.Take(loopback4{here})
		go io.WriteString(there, "PROXY TCP4 "+client+" 10.0.0.1 50123 443\r\n!")
		_, err := bufio.NewReader(c).ReadByte()
		return c, err
	}
	first, err := take("203.0.113.7")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := take("203.0.113.7"); err != io.EOF {
		t.Errorf("a second connection of one address: %v", err)
	}
	for _, client := range []string{"203.0.113.8", "10.0.0.9", "10.0.0.9"} {
		if _, err := take(client); err != nil {
			t.Errorf("%s: %v", client, err)
		}
	}
	first.Close()
	if _, err := take("203.0.113.7"); err != nil {
		t.Errorf("a connection after the first one has ended: %v", err)
	}
}

// loopback4 is a pipe whose other end is on loopback.
type loopback4 struct{ net.Conn }

func (loopback4) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7} }
