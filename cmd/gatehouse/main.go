// Command gatehouse is an authenticating reverse proxy for container registries.
//
// This package is the outermost room: flags, the config file, assembly of the
// other packages, listeners and signals. The config is read into structs
// (config.go) by a decoder that knows where everything stands (config_decode.go),
// checked (config_load.go) and made into a snapshot (assemble.go), which serve
// runs (serve.go) and HUP replaces as a whole (reload.go).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// Exit statuses of the contract.
const (
	exitOK    = 0
	exitFault = 1 // could not start, faults found, denied, not ready
	exitUsage = 2
	exitDown  = 3 // a directory at fault
)

// exitError ends the process with a status; its text, where there is one, goes
// to stderr. Any other error that a command returns is wrong usage.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func exit(status int, format string, args ...any) error {
	return &exitError{status, fmt.Errorf(format, args...)}
}

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
	cmd, err := root.ExecuteContextC(ctx)
	var e *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		if e.err != nil {
			fmt.Fprintln(stderr, "gatehouse:", e.err)
		}
		return e.status
	}
	fmt.Fprintf(stderr, "gatehouse: %v\nSee '%s --help'.\n", err, cmd.CommandPath())
	return exitUsage
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
	root.AddCommand(serveCommand(), checkCommand(), explainCommand(), hashCommand(), healthCommand(), versionCommand())
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

// configFlag adds -c to a command. The environment is read when the command
// runs, so that help never shows what stands in it.
func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("config", "c", "", "the config `FILE` (default $GATEHOUSE_CONFIG, else gatehouse.yaml)")
}

func configPath(flag string) string {
	if flag == "" {
		flag = os.Getenv("GATEHOUSE_CONFIG")
	}
	if flag == "" {
		flag = "gatehouse.yaml"
	}
	return flag
}
