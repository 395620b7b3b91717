package listener

import (
	"io"
	"net"
	"strings"
	"testing"
)

// TestReadFrom: what is read from elsewhere goes out whole, whether the connection below can
// have the kernel move it or not.
func TestReadFrom(t *testing.T) {
	const text = "content"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for what, pair := range map[string]func() (net.Conn, net.Conn){
		"a socket": func() (net.Conn, net.Conn) {
			out, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			in, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			return out, in
		},
		"another": net.Pipe,
	} {
		out, in := pair()
		go func() {
			c := &Conn{Conn: out, open: NewConnections()}
			if n, err := c.ReadFrom(strings.NewReader(text)); n != int64(len(text)) || err != nil {
				t.Errorf("%s: %d %v", what, n, err)
			}
			out.Close()
		}()
		if got, err := io.ReadAll(in); string(got) != text || err != nil {
			t.Errorf("%s: %q %v", what, got, err)
		}
		in.Close()
	}
}
