//go:build clients || policy || replicas

package e2e

// craneModule is crane, as programs of this kind are named.
const craneModule = "github.com/google/go-containerregistry/cmd/crane@v0.22.1"
