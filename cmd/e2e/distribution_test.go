//go:build cache || conformance || policy || replicas

package e2e

import "testing"

const (
	distribution        = "github.com/distribution/distribution/v3/cmd/registry"
	distributionVersion = "v3.1.1"
)

// distributionV3 returns the path of distribution's registry, built once where `make bench`
// looks for it too.
func distributionV3(t *testing.T) string {
	t.Helper()
	return goProgramIn(t, "bench/distribution-"+distributionVersion, "registry", distribution+"@"+distributionVersion)
}
