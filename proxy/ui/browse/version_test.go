package browse

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestVersionOrder: tags from the oldest version to the newest, each case in its order.
func TestVersionOrder(t *testing.T) {
	for name, order := range map[string]string{
		"numbers":            "1.2 1.9 1.10 1.10.1 2 10",
		"early versions":     "1.0-alpha 1.0-alpha2 1.0-alpha10 1.0-beta 1.0-dev 1.0-pre.1 1.0-rc.1 1.0-rc.2 1.0-SNAPSHOT 1.0 1.0.1",
		"other suffixes":     "1.2-rc1 1.2 1.2-alpine 1.2-alpine3.9 1.2-alpine3.18 1.2-preview 1.2.1",
		"early with another": "1.2-rc1 1.2-rc1-alpine 1.2 1.2-alpine-rc1 1.2-alpine",
		"a v":                "v1.2 1.3 v1.10",
		"words":              "release-1 9 stable edge latest",
		"dates":              "20240131 2024-01-31",
		"leading zeros":      "1.01 1.1 1.02",
		"long runs":          "1.99999999999999999999 1.100000000000000000000",
	} {
		want := strings.Fields(order)
		got := sortVersions(slices.Sorted(slices.Values(want)))
		if name == "dates" {
			slices.Sort(want)
			slices.SortFunc(want, func(a, b string) int { return len(b) - len(a) })
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// TestNewest: a release before an early version, a version before a word.
func TestNewest(t *testing.T) {
	for tags, want := range map[string]string{"": "", "latest": "latest", "latest edge": "latest", "latest 1.0-rc1": "1.0-rc1",
		"latest 1.0-rc1 0.9": "0.9", "v2 v10 v9": "v10", "latest release-3": "release-3", "release-3 1.0": "1.0",
		"1.1 1.1-alpine 1.1-bookworm 1.1-rc1 1.0": "1.1", "1.1-alpine 1.1-rc1 1.0": "1.1-alpine", "v1.1 v1.1-alpine": "v1.1", "1.1-alpine": "1.1-alpine",
		"latest 2-slim 2-rc1 edge": "2-slim", "2-slim x-2": "2-slim",
		"1.0 99.0;x": "1.0", "9\u202e.0 latest": "latest", "..": "", "-1 $(id)": ""} {
		if got := newestOf(sortVersions(strings.Fields(tags))); got != want {
			t.Errorf("%q: %q, want %q", tags, got, want)
		}
	}
}

// genTag makes tags that are alike, so that every rule of the order comes to bear.
func genTag() *rapid.Generator[string] {
	piece := rapid.SampledFrom([]string{"v", "1", "01", "2", "10", ".", "-", "_", "rc", "alpha", "snapshot", "alpine", "latest", "a", "B"})
	return rapid.Map(rapid.SliceOfN(piece, 1, 7), func(p []string) string { return strings.Join(p, "") })
}

// TestVersionLaws: the order is total, and only the same tag is equal.
func TestVersionLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(genTag(), 3, 3).Draw(t, "tags")
		a, b, c := parseVersion(texts[0]), parseVersion(texts[1]), parseVersion(texts[2])
		if a.compare(&b) != -b.compare(&a) {
			t.Fatal("not the same from both sides")
		}
		if (a.compare(&b) == 0) != (texts[0] == texts[1]) {
			t.Fatal("equal, or the same tag, but not both")
		}
		if a.compare(&b) <= 0 && b.compare(&c) <= 0 && a.compare(&c) > 0 {
			t.Fatal("not transitive")
		}
	})
}

// TestVersionSorted: whatever the order at first, it comes out the same.
func TestVersionSorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tags := rapid.SliceOfDistinct(genTag(), rapid.ID).Draw(t, "tags")
		shuffled := rapid.Permutation(tags).Draw(t, "shuffled")
		if a, b := sortVersions(tags), sortVersions(shuffled); !slices.Equal(a, b) {
			t.Fatalf("%v, then %v", a, b)
		}
	})
}
