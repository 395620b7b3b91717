package ui

import (
	"fmt"
	"net/http"
	"time"
)

// directoriesPage shows how each directory and its servers are.
func (u *UI) directoriesPage(w http.ResponseWriter, r *http.Request, c *Call) error {
	list := u.o.Inside().Directories
	f := u.frame(r, c, atServers, "Directories")
	f.Content = list
	return u.show(w, r, f, "directories")
}

// directoriesStanding says how many servers are down.
func directoriesStanding(list []Directory) (state string, bad bool) {
	servers, down := 0, 0
	for _, d := range list {
		servers, down = servers+len(d.Servers), down+d.down()
	}
	switch {
	case servers == 0:
		return "no servers", false
	case down > 0:
		return fmt.Sprintf("%d of %s down", down, plural(servers, "server", "servers")), true
	}
	return plural(servers, "server", "servers") + " up", false
}

// brief is how long something took, in two or three digits.
func brief(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
