package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/authn/machine"
)

// TokenCommand is the tree below token. open reads a config for inspect.
func TokenCommand(more []*cobra.Command, open func(path string) Opened) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "token",
		Short:   "Make, look at and end tokens",
		Example: "  gatehouse token new --expires 90d\n  gatehouse token inspect -c gatehouse.yaml <token.txt",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return errors.New("new, inspect, list or revoke is needed") },
	}
	cmd.AddCommand(newTokenCommand(), inspectCommand(open))
	cmd.AddCommand(more...)
	return cmd
}

func newTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Make a machine's token",
		Long: "Prints a new token on stdout, and the entry of the config that knows it on stderr. The token is shown\n" +
			"this once: the config has its hash.",
		Example: "  gatehouse token new --expires 90d >token.txt",
		Args:    cobra.NoArgs,
	}
	expires := cmd.Flags().String("expires", "90d", "when it ends: days such as 90d, a time such as 12h, a day, a moment (RFC 3339), or never")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		end, err := parseEnd(*expires, time.Now())
		if err != nil {
			return err
		}
		token := apitoken.Machine.New()
		shown, err := apitoken.Parse(token)
		if err != nil {
			return Exit(Fault, "%w", err)
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), string(token)); err != nil {
			return Exit(Fault, "%w", err)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "- hash: %q\n  expires: %s\n  note: %q\n", shown.Hash.String(), end, "id "+shown.ID)
		return nil
	}
	return cmd
}

// parseEnd reads --expires and gives it as the config writes it. Days end with a day.
func parseEnd(text string, now time.Time) (string, error) {
	switch d, err := authn.ParseSpan(text); {
	case err != nil: // a moment, or never
	case d < time.Second:
		return "", fmt.Errorf("--expires: %s is too short", d)
	case strings.HasSuffix(text, "d"):
		return now.UTC().Add(d).Format(time.DateOnly), nil
	default:
		return now.UTC().Add(d).Format(time.RFC3339), nil
	}
	var end machine.Expiry
	if err := end.UnmarshalText([]byte(text)); err != nil {
		return "", fmt.Errorf("--expires: %.100q is neither days (90d), a time (12h), a day (2027-03-01), a moment (RFC 3339) nor never", text)
	}
	if end.Ended(now) {
		return "", fmt.Errorf("--expires: %s is over", text)
	}
	return text, nil
}

// maxTokenLine is beyond what any token may have.
const maxTokenLine = 64 << 10

func inspectCommand(open func(path string) Opened) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect",
		Short: "Read a token on stdin and say what it is",
		Long: "Reads a token on stdin and says what it is, whose, and until when, as the config has it. It never prints\n" +
			"the token. Of an ID token it says which workload takes it, or for each what does not fit, and asks the\n" +
			"issuer for its keys. A client's certificate in PEM is taken too. Whether it is revoked, and whose it is, the\n" +
			"running gateway is asked by the config's admin.socket; where none runs, the store is read and the person's\n" +
			"directory asked.\nStatus 0: good, 1: not, 3: the issuer, the store or the directory is at fault, so that nothing is known.",
		Example: "  gatehouse token inspect -c gatehouse.yaml <token.txt",
		Args:    cobra.NoArgs,
	}
	path := ConfigFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxTokenLine))
		if err != nil {
			return Exit(Fault, "%w", err)
		}
		o := open(ConfigPath(*path))
		defer o.Close()
		if len(o.Faults) > 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), strings.Join(o.Faults, "\n"))
			return Exit(Fault, "the config has %d fault(s), so nothing can be said", len(o.Faults))
		}
		v := o.inspect(cmd.Context(), authn.Secret(strings.TrimSpace(string(text))))
		v.print(cmd.OutOrStdout())
		if v.Note != "" {
			fmt.Fprintln(cmd.ErrOrStderr(), "note:", v.Note)
		}
		switch {
		case v.Down:
			return &Error{Status: Down}
		case v.Reason != "":
			return &Error{Status: Fault}
		}
		return nil
	}
	return cmd
}
