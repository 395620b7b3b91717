package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"gatehouse/authn"
)

const maxPasswordLine = 4096

// HashCommand is hash-password.
func HashCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "hash-password",
		Short:   "Read a password on stdin and print a hash for password_hash",
		Long:    "Reads one line on stdin, without echo on a terminal, cuts its newline and prints a hash for\nthe config's password_hash.",
		Example: "  gatehouse hash-password\n  printf '%s\\n' \"$PASSWORD\" | gatehouse hash-password",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			password, err := readPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return Exit(Fault, "%w", err)
			}
			hash, err := authn.HashPassword(password)
			if err != nil {
				return Exit(Fault, "%w", err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), hash)
			return nil
		},
	}
}

// readPassword reads one line. An empty one is refused: its hash would let
// everybody in who presses return.
func readPassword(in io.Reader, prompt io.Writer) (authn.Secret, error) {
	line, err := readLine(in, prompt)
	switch {
	case err != nil:
		return "", err
	case len(line) > maxPasswordLine:
		return "", fmt.Errorf("the password is longer than %d bytes", maxPasswordLine)
	case line == "":
		return "", errors.New("the password is empty")
	}
	return authn.Secret(line), nil
}

func readLine(in io.Reader, prompt io.Writer) (string, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(prompt, "Password: ")
		line, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(prompt)
		return string(line), err
	}
	line, err := bufio.NewReader(io.LimitReader(in, maxPasswordLine+2)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
}
