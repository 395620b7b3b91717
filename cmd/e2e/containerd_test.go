package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// startContainerd runs a containerd with all it has in a folder of the test and
// returns its socket.
func startContainerd(t *testing.T, binary, authority string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctd") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	address := filepath.Join(dir, "sock")
	config := filepath.Join(dir, "config.toml")
	write(t, config, fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]
[debug]
level = "warn"
[grpc]
address = %q
[plugins."io.containerd.metadata.v1.bolt"]
content_sharing_policy = "isolated"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux/amd64"
snapshotter = "native"
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), address))
	command := exec.Command(authntest.Program(binary), "--config", config)
	command.Env = append(os.Environ(), "SSL_CERT_FILE="+authority)
	containerd := authntest.Start(t, command)
	var answer error
	err = containerd.Await(30*time.Second, func() bool {
		_, answer = authntest.Run(exec.Command(authntest.Program("ctr"), "-a", address, "--connect-timeout", "1s", "version"))
		return answer == nil
	})
	if err != nil {
		t.Fatal(errors.Join(err, answer))
	}
	return address
}
