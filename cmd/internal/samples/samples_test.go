package samples

import (
	"io"
	"log"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
)

// TestFurnish: a registry has the versions, and what refers to the newest of them.
func TestFurnish(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	if err := Furnish(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	tags, err := crane.ListTags(host + "/team/orchestra")
	if err != nil || !slices.Contains(tags, "latest") || !slices.ContainsFunc(tags, func(tag string) bool { return strings.HasSuffix(tag, ".sig") }) {
		t.Errorf("%v %v", tags, err)
	}
	a, errA := crane.Digest(host + "/team/orchestra:2")
	b, errB := crane.Digest(host + "/team/orchestra:latest")
	if errA != nil || errB != nil || a != b {
		t.Errorf("%s %v, %s %v", a, errA, b, errB)
	}
}
