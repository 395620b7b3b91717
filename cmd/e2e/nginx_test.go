package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/authn/authntest"
)

// startNginx runs an nginx with a server block, its files in the test's folder.
func startNginx(t *testing.T, server string) {
	t.Helper()
	authntest.Need(t, "nginx")
	dir := t.TempDir()
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // its workers are to enter the test's folder
	}
	var temporary strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temporary, "%s_temp_path %s;\n", kind, filepath.Join(dir, kind))
	}
	config := filepath.Join(dir, "nginx.conf")
	write(t, config, fmt.Sprintf("daemon off;\n%s\npid %s/pid;\nerror_log stderr warn;\nevents {}\nhttp {\naccess_log off;\n%s%s}\n", user, dir, &temporary, server))
	start(t, "nginx", "-e", "stderr", "-p", dir, "-c", config)
}
