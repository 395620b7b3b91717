package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/authn"
	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/cmd/gatehouse/assembly"
	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/cmd/gatehouse/question"
)

func explainCommand() *cobra.Command {
	e := &explainer{}
	cmd := &cobra.Command{
		Use:   "explain {USER | --machine DIRECTORY/NAME [--claim NAME=VALUE]...} ACTION REPO[:TAG]",
		Short: "Say whether somebody may do something, and which rule decides",
		Long: "Asks the policy. USER is looked up in the directories; with --group or --directory none is asked and\n" +
			"the identity is what the flags say. USER - is the anonymous caller. With --machine USER is\n" +
			"left out; --claim says what its ID token or its certificate would show, of which nothing is proven.\n" +
			"ACTION is pull, push, delete, or a half of push: create (what is new) or overwrite (a tag that names\n" +
			"something else); push asks for both. --at asks as of another time: RFC 3339, or a day, of which it is\n" +
			"the first moment (UTC). --admin asks the running gateway, by the config's admin.socket, instead of the config.\n" +
			"Status 0: allowed, 1: denied, 3: a directory is at fault, or with --admin no gateway answers.",
		Example: "  gatehouse explain -c gatehouse.yaml mozart push anyuser/busybox:latest\n" +
			"  gatehouse explain -c gatehouse.yaml --group release --ip 10.1.2.3 bach delete prod/app:v1\n" +
			"  gatehouse explain -c gatehouse.yaml --machine robots/jenkins push ci/app\n" +
			"  gatehouse explain -c gatehouse.yaml --machine github/octo-org/app --claim repository=octo-org/app --claim ref=refs/heads/main push ci/app",
		Args: func(cmd *cobra.Command, args []string) error { return cobra.ExactArgs(e.arguments())(cmd, args) },
	}
	path := cli.ConfigFlag(cmd)
	cmd.Flags().StringArrayVar(&e.Groups, "group", nil, "a group of the user, by name or full DN (repeatable)")
	cmd.Flags().StringVar(&e.Directory, "directory", "", "the user's directory")
	cmd.Flags().StringVar(&e.Machine, "machine", "", "a machine, as `DIRECTORY/NAME`, instead of USER")
	cmd.Flags().StringArrayVar(&e.Claims, "claim", nil, "a claim of the machine, as `NAME=VALUE` (repeatable)")
	cmd.Flags().StringVar(&e.IP, "ip", "", "the client's address")
	cmd.Flags().StringVar(&e.At, "at", "", "the time, such as 2026-12-01T08:00:00Z (default now)")
	cmd.Flags().BoolVar(&e.admin, "admin", false, "ask the running gateway")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := e.parse(args); err != nil {
			return err
		}
		answer, err := e.ask(cmd.Context(), cli.ConfigPath(*path), cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		answer.Print(cmd.OutOrStdout())
		if !answer.Allowed {
			return &cli.Error{Status: cli.Fault}
		}
		return nil
	}
	return cmd
}

// explainer is one question.
type explainer struct {
	question.Question
	admin bool // the running gateway is asked
}

// arguments is how many there have to be.
func (e *explainer) arguments() int {
	if e.Machine != "" {
		return 2
	}
	return 3
}

// parse checks the arguments; an error is wrong usage.
func (e *explainer) parse(args []string) error {
	if e.Machine == "" {
		e.User, args = args[0], args[1:]
	}
	e.Action, e.Ref = args[0], args[1]
	_, err := e.Parse()
	return ofFlag(err)
}

// ofFlag names the flag that an error is of.
func ofFlag(err error) error {
	var flag *authn.KeyError
	if errors.As(err, &flag) {
		return fmt.Errorf("--%s: %w", flag.Key, flag.Err)
	}
	return err
}

func (e *explainer) ask(ctx context.Context, path string, errs io.Writer) (answer question.Answer, err error) {
	if e.admin {
		client, err := admin.Open(path, errs)
		if err != nil {
			return answer, err
		}
		return answer, client.Get(ctx, "/explain", e.Query(), &answer)
	}
	s := assembly.Look(path)
	defer s.Release()
	if faults := e.relevant(s.Loaded); len(faults) > 0 {
		config.Print(errs, faults)
		return answer, cli.Exit(cli.Fault, "the config has %d fault(s), so nothing can be said", len(faults))
	}
	answer, err = e.Ask(ctx, sourceOf(s))
	if errors.Is(err, question.ErrDirectory) {
		return answer, cli.Exit(cli.Down, "%w", err)
	}
	return answer, ofFlag(err)
}

// relevant are the faults that keep the question from being answered: all of the
// config's own, but of the files that it names only those that the directories need,
// so that who may not read the keys can ask too.
func (e *explainer) relevant(l *config.Loaded) []config.Finding {
	return slices.DeleteFunc(l.Faults(), func(f config.Finding) bool {
		return f.Content && (e.Described() || !strings.HasPrefix(f.Key, "directories["))
	})
}

func sourceOf(s *assembly.Snapshot) question.Source {
	return question.Source{Policy: s.Policy, Find: s.Chain.Find, FindMachine: s.FindMachine, Directories: s.Config.DirectoryNames()}
}

// explain is GET /explain: what the command says, of the policy of the moment.
func (s *server) explain(ctx context.Context, query url.Values) (any, error) {
	q, err := question.FromQuery(query)
	if err != nil {
		return nil, admin.Wrong(err)
	}
	sn := s.acquire()
	defer sn.Release()
	answer, err := q.Ask(ctx, sourceOf(sn))
	key := new(authn.KeyError)
	switch {
	case errors.Is(err, question.ErrDirectory):
		return nil, &admin.Fault{Status: http.StatusServiceUnavailable, Message: err.Error()}
	case errors.As(err, &key):
		return nil, admin.Wrong(fmt.Errorf("%s: %w", key.Key, key.Err))
	case err != nil:
		return nil, admin.Wrong(err)
	}
	return answer, nil
}
