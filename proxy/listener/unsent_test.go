package listener

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestUnsent: what the client's system has no room for is unsent until the client reads.
func TestUnsent(t *testing.T) {
	listening, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listening.Close()
	client, err := net.Dial("tcp", listening.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	raw, err := listening.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	c := &Conn{Conn: raw}
	if n := c.Unsent(); n != 0 {
		t.Errorf("before anything was written: %d", n)
	}
	raw.SetWriteDeadline(time.Now().Add(time.Second))
	written, err := raw.Write(make([]byte, 64<<20))
	if err == nil || written == 0 {
		t.Fatalf("%d bytes went without anybody reading, %v", written, err)
	}
	before := c.Unsent()
	if before <= 0 || before > int64(written) {
		t.Errorf("%d of %d are unsent", before, written)
	}
	if _, err := io.CopyN(io.Discard, client, int64(written)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); c.Unsent() != 0; time.Sleep(time.Millisecond) { // its system says so a moment later
		if time.Now().After(end) {
			t.Fatalf("%d are unsent still", c.Unsent())
		}
	}
	if n := (&Conn{Conn: struct{ net.Conn }{raw}}).Unsent(); n != 0 {
		t.Errorf("of what is no socket: %d", n)
	}
}
