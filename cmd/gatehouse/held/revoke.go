package held

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/authn"
	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/cmd/gatehouse/assembly"
	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/tokens"
	"gatehouse/tokens/personal"
)

// Revocation is the body of POST /tokens/revoke: one of its fields is set.
type Revocation struct {
	IDs    []string `json:"ids"`    // of personal tokens
	User   string   `json:"user"`   // NAME, or DIRECTORY/NAME
	Leaked []string `json:"leaked"` // whole tokens
	Reason string   `json:"reason"` // for the audit stream, beside any of them; empty: how they were named
}

// Revoked is its answer.
type Revoked struct {
	Ended []string `json:"ended"` // ids
	None  []string `json:"none"`  // why something that was named could not be ended, as there is none such
	Not   []int    `json:"not"`   // which of Leaked could not be ended, counted from 0
}

func (o *Office) revoke(ctx context.Context, asked Revocation) (any, error) {
	done := Revoked{Ended: []string{}, None: []string{}}
	o = o.because(asked)
	err := o.Use(func(s *assembly.Snapshot) error {
		switch {
		case asked.User != "":
			return o.everything(ctx, s, asked.User, &done)
		case len(asked.Leaked) > 0:
			return o.leaked(ctx, s, asked.Leaked, &done)
		}
		return o.some(ctx, s, asked.IDs, &done)
	})
	if err == nil && len(done.Ended)+len(done.None)+len(done.Not) == 0 && asked.User == "" {
		err = personal.ErrNone
	}
	return done, fault(err)
}

// because is the office that tells why it ends things.
func (o *Office) because(asked Revocation) *Office {
	why := strings.ToValidUTF8(asked.Reason, "")
	switch {
	case why != "":
	case len(asked.Leaked) > 0:
		why = "leaked"
	case asked.User != "":
		why = "all of a person"
	default:
		why = "by its id"
	}
	return &Office{Use: o.Use, Told: func(what ...any) { o.Told(append(what, "reason", fmt.Sprintf("%.500s", why))...) }}
}

// some ends personal tokens by their ids; one that is not there keeps no other.
func (o *Office) some(ctx context.Context, s *assembly.Snapshot, ids []string, done *Revoked) error {
	for _, id := range ids {
		t, err := personal.Token{}, personal.ErrNone
		if s.Desk != nil {
			t, err = s.Desk.RevokeAny(ctx, id)
		}
		switch {
		case errors.Is(err, personal.ErrNone):
			done.None = append(done.None, fmt.Sprintf("%.100s: %v", id, err))
		case err != nil:
			return fmt.Errorf("%s: %w", id, err)
		default:
			o.toldPersonal(t)
			done.Ended = append(done.Ended, t.ID)
		}
	}
	return nil
}

// told tells of a token that was ended, with its name where it has one, or without an id of all
// that its owner was given.
func (o *Office) told(shown tokens.Credential, owner authn.Identity, name string) {
	what := []any{"user", owner.Username}
	if owner.Directory != "" {
		what = append(what, "directory", owner.Directory)
	}
	if shown.ID != "" {
		what = append(what, "credential", string(shown.Kind), "credential_id", shown.ID)
	}
	if what = append(what, "by", "admin"); name != "" {
		what = append(what, "name", name)
	}
	o.Told(what...)
}

func (o *Office) toldPersonal(t personal.Token) {
	o.told(tokens.Credential{Kind: tokens.FromPersonal, ID: t.ID}, authn.Identity{Directory: t.Owner.Directory, Username: t.Owner.Username}, t.Name)
}

// everything ends all that a person was given until now. What bears a name that nobody knows
// is ended as well: somebody may have had it before.
func (o *Office) everything(ctx context.Context, s *assembly.Snapshot, user string, done *Revoked) error {
	keep := s.Config.Tokens.Lasting()
	directory, name := personal.Person(user)
	var all []personal.Token
	var err error
	if s.Desk == nil {
		err = s.Keyring.EndPerson(ctx, directory, name, keep)
	} else {
		all, err = s.Desk.RevokeAll(ctx, user, keep)
	}
	for _, t := range all {
		o.toldPersonal(t)
		done.Ended = append(done.Ended, t.ID)
	}
	if err != nil {
		return err
	}
	o.told(tokens.Credential{}, authn.Identity{Directory: directory, Username: name}, "")
	if len(all) == 0 {
		done.None = append(done.None, unknown(ctx, s, directory, name)...)
	}
	return nil
}

// unknown says that no directory knows the name. A directory at fault may.
func unknown(ctx context.Context, s *assembly.Snapshot, directory, name string) []string {
	other, there := "", false
	for _, d := range s.Directories {
		if directory != "" && directory != d.Name {
			continue
		}
		there = true
		if d.OIDC != nil || d.Certificate != nil { // whose machines no list has
			if directory != "" {
				return nil
			}
			continue
		}
		id, err := d.Lookup.Find(ctx, name)
		switch {
		case err == nil && id.Username == name, errors.Is(err, authn.ErrHeld), err != nil && !errors.Is(err, authn.ErrUnknownUser):
			return nil
		case err == nil:
			other = fmt.Sprintf("; it is a login of %s/%s", id.Directory, id.Username)
		}
	}
	if !there {
		return []string{fmt.Sprintf("there is no directory %.100q", directory)}
	}
	return []string{fmt.Sprintf("nobody is called %.100q%s", name, other)}
}

