// Command sbom writes what a Go binary is made of as SPDX 2.3 in JSON: itself, the
// standard library and every module that the linker noted in it, with its checksum.
//
//	go run ./cmd/internal/sbom BINARY VERSION >gatehouse.spdx.json
//
// The same binary makes the same text: the time in it is that of the binary's commit.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
)

// document is an SPDX document, section 6 of its specification.
type document struct {
	Version       string         `json:"spdxVersion"`
	License       string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"` // one for each binary
	Created       creation       `json:"creationInfo"`
	Packages      []component    `json:"packages"`
	Relationships []relationship `json:"relationships"`
}

// creation is who made the document and when, RFC 3339 in UTC.
type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

// component is a package of section 7: the binary, the standard library or a module.
type component struct {
	ID        string      `json:"SPDXID"`
	Name      string      `json:"name"`
	Version   string      `json:"versionInfo,omitempty"`
	Location  string      `json:"downloadLocation"`
	Analyzed  bool        `json:"filesAnalyzed"`
	License   string      `json:"licenseConcluded"`
	Copyright string      `json:"copyrightText"`
	Checksums []checksum  `json:"checksums,omitempty"`
	Comment   string      `json:"comment,omitempty"` // a module's checksum as go.sum has it
	Refs      []reference `json:"externalRefs,omitempty"`
}

// checksum is one of the file itself.
type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"` // hexadecimal
}

// reference leads to a package by its URL.
type reference struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"` // a package URL
}

// relationship is one of section 11.
type relationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sbom BINARY VERSION")
		os.Exit(2)
	}
	if err := write(os.Stdout, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// write writes the document of a binary to w.
func write(w io.Writer, binary, version string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(describe(info, fmt.Sprintf("%x", sha256.Sum256(content)), version))
}

// describe is the document of a binary with a SHA-256 and a version.
func describe(info *debug.BuildInfo, sum, version string) document {
	binary := newComponent("gatehouse", version, "pkg:golang/gatehouse@"+version)
	binary.Checksums = []checksum{{"SHA256", sum}}
	d := document{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: "gatehouse-" + version,
		Namespace:     "https://spdx.org/spdxdocs/gatehouse-" + version + "-" + sum,
		Created:       creation{built(info), []string{"Tool: gatehouse-sbom"}},
		Packages:      []component{binary},
		Relationships: []relationship{{"SPDXRef-DOCUMENT", "DESCRIBES", binary.ID}},
	}
	d.add(newComponent("stdlib", info.GoVersion, "pkg:golang/stdlib@"+strings.TrimPrefix(info.GoVersion, "go")))
	for _, m := range info.Deps {
		d.add(module(m))
	}
	return d
}

// add notes a part of the binary.
func (d *document) add(c component) {
	d.Relationships = append(d.Relationships, relationship{d.Packages[0].ID, "DEPENDS_ON", c.ID})
	d.Packages = append(d.Packages, c)
}

// module is what was linked for a module, its replacement where there is one.
func module(m *debug.Module) component {
	if m.Replace != nil {
		m = m.Replace
	}
	c := newComponent(m.Path, m.Version, "pkg:golang/"+m.Path+"@"+m.Version)
	c.Comment = m.Sum // a hash of hashes: no checksum in the sense of SPDX
	return c
}

func newComponent(name, version, url string) component {
	id := regexp.MustCompile(`[^A-Za-z0-9.-]+`).ReplaceAllString(name, "-")
	return component{
		ID: "SPDXRef-Package-" + id, Name: name, Version: version,
		Location: "NOASSERTION", License: "NOASSERTION", Copyright: "NOASSERTION",
		Refs: []reference{{"PACKAGE-MANAGER", "purl", url}},
	}
}

// built is the time of the binary's commit, the epoch where it has none.
func built(info *debug.BuildInfo) string {
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			return s.Value
		}
	}
	return time.Unix(0, 0).UTC().Format(time.RFC3339)
}
