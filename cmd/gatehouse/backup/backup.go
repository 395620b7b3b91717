// Package backup is `store backup`: both ends of how an operator gets a copy of the store.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/tokens/store"
)

// route is on admin.socket.
const route = "/store/backup"

// Register adds the route, which copies the store of the gateway; nil: it has none.
func Register(routes *admin.Routes, of *store.Store) {
	routes.Get(route, func(context.Context, url.Values) (any, error) {
		if of == nil {
			return nil, &admin.Fault{Status: http.StatusNotFound, Message: "the gateway has no store"}
		}
		file, ok := of.Backend.(*store.File)
		if !ok {
			return nil, &admin.Fault{Status: http.StatusConflict, Message: "the gateway's store is no file; Redis has backups of its own"}
		}
		whole, err := file.Copy()
		if err != nil {
			return nil, &admin.Fault{Status: http.StatusServiceUnavailable, Message: err.Error()}
		}
		info, err := whole.Stat()
		if err != nil {
			return nil, errors.Join(err, whole.Close())
		}
		return &admin.Stream{ReadCloser: whole, Size: info.Size()}, nil
	})
}

// Command is `store`.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "store",
		Short:   "Copy the store",
		Example: "  gatehouse store backup -c gatehouse.yaml /var/backups/gatehouse-store.db",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return errors.New("backup is needed") },
	}
	cmd.AddCommand(backupCommand())
	return cmd
}

func backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Make a copy of the store as of one moment",
		Long: "Copies store.file to FILE, which must not be there yet, with mode 0600. A running gateway has the store to\n" +
			"itself and is asked for the copy by the config's admin.socket; without one the file is read. The copy is\n" +
			"checked before it has its name, so FILE is all of the store or not there. To bring it back, stop the\n" +
			"gateway and put it in the place of store.file. Status 1: no copy was made, 3: a gateway has the store and\n" +
			"does not answer.",
		Example: "  gatehouse store backup -c gatehouse.yaml /var/backups/gatehouse-$(date +%F).db",
		Args:    cobra.ExactArgs(1),
	}
	path := cli.ConfigFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		l, err := admin.Load(cli.ConfigPath(*path), cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		if l.StoreFile() == "" {
			return cli.Exit(cli.Fault, "%s has no store.file; what is in Redis is backed up there", l.File)
		}
		err = store.Backup(args[0], func(w io.Writer) error { return fetch(ctx, l, w) })
		var known *cli.Error
		switch {
		case errors.Is(err, fs.ErrExist):
			return cli.Exit(cli.Fault, "%s is there already, and stays as it is", args[0])
		case errors.As(err, &known):
			return &cli.Error{Status: known.Status, Err: err}
		case err != nil:
			return cli.Exit(cli.Fault, "no copy was made: %w", err)
		}
		fmt.Fprintln(cmd.OutOrStdout(), "copied to", args[0])
		return nil
	}
	return cmd
}

// fetch asks the gateway, and reads the file where none runs.
func fetch(ctx context.Context, l *config.Loaded, to io.Writer) error {
	var silent error
	if l.AdminSocket() != "" {
		silent = admin.At(l).Download(ctx, route, nil, to)
		var known *cli.Error
		if !errors.As(silent, &known) || known.Status != cli.Down || errors.As(silent, new(*admin.Fault)) {
			return silent
		}
	}
	err := store.CopyIdle(l.StoreFile(), to)
	switch {
	case !errors.Is(err, store.ErrInUse):
		return err
	case silent != nil:
		return cli.Exit(cli.Down, "%w, and %w", silent, err)
	}
	return cli.Exit(cli.Down, "%w; set admin.socket, by which a running gateway is asked for a copy, and restart it", err)
}