// leaked ends what was found somewhere, whatever kind it is of.
func (o *Office) leaked(ctx context.Context, s *assembly.Snapshot, texts []string, done *Revoked) error {
	for i, text := range texts {
		l, err := s.Keyring.EndLeaked(ctx, s.Chain, authn.Secret(text))
		switch {
		case err == nil:
			o.told(l.Shown, l.Identity, "")
			done.Ended = append(done.Ended, l.Shown.ID)
		case !errors.Is(err, authn.ErrBadToken):
			return err
		default:
			done.Not = append(done.Not, i)
		}
	}
	return nil
}

// RevokeCommand is `token revoke`.
func RevokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke ID... | --user NAME | --stdin",
		Short: "End tokens at once",
		Long: "Asks the running gateway by the config's admin.socket to end personal tokens by their ids; with --user all of a\n" +
			"person, and every access token, refresh token and session that they have been given until now; with --stdin\n" +
			"leaked tokens of ours of any kind, one a line. Status 1: there is none such, or a line is none; what there is has\n" +
			"been ended all the same. 3: no gateway answers.",
		Example: "  gatehouse token revoke -c gatehouse.yaml 4fT0qLw9aZ\n  gatehouse token revoke -c gatehouse.yaml --user mozart",
	}
	path := cli.ConfigFlag(cmd)
	user := cmd.Flags().String("user", "", "everything of this person: NAME, or DIRECTORY/NAME")
	stdin := cmd.Flags().Bool("stdin", false, "read whole tokens, one a line")
	reason := cmd.Flags().String("reason", "", "why, for the audit stream")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		named := cmd.Flags().Changed("user")
		if ways := min(len(args), 1) + one(named) + one(*stdin); ways != 1 || named && strings.TrimSpace(*user) == "" {
			return errors.New("ids, --user or --stdin is needed, and one of them alone")
		}
		if *stdin {
			return revokeLeaked(cmd, *path, *reason)
		}
		for i, id := range args {
			if len(id) > longestID {
				return fmt.Errorf("argument %d is no id of a token; whole tokens are read with --stdin, where no list of processes shows them", i+1)
			}
		}
		return revoke(cmd, *path, Revocation{IDs: args, User: *user, Reason: *reason})
	}
	return cmd
}

// longestID is in bytes, that of a jti; an id of a personal token is shorter.
const longestID = 26

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

// revoke asks for one revocation, and prints what became of it.
func revoke(cmd *cobra.Command, path string, asked Revocation) error {
	var done Revoked
	err := admin.Change(cmd, path, "/tokens/revoke", asked, &done)
	for _, id := range done.Ended {
		fmt.Fprintln(cmd.OutOrStdout(), "ended", id)
	}
	switch {
	case err != nil:
		return err
	case len(done.None) > 0:
		return cli.Exit(cli.Fault, "%s", strings.Join(done.None, "\n"))
	case asked.User != "":
		fmt.Fprintln(cmd.OutOrStdout(), "ended all that was issued to", asked.User, "until now")
	}
	return nil
}

// atOnce is how many bytes of leaked tokens are sent at a time.
const atOnce = 32 << 10

// revokeLeaked ends the tokens on stdin, a few at a time. That one of them could not be ended is
// an error, which names its line alone.
func revokeLeaked(cmd *cobra.Command, path, reason string) error {
	text, err := io.ReadAll(cmd.InOrStdin())
	if err != nil {
		return cli.Exit(cli.Fault, "%w", err)
	}
	var leaked []string
	var lines []int
	seen := map[string]bool{}
	for i, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line != "" && !seen[line] {
			seen[line] = true
			leaked, lines = append(leaked, line), append(lines, i+1)
		}
	}
	var not []string
	for len(leaked) > 0 {
		n := batch(leaked)
		var done Revoked
		err := admin.Change(cmd, path, "/tokens/revoke", Revocation{Leaked: leaked[:n], Reason: reason}, &done)
		for _, id := range done.Ended {
			fmt.Fprintln(cmd.OutOrStdout(), "ended", id)
		}
		if err != nil {
			return err
		}
		for _, i := range done.Not {
			not = append(not, fmt.Sprintf("line %d: it is no token of ours that goes on", lines[i]))
		}
		leaked, lines = leaked[n:], lines[n:]
	}
	switch {
	case len(not) > 0:
		return cli.Exit(cli.Fault, "%s", strings.Join(not, "\n"))
	case len(seen) == 0:
		return cli.Exit(cli.Fault, "%w", personal.ErrNone)
	}
	return nil
}

// batch is how many of the leaked tokens are sent at a time.
func batch(leaked []string) (n int) {
	for size := 0; n < len(leaked) && (n == 0 || size+len(leaked[n]) <= atOnce); n++ {
		size += len(leaked[n]) + len(`"",`)
	}
	return n
}
