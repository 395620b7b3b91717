package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"gatehouse/metrics"
)

// Set by the linker where a build knows better than the module's own stamp:
// -ldflags "-X main.releaseVersion=1.2.3 -X main.releaseCommit=abcdef".
var (
	releaseVersion string
	releaseCommit  string
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Example: "  gatehouse version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := buildInfo()
			fmt.Fprintf(cmd.OutOrStdout(), "gatehouse %s\ncommit %s\n%s %s/%s\n", b.Version, b.Commit, b.GoVersion, runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

// buildInfo is what is known of this build.
func buildInfo() metrics.BuildInfo {
	b := metrics.BuildInfo{Version: releaseVersion, Commit: releaseCommit, GoVersion: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		setDefault(&b.Version, info.Main.Version)
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				setDefault(&b.Commit, s.Value)
			}
		}
	}
	setDefault(&b.Version, "(devel)")
	setDefault(&b.Commit, "unknown")
	return b
}

func setDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}
