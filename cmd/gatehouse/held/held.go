// Package held is what an operator does with the tokens that people hold: both ends of
// `token list` and `token revoke` over admin.socket.
package held

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/cmd/gatehouse/assembly"
	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/tokens/personal"
	"gatehouse/tokens/store"
)

// sessions is how long a session of the pages lasts at most.
const sessions = 31 * 24 * time.Hour

// Listed is a token in the answer of GET /tokens.
type Listed struct {
	personal.Token
	User string `json:"user"` // DIRECTORY/NAME
}

// Revocation is the body of POST /tokens/revoke: one of its fields is set.
type Revocation struct {
	IDs    []string `json:"ids"`    // of personal tokens
	User   string   `json:"user"`   // NAME, or DIRECTORY/NAME
	Leaked []string `json:"leaked"` // whole tokens
}

// Revoked is its answer.
type Revoked struct {
	Ended []string `json:"ended"` // ids
}

// Office answers for a running gateway.
type Office struct {
	// Use calls with the snapshot of the moment.
	Use func(func(*assembly.Snapshot) error) error
	// Told is called for each personal token that was ended.
	Told func(personal.Token)
}

// Serve adds the routes.
func (o *Office) Serve(rs *admin.Routes) {
	rs.Get("/tokens", o.list)
	rs.Get(inspectPath, o.inspect)
	admin.Post(rs, "/tokens/revoke", o.revoke)
}

// inspectPath is where a personal token is judged, by its `id` and `hash`; the answer is a
// cli.Personal.
const inspectPath = "/tokens/inspect"

func (o *Office) inspect(ctx context.Context, query url.Values) (any, error) {
	hash, err := apitoken.ParseHash(query.Get("hash"))
	if err != nil {
		return nil, admin.Wrong(err)
	}
	var p cli.Personal
	err = o.Use(func(s *assembly.Snapshot) (err error) {
		p, err = judge(ctx, s, apitoken.Token{Kind: apitoken.Personal, ID: query.Get("id"), Hash: hash})
		return err
	})
	return p, fault(err)
}

// judge is what the store says of a token, and what is revoked. An error is the store's.
func judge(ctx context.Context, s *assembly.Snapshot, shown apitoken.Token) (p cli.Personal, err error) {
	if s.Desk == nil {
		return cli.Personal{Reason: "personal tokens are off"}, nil
	}
	h, err := s.Desk.Find(ctx, shown)
	owner := authn.Identity{Directory: h.Owner.Directory, Username: h.Owner.Username}
	if err == nil {
		err = s.Keyring.AdmitToken(owner, h.ID)
	}
	if errors.Is(err, authn.ErrBadToken) {
		p.Reason, err = err.Error(), nil
	}
	if err != nil || h.ID == "" {
		return p, err
	}
	p.User, p.Created, p.Repositories, p.Actions = owner.Directory+"/"+owner.Username, h.Made, h.Ceiling.Repositories(), h.Ceiling.Actions()
	if !h.Ends.IsZero() {
		p.Expires = &h.Ends
	}
	return p, nil
}

func (o *Office) list(ctx context.Context, query url.Values) (any, error) {
	within, err := time.ParseDuration(query.Get("expiring"))
	if query.Has("expiring") && err != nil {
		return nil, admin.Wrong(err)
	}
	list := []Listed{}
	err = o.Use(func(s *assembly.Snapshot) error {
		if s.Desk == nil {
			return nil
		}
		all, err := s.Desk.All(ctx, query.Get("user"))
		for _, t := range all {
			if !query.Has("expiring") || t.Ended(time.Now().Add(within)) {
				list = append(list, Listed{t, t.Owner.Directory + "/" + t.Owner.Username})
			}
		}
		return err
	})
	return list, fault(err)
}

