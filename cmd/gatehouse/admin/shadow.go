package admin

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/cli"
)

// ShadowCommand is `shadow`.
func ShadowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "shadow",
		Short: "Show where policy_next would decide otherwise",
		Long: "Asks the running gateway, by the config's admin.socket, which decisions its policy_next took otherwise than\n" +
			"the policy that counts, with the people and the rules of both. Status 3: no gateway answers.",
		Example: "  gatehouse shadow -c gatehouse.yaml",
		Args:    cobra.NoArgs,
	}
	path := cli.ConfigFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var table Text
		if err := Ask(cmd, *path, "/shadow", url.Values{"format": {"text"}}, &table); err != nil {
			return err
		}
		fmt.Fprint(cmd.OutOrStdout(), table)
		return nil
	}
	return cmd
}
