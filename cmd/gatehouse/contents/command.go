package contents

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/proxy/content"
)

// Command is `cache`.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "cache",
		Short:   "See what the running gateway's cache holds, or have it forget",
		Long:    "Asks the running gateway, by the config's admin.socket, about the section cache.",
		Example: "  gatehouse cache status -c gatehouse.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cli.Exit(cli.Usage, "status or purge is needed; see 'gatehouse cache --help'")
		},
	}
	cmd.AddCommand(statusCommand(), purgeCommand())
	return cmd
}

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Say how much the cache holds",
		Example: "  gatehouse cache status -c gatehouse.yaml",
		Args:    cobra.NoArgs,
	}
	path := cli.ConfigFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var s content.Status
		if err := admin.Ask(cmd, *path, statusPath, nil, &s); err != nil {
			return err
		}
		show(cmd.OutOrStdout(), &s)
		return nil
	}
	return cmd
}

// show prints a state for people.
func show(out io.Writer, s *content.Status) {
	place := func(name string, p *content.Store) {
		fmt.Fprintf(out, "%s: %d entries, %d of %d bytes\n", name, p.Entries, p.Bytes, p.Most)
	}
	place("memory", &s.Memory)
	if s.Disk != nil {
		place("disk", s.Disk)
	}
	fmt.Fprintf(out, "standings: %d\ntags: %d\nquestions: %d\n", s.Standings, s.Tags, s.Questions)
}

func purgeCommand() *cobra.Command {
	var a asked
	cmd := &cobra.Command{
		Use:   "purge {--repository REPO | --digest DIGEST | --all}",
		Short: "Have the cache forget something",
		Long: "With --repository nothing of it is served any more without asking the registry; with --digest its content is removed,\n" +
			"and with both only that repository has to be asked for it. --all empties the cache.",
		Example: "  gatehouse cache purge --repository team/app\n  gatehouse cache purge --all",
		Args:    cobra.NoArgs,
	}
	path := cli.ConfigFlag(cmd)
	cmd.Flags().StringVar(&a.Repository, "repository", "", "a `REPO`, of any upstream")
	cmd.Flags().StringVar(&a.Digest, "digest", "", "a `DIGEST`, such as sha256:...")
	cmd.Flags().BoolVar(&a.All, "all", false, "everything")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := a.check(); err != nil {
			return cli.Exit(cli.Usage, "%w", err)
		}
		var answer removed
		if err := admin.Change(cmd, *path, purgePath, a, &answer); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "removed: %d\n", answer.Removed)
		return nil
	}
	return cmd
}
