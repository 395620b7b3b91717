package admin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/cli"
)

// FreezeRequest is the body of POST /freeze.
type FreezeRequest struct {
	Reason       string   `json:"reason"`       // for people, in refusals
	Repositories []string `json:"repositories"` // patterns; empty: all
	Until        string   `json:"until"`        // a time as in a rule, of a day its last moment; empty: the thaw
}

// FreezeAnswer is what became of it, or of a thaw.
type FreezeAnswer struct {
	Text   string `json:"text"`   // the order in one line
	Stored bool   `json:"stored"` // it outlives the process
	// Running: pushes that were let through before still are; after a thaw it says nothing.
	Running bool `json:"running,omitempty"`
	// Others: gateways that share the store may still run such, which this one cannot see.
	Others bool `json:"others,omitempty"`
	// Before is the order that it takes the place of, in one line; empty: nothing was frozen.
	Before string `json:"before,omitempty"`
}

// FreezeCommand is `freeze`.
func FreezeCommand() *cobra.Command {
	var asked FreezeRequest
	cmd := &cobra.Command{
		Use:   "freeze --reason TEXT",
		Short: "Stop pushes and deletes for a time, and nothing else",
		Long: "Makes the running gateway, which is asked by the config's admin.socket, refuse pushes and deletes with the\n" +
			"reason: for a registry's garbage collection, a move, an incident. Pulls go on, and so do requests that run\n" +
			"already and uploads that have begun; a manifest is refused. It waits, 10 s at most, until manifests that were\n" +
			"let through before are answered, by this gateway alone where several share a store. thaw ends it, and another\n" +
			"freeze takes its place.\n" +
			"Status 3: no gateway answers.",
		Example: "  gatehouse freeze -c gatehouse.yaml --reason 'garbage collection until noon' --until 2026-12-01T12:00:00Z\n" +
			"  gatehouse freeze -c gatehouse.yaml --reason 'moving to another registry' --repositories 'prod/**'",
		Args: cobra.NoArgs,
	}
	path := cli.ConfigFlag(cmd)
	cmd.Flags().StringVar(&asked.Reason, "reason", "", "what whoever is refused is shown; required")
	cmd.Flags().StringArrayVar(&asked.Repositories, "repositories", nil, "a `PATTERN` of repositories to be frozen (repeatable; default all)")
	cmd.Flags().StringVar(&asked.Until, "until", "", "when it ends by itself: RFC 3339, or a day, with its end (UTC)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if strings.TrimSpace(asked.Reason) == "" {
			return errors.New("--reason is needed: whoever is refused is shown it")
		}
		answer, err := change(cmd, *path, "/freeze", asked)
		if err == nil && !answer.Stored {
			fmt.Fprintln(cmd.ErrOrStderr(), "the gateway has no store, so this ends with its process, and other gateways know nothing of it")
		}
		if answer.Before != "" {
			fmt.Fprintln(cmd.ErrOrStderr(), "it takes the place of another, which counts no more:", answer.Before)
		}
		if answer.Running {
			fmt.Fprintln(cmd.ErrOrStderr(), "pushes that were let through before still run; wait until gatehouse_http_requests_in_flight falls before garbage is collected")
		}
		if answer.Others {
			fmt.Fprintln(cmd.ErrOrStderr(), "other gateways share the store: pushes that they let through before may still run; wait until gatehouse_http_requests_in_flight falls there too before garbage is collected")
		}
		return err
	}
	return cmd
}

// ThawCommand is `thaw`.
func ThawCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "thaw",
		Short:   "End a freeze",
		Long:    "Lets the running gateway take pushes and deletes again. Status 1: nothing is frozen, 3: no gateway answers.",
		Example: "  gatehouse thaw -c gatehouse.yaml",
		Args:    cobra.NoArgs,
	}
	path := cli.ConfigFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		_, err := change(cmd, *path, "/thaw", struct{}{})
		return err
	}
	return cmd
}

// change asks for it and prints what became of it.
func change(cmd *cobra.Command, path, route string, body any) (answer FreezeAnswer, err error) {
	if err = Change(cmd, path, route, body, &answer); err == nil {
		fmt.Fprintln(cmd.OutOrStdout(), answer.Text)
	}
	return answer, err
}
