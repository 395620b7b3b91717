package admin

import "testing"

func TestDialable(t *testing.T) {
	for address, want := range map[string]string{
		":9180": "127.0.0.1:9180", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "[::1]:1", "10.0.0.1:1": "10.0.0.1:1", "localhost:1": "localhost:1",
	} {
		if got := dialable(address); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}
