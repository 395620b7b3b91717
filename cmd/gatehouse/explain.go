package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
	"github.com/spf13/cobra"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/config"
)

func explainCommand() *cobra.Command {
	e := &explainer{}
	cmd := &cobra.Command{
		Use:   "explain USER ACTION REPO[:TAG]",
		Short: "Say whether somebody may do something, and which rule decides",
		Long: "Asks the policy. USER is looked up in the directories; with --group or --directory none is asked and\n" +
			"the identity is what the flags say. USER - is the anonymous caller. ACTION is pull, push,\n" +
			"delete, or a half of push: create (what is new) or overwrite (a tag that names something else); push\n" +
			"asks for both. --at asks as of another time: RFC 3339, or a day, of which it is the first moment (UTC).\n" +
			"Status 0: allowed, 1: denied, 3: a directory is at fault.",
		Example: "  gatehouse explain -c gatehouse.yaml mozart push anyuser/busybox:latest\n" +
			"  gatehouse explain -c gatehouse.yaml --group release --ip 10.1.2.3 bach delete prod/app:v1",
		Args: cobra.ExactArgs(3),
	}
	path := configFlag(cmd)
	cmd.Flags().StringArrayVar(&e.groups, "group", nil, "a group of the user, by name or full DN (repeatable)")
	cmd.Flags().StringVar(&e.directory, "directory", "", "the user's directory")
	cmd.Flags().StringVar(&e.ip, "ip", "", "the client's address")
	cmd.Flags().StringVar(&e.at, "at", "", "the time, such as 2026-12-01T08:00:00Z (default now)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := e.parse(args); err != nil {
			return err
		}
		return e.run(cmd.Context(), configPath(*path), cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// explainer is one question.
type explainer struct {
	groups    []string
	directory string
	ip        string
	at        string

	user    string
	request authz.Request
	tagged  bool

	memberOf []authn.Group // groups, read
}

// parse checks the arguments; an error is wrong usage.
func (e *explainer) parse(args []string) error {
	e.user = args[0]
	if authn.NormalizeName(e.user) == "" {
		return errors.New("USER is empty; - is the anonymous caller")
	}
	if e.user == "-" && e.described() {
		return errors.New("the anonymous caller (-) has no groups and no directory")
	}
	switch action := authz.Action(args[1]); action {
	case authz.Pull, authz.Push, authz.Delete, authz.Create, authz.Overwrite:
		e.request.Action = action
	default:
		return fmt.Errorf("ACTION must be pull, push, create, overwrite or delete, not %q", config.Clip(args[1]))
	}
	repository, tag, tagged := strings.Cut(args[2], ":")
	if e.request.Repository = repository; !authz.ValidRepository(repository) {
		return fmt.Errorf("%q is not a repository name", config.Clip(repository))
	}
	if e.tagged = tagged; tagged && !authz.ValidTag(tag) {
		return fmt.Errorf("%q is not a tag", config.Clip(tag))
	}
	if tagged {
		e.request.Tags = []string{tag}
	}
	return e.parseFlags()
}

func (e *explainer) parseFlags() error {
	if e.ip != "" {
		addr, err := netip.ParseAddr(e.ip)
		if err != nil {
			return fmt.Errorf("--ip: %q is not an address", config.Clip(e.ip))
		}
		e.request.Source = addr.Unmap().WithZone("")
	}
	if e.at != "" {
		var err error
		if e.request.At, _, err = authz.ParseTime(e.at); err != nil {
			return fmt.Errorf("--at: %w", err)
		}
	}
	for _, text := range e.groups {
		group, err := groupNamed(text)
		if err != nil {
			return err
		}
		e.memberOf = append(e.memberOf, group)
	}
	return nil
}

// described says that flags give the identity.
func (e *explainer) described() bool { return len(e.groups) > 0 || e.directory != "" }

func (e *explainer) run(ctx context.Context, path string, out, errs io.Writer) error {
	s := prepare(path, &lasting{logger: slog.New(slog.DiscardHandler)}, nil)
	defer s.release()
	l := s.loaded
	if faults := e.relevant(l); len(faults) > 0 {
		printFindings(errs, faults)
		return exit(exitFault, "the config has %d fault(s), so nothing can be said", len(faults))
	}
	if e.directory != "" && !slices.ContainsFunc(l.Config.Directories, func(d config.Directory) bool { return d.Name == e.directory }) {
		return fmt.Errorf("--directory: the config has no directory %q", config.Clip(e.directory))
	}
	id, err := e.identity(ctx, s)
	switch {
	case errors.Is(err, authn.ErrUnknownUser):
		fmt.Fprintf(out, "denied\nrule: none\nuser: %s is unknown (%s)\n", printable(config.Clip(e.user)), printable(err.Error()))
		return &exitError{status: exitFault}
	case err != nil:
		return exit(exitDown, "a directory is at fault, so nothing is known of %s: %w", config.Clip(e.user), err)
	}
	return e.answer(out, s.policy, id)
}

// relevant are the faults that keep the question from being answered: all of the
// config's own, but of the files that it names only those that the directories need,
// so that who may not read the keys can ask too.
func (e *explainer) relevant(l *config.Loaded) []config.Finding {
	return slices.DeleteFunc(l.Faults(), func(f config.Finding) bool {
		return f.Content && (e.described() || !strings.HasPrefix(f.Key, "directories["))
	})
}

func (e *explainer) identity(ctx context.Context, s *snapshot) (authn.Identity, error) {
	switch {
	case e.user == "-":
		return authn.Identity{}, nil
	case !e.described():
		ctx, cancel := context.WithTimeout(ctx, onlineLimit)
		defer cancel()
		return s.chain.Find(ctx, e.user)
	}
	id := authn.Identity{Directory: noDirectory, Username: authn.NormalizeName(e.user), Groups: e.memberOf}
	if e.directory != "" {
		id.Directory = e.directory
	}
	return id, nil
}

// groupNamed is a group by its name or its full DN, told apart and spelled as in a
// rule: a `=` before any slash makes a DN.
func groupNamed(text string) (authn.Group, error) {
	if first, _, _ := strings.Cut(text, "/"); !strings.Contains(first, "=") {
		name := authn.NormalizeName(text)
		if name == "" {
			return authn.Group{}, errors.New("--group is empty")
		}
		return authn.Group{Name: name}, nil
	}
	normal, ok := authn.NormalizeDN(text)
	dn, err := ldap.ParseDN(normal)
	if !ok || err != nil || len(dn.RDNs) == 0 {
		return authn.Group{}, fmt.Errorf("--group: %q is not a distinguished name (RFC 4514)", config.Clip(text))
	}
	name := dn.RDNs[0].Attributes[0].Value
	for _, part := range dn.RDNs[0].Attributes {
		if part.Type == "cn" {
			name = part.Value
		}
	}
	return authn.Group{Name: name, DN: normal}, nil
}

func (e *explainer) answer(out io.Writer, p *authz.Policy, id authn.Identity) error {
	x := p.Explain(id, e.request)
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
		return &exitError{status: exitFault}
	}
	return nil
}
