package main

import (
	"fmt"
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
