package question

import (
	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/cmd/gatehouse/config"
)

// TestCommand is `test`.
func TestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test TESTS.yaml...",
		Short: "Hold the policy against files of tests",
		Long: "Asks the policy each question of the files, as explain would, and prints those whose answer differs, with\n" +
			"the rule that decided, and the rules that no test reaches. No directory is asked. A file is a list of\n" +
			"{user, directory, groups, ip, at, action, ref, want: allowed|denied, rule}; rule is a name or a position.\n" +
			"Status 0: all hold, 1: not, 2: a file cannot be read, or the config has faults, so that nothing is known.",
		Example: "  gatehouse test -c gatehouse.yaml policy_test.yaml",
		Args:    cobra.MinimumNArgs(1),
	}
	path := cli.ConfigFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		l := config.Load(cli.ConfigPath(*path))
		policy, faults := Policy(l)
		if len(faults) > 0 {
			config.Print(cmd.ErrOrStderr(), faults)
			return cli.Exit(cli.Usage, "the config has %d fault(s), so nothing can be said", len(faults))
		}
		holds, err := Test(cmd.OutOrStdout(), l, policy, files)
		if err == nil && !holds {
			return &cli.Error{Status: cli.Fault}
		}
		return err
	}
	return cmd
}
