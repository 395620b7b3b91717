// Package cli is what the commands share, their exit statuses and the flag of the
// config, and those commands that need no gateway.
package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// Exit statuses of the contract.
const (
	OK    = 0 // done, allowed, good
	Fault = 1 // could not start, faults found, denied, not ready
	Usage = 2 // wrong usage
	Down  = 3 // a directory at fault, or no gateway answers
)

// Error ends the process with a status; its text, where there is one, goes
// to stderr. Any other error that a command returns is wrong usage.
type Error struct {
	// Status is the exit status.
	Status int
	// Err is what stderr is told; nil: nothing.
	Err error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

// Unwrap is the error whose text it has.
func (e *Error) Unwrap() error { return e.Err }

// Exit is an Error with a text.
func Exit(status int, format string, args ...any) error {
	return &Error{status, fmt.Errorf(format, args...)}
}

// ConfigFlag adds -c to a command. The environment is read when the command
// runs, so that help never shows what stands in it.
func ConfigFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("config", "c", "", "the config `FILE` (default $GATEHOUSE_CONFIG, else gatehouse.yaml)")
}

// ConfigPath is the config that the flag, the environment or nobody names.
func ConfigPath(flag string) string {
	if flag == "" {
		flag = os.Getenv("GATEHOUSE_CONFIG")
	}
	if flag == "" {
		flag = "gatehouse.yaml"
	}
	return flag
}