func (o *Office) revoke(ctx context.Context, asked Revocation) (any, error) {
	done := Revoked{Ended: []string{}}
	err := o.Use(func(s *assembly.Snapshot) (err error) {
		switch {
		case asked.User != "":
			done.Ended, err = o.everything(ctx, s, asked.User)
			return err
		case len(asked.Leaked) > 0:
			done.Ended, err = leaked(ctx, s, asked.Leaked)
			return err
		}
		done.Ended, err = o.some(ctx, s, asked.IDs)
		return err
	})
	if err == nil && len(done.Ended) == 0 && asked.User == "" {
		err = personal.ErrNone
	}
	return done, fault(err)
}

// some ends personal tokens by their ids.
func (o *Office) some(ctx context.Context, s *assembly.Snapshot, ids []string) (ended []string, err error) {
	for _, id := range ids {
		if s.Desk == nil {
			return nil, personal.ErrNone
		}
		t, err := s.Desk.RevokeAny(ctx, id)
		if err != nil {
			return ended, fmt.Errorf("%s: %w", id, err)
		}
		o.Told(t)
		ended = append(ended, t.ID)
	}
	return ended, nil
}

// everything ends all that a person was given until now.
func (o *Office) everything(ctx context.Context, s *assembly.Snapshot, user string) ([]string, error) {
	ended := []string{}
	keep := max(s.Config.Tokens.Longest(), sessions)
	if s.Desk == nil {
		directory, name := personal.Person(user)
		return ended, s.Keyring.EndPerson(ctx, directory, name, keep)
	}
	all, err := s.Desk.RevokeAll(ctx, user, keep)
	for _, t := range all {
		o.Told(t)
		ended = append(ended, t.ID)
	}
	return ended, err
}

// leaked ends what was found somewhere, whatever kind it is of.
func leaked(ctx context.Context, s *assembly.Snapshot, texts []string) (ended []string, err error) {
	for _, text := range texts {
		l, err := s.Keyring.EndToken(ctx, s.Chain, authn.Attempt{Password: authn.Secret(text)})
		switch {
		case err == nil:
			ended = append(ended, l.Shown.ID)
		case !errors.Is(err, authn.ErrBadToken):
			return ended, err
		}
	}
	return ended, nil
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
		Long:    "Asks the running gateway by the config's admin.socket. Status 3: no gateway answers.",
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

// RevokeCommand is `token revoke`.
func RevokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke ID... | --user NAME | --stdin",
		Short: "End tokens at once",
		Long: "Asks the running gateway by the config's admin.socket to end personal tokens by their ids; with --user all of a\n" +
			"person, and every access token, refresh token and session that they have been given until now; with --stdin\n" +
			"leaked tokens of any kind, one a line. Status 1: there is none such, 3: no gateway answers.",
		Example: "  gatehouse token revoke -c gatehouse.yaml 4fT0qLw9aZ\n  gatehouse token revoke -c gatehouse.yaml --user mozart",
	}
	path := cli.ConfigFlag(cmd)
	user := cmd.Flags().String("user", "", "everything of this person: NAME, or DIRECTORY/NAME")
	stdin := cmd.Flags().Bool("stdin", false, "read whole tokens, one a line")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		asked := Revocation{IDs: args, User: *user}
		if *stdin {
			for lines := bufio.NewScanner(cmd.InOrStdin()); lines.Scan(); {
				if text := strings.TrimSpace(lines.Text()); text != "" {
					asked.Leaked = append(asked.Leaked, text)
				}
			}
		}
		if ways := min(len(args), 1) + min(len(*user), 1); ways > 1 || ways == 1 && *stdin || ways == 0 && !*stdin {
			return errors.New("ids, --user or --stdin is needed, and one of them alone")
		}
		var done Revoked
		err := admin.Change(cmd, *path, "/tokens/revoke", asked, &done)
		for _, id := range done.Ended {
			fmt.Fprintln(cmd.OutOrStdout(), "ended", id)
		}
		return err
	}
	return cmd
}
