//go:build conformance

package e2e

import (
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// The OCI conformance suite of distribution-spec v1.1.1. Its module has no tag of
// its own and is in no checksum database, so its hash stands here.
const (
	suiteModule  = "github.com/opencontainers/distribution-spec/conformance"
	suiteVersion = "v0.0.0-20250123160558-a139cc423184"
	suiteSum     = "h1:7bNCAFy3pSZzsM+xTEhbhSKzYcVMVf/g8lT71MMlkjU="
	suiteModSum  = "h1:DOO4RzIigGVoAksLURsDbKHpJ8zX5eEQfsmkqY39yyE="
)

// malformedDigest is the case that the gateway passes where the registries fail:
// they answer a manifest by a digest that is none with 500.
const malformedDigest = "Pull Error codes 400 response body should contain OCI-conforming JSON message"

// conformanceSuite builds the suite once into the user's cache.
func conformanceSuite(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(cache, "gatehouse", "conformance", suiteVersion+".test")
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), fmt.Sprintf("module suite\n\nrequire %s %s\n", suiteModule, suiteVersion))
	write(t, filepath.Join(dir, "go.sum"), fmt.Sprintf("%[1]s %[2]s %[3]s\n%[1]s %[2]s/go.mod %[4]s\n", suiteModule, suiteVersion, suiteSum, suiteModSum))
	build := exec.Command("go", "test", "-c", "-o", binary, suiteModule)
	build.Dir = dir
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GONOSUMDB="+suiteModule)
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the conformance suite: %v\n%s", err, text)
	}
	return binary
}

// results are the suite's cases by name: passed, failed or skipped.
type results map[string]string

func (r results) count(status string) (n int) {
	for _, s := range r {
		if s == status {
			n++
		}
	}
	return n
}

func (r results) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", r.count("passed"), r.count("failed"), r.count("skipped"))
}

// runSuite runs the suite against a registry. Without a user it sends the empty
// credentials of an anonymous caller to the realm.
func runSuite(t *testing.T, suite, url, user, password string) results {
	t.Helper()
	dir := t.TempDir()
	run := exec.Command(suite, "--ginkgo.no-color")
	run.Dir = dir
	run.Env = append(os.Environ(), "OCI_ROOT_URL="+url, "OCI_NAMESPACE=conformance/main", "OCI_CROSSMOUNT_NAMESPACE=conformance/other",
		"OCI_TEST_PULL=1", "OCI_TEST_PUSH=1", "OCI_TEST_CONTENT_DISCOVERY=1", "OCI_TEST_CONTENT_MANAGEMENT=1",
		"OCI_HIDE_SKIPPED_WORKFLOWS=0", "OCI_DEBUG=0", "OCI_REPORT_DIR="+dir)
	if user != "" {
		run.Env = append(run.Env, "OCI_USERNAME="+user, "OCI_PASSWORD="+password)
	}
	out, err := run.CombinedOutput() // it fails where a case does
	text, readErr := os.ReadFile(filepath.Join(dir, "junit.xml"))
	if readErr != nil {
		t.Fatalf("the suite left no report: %v, %v\n%s", err, readErr, out)
	}
	return readReport(t, text)
}

// readReport reads JUnit's XML. A name that occurs twice gets a number.
func readReport(t *testing.T, text []byte) results {
	t.Helper()
	var report struct {
		Cases []struct {
			Name   string `xml:"name,attr"`
			Status string `xml:"status,attr"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	r := results{}
	for _, c := range report.Cases {
		name, ok := strings.CutPrefix(c.Name, "OCI Distribution Conformance Tests ")
		for n := 2; r[name] != ""; n++ {
			name = fmt.Sprintf("%s (%d)", strings.TrimSuffix(name, fmt.Sprintf(" (%d)", n-1)), n)
		}
		if ok { // else the suite's own end
			r[name] = c.Status
		}
	}
	return r
}

// TestConformance runs the suite against each registry directly and through the
// gateway, with a login and as the anonymous caller. What passes directly has to
// pass through the gateway.
func TestConformance(t *testing.T) {
	suite := conformanceSuite(t)
	const everyone = `  - {allow: ["*"], repositories: ["conformance/**"], to: [everyone]}`
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "registry\tcases\tdirect\tgateway, as a user\tgateway, anonymous")
	for _, reg := range []struct{ name, program string }{{"docker-registry 2.8.2", ""}, {"distribution " + distributionVersion, distributionV3(t)}} {
		direct := runSuite(t, suite, startRegistryLike(t, registrySetup{Program: reg.program}).url(), "", "")
		fmt.Fprintf(w, "%s\t%d\t%s", reg.name, len(direct), direct)
		for _, caller := range []struct{ name, policy, user, password string }{
			{"gateway, as a user", "", "admin", adminPassword},
			{"gateway, anonymous", everyone, "", ""},
		} {
			upstream := startRegistryLike(t, registrySetup{Program: reg.program})
			g := startGateway(t, setup{Upstream: upstream.url(), Policy: caller.policy, BlobMount: "true"})
			through := runSuite(t, suite, "http://"+g.address, caller.user, caller.password)
			fmt.Fprintf(w, "\t%s", through)
			compareResults(t, reg.name+", "+caller.name, direct, through)
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	t.Logf("OCI distribution-spec v1.1.1 conformance\n%s", table.String())
}

// compareResults wants every case that passes directly to pass through, and the
// malformed digest besides.
func compareResults(t *testing.T, what string, direct, through results) {
	t.Helper()
	if len(direct) < 70 || direct.count("passed") < 50 {
		t.Fatalf("%s: only %d of %d cases pass directly: the suite did not run", what, direct.count("passed"), len(direct))
	}
	malformed := 0
	for _, name := range slices.Sorted(maps.Keys(direct)) {
		switch {
		case direct[name] == "passed" && through[name] != "passed":
			t.Errorf("%s: %s: directly %s, through the gateway %s", what, name, direct[name], through[name])
		case direct[name] == "failed" && through[name] == "passed":
			t.Logf("%s: passes through the gateway only: %s", what, name)
		}
		if strings.Contains(name, malformedDigest) {
			malformed++
			if through[name] != "passed" {
				t.Errorf("%s: the malformed digest: %s", what, through[name])
			}
		}
	}
	if malformed != 1 {
		t.Errorf("%s: %d cases of a malformed digest", what, malformed)
	}
}

// TestUpstreamsV3 is TestUpstreams with distribution's registry.
func TestUpstreamsV3(t *testing.T) { testUpstreams(t, distributionV3(t)) }

// TestProbeV3 is TestProbe with distribution's registry.
func TestProbeV3(t *testing.T) { testProbe(t, distributionV3(t)) }

// TestCatalogPagesV3 is TestCatalogPages with distribution's registry.
func TestCatalogPagesV3(t *testing.T) { testCatalogPages(t, distributionV3(t)) }

// TestPagesDeleteV3: deleting by the pages, where a tag can be removed alone.
func TestPagesDeleteV3(t *testing.T) { testPagesDelete(t, distributionV3(t), true) }
