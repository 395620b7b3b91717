package admin

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/cli"
)

// RulesCommand is `rules`.
func RulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Show how many requests each rule of the running gateway decided",
		Long: "Asks the running gateway, by the config's admin.socket, for its rules: how many requests each allowed and\n" +
			"denied, when last, and since when that is counted. --unused shows those alone that decided nothing for so long.\n" +
			"Status 3: no gateway answers.",
		Example: "  gatehouse rules -c gatehouse.yaml --unused 90d",
		Args:    cobra.NoArgs,
	}
	path := cli.ConfigFlag(cmd)
	unused := cmd.Flags().String("unused", "", "only rules that decided nothing for so `long`: days such as 90d, or a time such as 12h")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var age time.Duration
		if cmd.Flags().Changed("unused") {
			var err error
			if age, err = authn.ParseSpan(*unused); err != nil {
				return fmt.Errorf("--unused: %w", err)
			}
		}
		var rules []authz.RuleCount
		if err := Ask(cmd, *path, "/rules", nil, &rules); err != nil {
			return err
		}
		if cmd.Flags().Changed("unused") {
			rules = idle(rules, time.Now().Add(-age), cmd.ErrOrStderr())
		}
		return printRules(cmd.OutOrStdout(), rules)
	}
	return cmd
}

// idle are the rules that decided nothing since then. Of a rule that is not counted for
// so long it is told, as it may have been used before.
func idle(rules []authz.RuleCount, then time.Time, errs io.Writer) (list []authz.RuleCount) {
	short := 0
	for _, r := range rules {
		if r.Last != nil && r.Last.After(then) {
			continue
		}
		if list = append(list, r); r.Since.After(then) {
			short++
		}
	}
	if short > 0 {
		fmt.Fprintf(errs, "%d of these rules are counted for a shorter time than that (column SINCE), so they may have been used before\n", short)
	}
	return list
}

func printRules(w io.Writer, rules []authz.RuleCount) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "POSITION\tNAME\tALLOWED\tDENIED\tLAST\tSINCE\tRULE")
	for _, r := range rules {
		name, last := "-", "never"
		if r.Name != "" {
			name = r.Name
		}
		if r.Last != nil {
			last = r.Last.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\t%s\n", r.Position, name, r.Allowed, r.Denied, last, r.Since.UTC().Format(time.RFC3339), r.Text)
	}
	if err := t.Flush(); err != nil {
		return cli.Exit(cli.Fault, "%w", err)
	}
	return nil
}
