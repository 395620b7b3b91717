package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/assembly"
	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/cmd/gatehouse/question"
)

func explainCommand() *cobra.Command {
	e := &explainer{}
	cmd := &cobra.Command{
		Use:   "explain {USER | --machine DIRECTORY/NAME} ACTION REPO[:TAG]",
		Short: "Say whether somebody may do something, and which rule decides",
		Long: "Asks the policy. USER is looked up in the directories; with --group or --directory none is asked and\n" +
			"the identity is what the flags say. USER - is the anonymous caller. With --machine USER is\n" +
			"left out. ACTION is pull, push, delete, or a half of push: create (what is new) or overwrite (a tag that names something else); push\n" +
			"asks for both. --at asks as of another time: RFC 3339, or a day, of which it is the first moment (UTC).\n" +
			"Status 0: allowed, 1: denied, 3: a directory is at fault.",
		Example: "  gatehouse explain -c gatehouse.yaml mozart push anyuser/busybox:latest\n" +
			"  gatehouse explain -c gatehouse.yaml --group release --ip 10.1.2.3 bach delete prod/app:v1\n" +
			"  gatehouse explain -c gatehouse.yaml --machine robots/jenkins push ci/app",
		Args: func(cmd *cobra.Command, args []string) error { return cobra.ExactArgs(e.arguments())(cmd, args) },
	}
	path := cli.ConfigFlag(cmd)
	cmd.Flags().StringArrayVar(&e.Groups, "group", nil, "a group of the user, by name or full DN (repeatable)")
	cmd.Flags().StringVar(&e.Directory, "directory", "", "the user's directory")
	cmd.Flags().StringVar(&e.machine, "machine", "", "a machine, as `DIRECTORY/NAME`, instead of USER")
	cmd.Flags().StringVar(&e.IP, "ip", "", "the client's address")
	cmd.Flags().StringVar(&e.At, "at", "", "the time, such as 2026-12-01T08:00:00Z (default now)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := e.parse(args); err != nil {
			return err
		}
		return e.run(cmd.Context(), cli.ConfigPath(*path), cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// explainer is one question.
type explainer struct {
	question.Question
	machine string // instead of a user
	asked   question.Asked
}

// arguments is how many there have to be.
func (e *explainer) arguments() int {
	if e.machine != "" {
		return 2
	}
	return 3
}

// parse checks the arguments; an error is wrong usage.
func (e *explainer) parse(args []string) (err error) {
	if e.machine != "" {
		if e.Described() {
			return errors.New("--machine stands without --group and --directory: the config has its groups")
		}
		args = append([]string{e.machine}, args...)
	}
	e.User, e.Action, e.Ref = args[0], args[1], args[2]
	var flag *authn.KeyError
	if e.asked, err = e.Parse(); errors.As(err, &flag) {
		return fmt.Errorf("--%s: %w", flag.Key, flag.Err)
	}
	return err
}

func (e *explainer) run(ctx context.Context, path string, out, errs io.Writer) error {
	s := assembly.Look(path)
	defer s.Release()
	l := s.Loaded
	if faults := e.relevant(l); len(faults) > 0 {
		printFindings(errs, faults)
		return cli.Exit(cli.Fault, "the config has %d fault(s), so nothing can be said", len(faults))
	}
	if e.Directory != "" && !slices.ContainsFunc(l.Config.Directories, func(d config.Directory) bool { return d.Name == e.Directory }) {
		return fmt.Errorf("--directory: the config has no directory %q", config.Clip(e.Directory))
	}
	id, err := e.identity(ctx, s)
	switch {
	case errors.Is(err, authn.ErrUnknownUser):
		kind := "user"
		if e.machine != "" {
			kind = "machine"
		}
		fmt.Fprintf(out, "denied\nrule: none\n%s: %s is unknown (%s)\n", kind, printable(config.Clip(e.User)), printable(err.Error()))
		return &cli.Error{Status: cli.Fault}
	case err != nil:
		return cli.Exit(cli.Down, "a directory is at fault, so nothing is known of %s: %w", config.Clip(e.User), err)
	}
	return e.answer(out, s.Policy, id)
}

// relevant are the faults that keep the question from being answered: all of the
// config's own, but of the files that it names only those that the directories need,
// so that who may not read the keys can ask too.
func (e *explainer) relevant(l *config.Loaded) []config.Finding {
	return slices.DeleteFunc(l.Faults(), func(f config.Finding) bool {
		return f.Content && (e.Described() || !strings.HasPrefix(f.Key, "directories["))
	})
}

func (e *explainer) identity(ctx context.Context, s *assembly.Snapshot) (authn.Identity, error) {
	if e.machine != "" {
		return s.FindMachine(ctx, e.machine)
	}
	if e.User == "-" || e.Described() {
		return e.asked.Identity, nil
	}
	ctx, cancel := context.WithTimeout(ctx, onlineLimit)
	defer cancel()
	return s.Chain.Find(ctx, e.User)
}

func (e *explainer) answer(out io.Writer, p *authz.Policy, id authn.Identity) error {
	x := p.Explain(id, e.asked.Request)
	verdict, rule := "denied", x.Rule
	if x.Allowed {
		verdict = "allowed"
	}
	if rule == "" {
		rule = "none"
	}
	fmt.Fprintf(out, "%s\nrule: %s\n", verdict, rule)
	printIdentity(out, id)
	for _, c := range x.Conditions {
		fmt.Fprintf(out, "condition: %s\n", printable(c))
	}
	if !x.Allowed {
		return &cli.Error{Status: cli.Fault}
	}
	return nil
}
