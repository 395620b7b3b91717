// Package held is what an operator does with the tokens that people hold: both ends of
// `token list` and `token revoke` over admin.socket.
package held

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/authn"
	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/cmd/gatehouse/assembly"
	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/tokens/personal"
	"gatehouse/tokens/store"
)

// Listed is a token in the answer of GET /tokens.
type Listed struct {
	personal.Token
	User string `json:"user"` // DIRECTORY/NAME
}

// Office answers for a running gateway.
type Office struct {
	// Use calls with the snapshot of the moment.
	Use func(func(*assembly.Snapshot) error) error
	// Told is called for each thing that was ended, with what the audit stream has of it: names
	// and values in turn.
	Told func(what ...any)
}

// Serve adds the routes.
func (o *Office) Serve(rs *admin.Routes) {
	rs.Get("/tokens", o.list)
	admin.Post(rs, inspectPath, o.inspect)
	admin.Post(rs, "/tokens/revoke", o.revoke)
}

func (o *Office) list(ctx context.Context, query url.Values) (any, error) {
	within, err := time.ParseDuration(query.Get("expiring"))
	if query.Has("expiring") && err != nil {
		return nil, admin.Wrong(err)
	}
	list, user, now := []Listed{}, query.Get("user"), time.Now()
	err = o.Use(func(s *assembly.Snapshot) error {
		if s.Desk == nil {
			return nil
		}
		all, err := s.Desk.All(ctx, user)
		for _, t := range all {
			if !query.Has("expiring") || t.Ended(now.Add(within)) && !t.Ended(now) {
				list = append(list, Listed{t, t.Owner.Directory + "/" + t.Owner.Username})
			}
		}
		if err == nil && user != "" && len(all) == 0 {
			err = nobody(ctx, s, user)
		}
		return err
	})
	return list, fault(err)
}

// nobody is the error where no directory knows the person.
func nobody(ctx context.Context, s *assembly.Snapshot, user string) error {
	directory, name := personal.Person(user)
	if said := unknown(ctx, s, directory, name); len(said) > 0 {
		return &admin.Fault{Status: http.StatusNotFound, Message: strings.Join(said, "\n")}
	}
	return nil
}

// fault gives an error its status.
func fault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, personal.ErrNone):
		return &admin.Fault{Status: http.StatusNotFound, Message: err.Error()}
	}
	if errors.Is(err, store.ErrUnavailable) {
		return &admin.Fault{Status: http.StatusServiceUnavailable, Message: err.Error()}
	}
	return err
}

// ListCommand is `token list`.
func ListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List people's tokens, without secrets",
		Long:    "Asks the running gateway by the config's admin.socket. Status 1: nobody is called so. 3: no gateway answers.",
		Example: "  gatehouse token list -c gatehouse.yaml --user mozart",
		Args:    cobra.NoArgs,
	}
	path := cli.ConfigFlag(cmd)
	user := cmd.Flags().String("user", "", "of this person alone: NAME, or DIRECTORY/NAME")
	expiring := cmd.Flags().String("expiring", "", "those alone that end within a time, such as 14d or 12h")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		query := url.Values{}
		if *user != "" {
			query.Set("user", *user)
		}
		if *expiring != "" {
			within, err := authn.ParseSpan(*expiring)
			if err != nil {
				return fmt.Errorf("--expiring: %w", err)
			}
			query.Set("expiring", within.String())
		}
		var list []Listed
		err := admin.Ask(cmd, *path, "/tokens", query, &list)
		for _, t := range list {
			fmt.Fprintln(cmd.OutOrStdout(), line(t))
		}
		return err
	}
	return cmd
}

func line(t Listed) string {
	ends, used := "never", "never"
	if t.Expires != nil {
		ends = t.Expires.Format(time.RFC3339)
	}
	if t.LastUsed != nil {
		used = t.LastUsed.Format(time.RFC3339) + " from " + t.LastNetwork
	}
	return fmt.Sprintf("%s  %s  %q  ends %s  used %s  %s %s", t.ID, t.User, t.Name, ends, used, strings.Join(t.Actions, ","), strings.Join(t.Repositories, " "))
}
