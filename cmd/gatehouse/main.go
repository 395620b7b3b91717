// Command gatehouse is an authenticating reverse proxy for container registries.
//
// This package is the outermost room: commands, assembly, listeners and signals.
// Package config reads the config and every file that it names; package assembly makes
// a snapshot of it, which serve takes when it starts and on HUP (reload.go), and of
// which check and explain ask.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/cmd/gatehouse/backup"
	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/cmd/gatehouse/contents"
	"gatehouse/cmd/gatehouse/held"
	"gatehouse/cmd/gatehouse/kubelet"
	"gatehouse/cmd/gatehouse/migrate"
	"gatehouse/cmd/gatehouse/question"
	"gatehouse/cmd/gatehouse/reference"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main with everything that it touches.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.InitDefaultCompletionCmd() // it takes stdout when it is made
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		completion.RunE = func(*cobra.Command, []string) error { return errors.New("a shell is needed") }
	}
	cmd, err := root.ExecuteContextC(ctx)
	var e *cli.Error
	switch {
	case err == nil:
		return cli.OK
	case errors.Is(err, migrate.ErrLost):
		return cli.Fault
	case errors.As(err, &e):
		if e.Err != nil {
			fmt.Fprintln(stderr, "gatehouse:", e.Err)
		}
		return e.Status
	}
	fmt.Fprintf(stderr, "gatehouse: %v\nSee '%s --help'.\n", err, cmd.CommandPath())
	return cli.Usage
}

// rootCommand is the tree of commands.
func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "gatehouse",
		Short:         "An authenticating reverse proxy for container registries",
		Example:       "  gatehouse check -c gatehouse.yaml && gatehouse serve -c gatehouse.yaml",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(*cobra.Command, []string) error { return errors.New("a command is needed") },
	}
	root.AddCommand(serveCommand(), checkCommand(), explainCommand(), question.TestCommand(), cli.HashCommand(), cli.TokenCommand([]*cobra.Command{held.ListCommand(), held.RevokeCommand()}, held.Open), admin.HealthCommand(), contents.Command(), admin.RulesCommand(), admin.ShadowCommand(), admin.FreezeCommand(), admin.ThawCommand(), versionCommand())
	root.AddCommand(append(reference.Commands(), migrate.Command(), kubelet.Command(), backup.Command())...)
	root.SetHelpCommand(helpCommand(root))
	return root
}

// helpCommand knows an unknown topic from a known one, which cobra's does not.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Show the help of a command",
		Example: "  gatehouse help explain",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err == nil && len(rest) > 0 {
				err = fmt.Errorf("no help for %q", rest[0])
			}
			if err != nil {
				return err
			}
			return cmd.Help()
		},
	}
}
