// Package migrate writes a config from what other programs are configured by. What
// means something else here, or has no counterpart, is told with the line that it stands
// on; a right is never wider in silence.
package migrate

import (
	"errors"
	"os"

	"github.com/spf13/cobra"
)

// Command is migrate with a command for each kind of file.
func Command() *cobra.Command {
	migrate := &cobra.Command{
		Use: "migrate", Short: "Write a config from another program's", Args: cobra.NoArgs,
		Example: "  gatehouse migrate htpasswd /etc/registry/htpasswd -o gatehouse",
		RunE:    func(*cobra.Command, []string) error { return errors.New("a kind of file is needed") },
	}
	migrate.AddCommand(kind("htpasswd", "Write a config from an htpasswd file", htpasswd),
		kind("docker-auth", "Write a config from one of docker_auth", dockerAuth))
	return migrate
}

// kind is the command of one kind of file.
func kind(name, short string, read func(file string, text []byte) (*result, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use: name + " FILE", Short: short, Args: cobra.ExactArgs(1),
		Long:    short + ". What is lost or means something else is told on\nstderr; the status is 1 then, and the files are written all the same.",
		Example: "  gatehouse migrate " + name + " FILE -o gatehouse && gatehouse check -c gatehouse/" + ConfigName,
	}
	folder := cmd.Flags().StringP("output", "o", ".", "the `DIR` to write to")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		r, err := read(args[0], text)
		if err != nil {
			return err
		}
		if err := r.write(*folder); err != nil {
			return err
		}
		return r.tell(cmd.ErrOrStderr())
	}
	return cmd
}
