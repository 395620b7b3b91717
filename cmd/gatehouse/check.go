package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/authn"
	"gatehouse/authn/ldap"
	"gatehouse/authn/oidc"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/assembly"
	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/cmd/gatehouse/probe"
	"gatehouse/cmd/gatehouse/question"
)

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate the config, and what it names",
		Long: "Checks the config and every file that it names, and prints all faults. Without --online it touches\n" +
			"nothing but files.",
		Example: "  gatehouse check -c gatehouse.yaml\n  gatehouse check -c gatehouse.yaml --user mozart",
		Args:    cobra.NoArgs,
	}
	path := cli.ConfigFlag(cmd)
	online := cmd.Flags().Bool("online", false, "dial the upstream, every directory and the store too")
	user := cmd.Flags().String("user", "", "show what the directories say of this user (implies --online)")
	probe := cmd.Flags().Bool("probe-writes", false, "test in a scratch repository whether the upstream keeps blobs apart by repository")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("user") && *user == "" {
			return errors.New("--user needs a name")
		}
		c := &checker{out: cmd.OutOrStdout()}
		c.config(cli.ConfigPath(*path))
		defer c.snapshot.Release()
		if c.faults == 0 && (*online || *user != "") {
			c.online(cmd.Context())
		}
		if c.built && *user != "" {
			c.user(cmd.Context(), *user)
		}
		if c.built && *probe {
			c.probeWrites(cmd.Context())
		}
		if c.faults > 0 {
			return cli.Exit(cli.Fault, "%d fault(s)", c.faults)
		}
		fmt.Fprintln(c.out, "ok")
		return nil
	}
	return cmd
}

// onlineLimit is for each thing that --online asks.
const onlineLimit = 30 * time.Second

// checker runs the checks and counts faults.
type checker struct {
	out      io.Writer
	loaded   *config.Loaded
	snapshot *assembly.Snapshot
	built    bool // the config has no fault
	faults   int
}

// config is the part that touches nothing but files.
func (c *checker) config(path string) {
	c.snapshot = assembly.Look(path)
	c.loaded = c.snapshot.Loaded
	if c.loaded.Custom {
		fmt.Fprintf(c.out, "%s is loaded instead of %s\n", c.loaded.File, path)
	}
	config.Print(c.out, c.loaded.Warnings())
	config.Print(c.out, c.loaded.Faults())
	c.faults = len(c.loaded.Faults())
	c.built = c.faults == 0
}

// say prints a line of what was asked online; a fault counts.
func (c *checker) say(ok bool, subject, format string, args ...any) {
	mark := "ok   "
	if !ok {
		mark = "FAULT"
		c.faults++
	}
	fmt.Fprintf(c.out, "%s  %s: %s\n", mark, subject, question.Printable(fmt.Sprintf(format, args...)))
}

// online dials the upstreams and every directory.
func (c *checker) online(ctx context.Context) {
	c.upstreams(ctx)
	probe.Store(ctx, onlineLimit, &c.loaded.Config.Store, c.say)
	defer c.unheard(ctx)
	for _, d := range c.snapshot.Directories {
		switch {
		case d.OIDC != nil:
			c.issuer(ctx, d.Name, d.OIDC)
		case d.LDAP != nil:
			c.servers(ctx, d.Name, d.LDAP)
		default:
			c.say(true, "directory "+d.Name, "%s", d.Kind())
		}
	}
}

// servers asks the servers of a directory.
func (c *checker) servers(ctx context.Context, name string, d *ldap.Directory) {
	ctx, cancel := context.WithTimeout(ctx, onlineLimit)
	defer cancel()
	for _, f := range d.Inspect(ctx) {
		subject := "directory " + name + ": " + f.Subject
		if f.Warning {
			fmt.Fprintf(c.out, "warning: %s: %s\n", subject, question.Printable(f.Detail))
			continue
		}
		c.say(f.OK, subject, "%s", f.Detail)
	}
}

// unheard asks the directories for the names in rules.
func (c *checker) unheard(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, onlineLimit)
	defer cancel()
	var rolls []question.Roll
	for _, d := range c.snapshot.Directories {
		rolls = append(rolls, question.Roll{Roll: d.Roll(), Name: d.Name})
	}
	question.Unheard(ctx, rolls, c.loaded, c.snapshot.Policy, c.snapshot.Next, c.out, c.say)
}

// issuer asks an issuer of ID tokens for its keys.
func (c *checker) issuer(ctx context.Context, name string, d *oidc.Directory) {
	ctx, cancel := context.WithTimeout(ctx, onlineLimit)
	defer cancel()
	n, err := d.Keys(ctx)
	if err != nil {
		c.say(false, "directory "+name, "%v", err)
		return
	}
	c.say(true, "directory "+name, "oidc: %s, %d keys that may sign tokens", d.Issuer(), n)
}

// user shows one person as every directory sees them. The first that knows the
// name is the one that counts at a login.
func (c *checker) user(ctx context.Context, name string) {
	known := false
	for _, d := range c.snapshot.Directories {
		if d.Machines != nil || d.OIDC != nil || d.Certificate != nil { // no name is looked for there
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, onlineLimit)
		id, err := d.Lookup.Find(ctx, name)
		cancel()
		switch subject := "directory " + d.Name; {
		case errors.Is(err, authn.ErrUnknownUser):
			fmt.Fprintf(c.out, "       %s: does not know %q (%s)\n", subject, config.Clip(name), question.Printable(err.Error()))
		case err != nil:
			c.say(false, subject, "%v", err)
		default:
			c.say(true, subject, "knows %q", config.Clip(name))
			if known {
				fmt.Fprintln(c.out, "         but an earlier directory knows the name and decides at a login")
			}
			question.PrintPerson(c.out, authz.Describe(id))
			c.state(id)
			if id.DN != "" && strings.EqualFold(id.ID, id.DN) {
				fmt.Fprintln(c.out, "warning: the entry has no lasting id (entryUUID, objectGUID, ...), so its DN is taken: who gets that DN later gets these tokens")
			}
			if id.Note != "" {
				fmt.Fprintf(c.out, "warning: %s\n", question.Printable(id.Note))
			}
			c.rules(id)
			known = true
		}
	}
}

// rules lists every rule that speaks of the person.
func (c *checker) rules(id authn.Identity) {
	rules := c.snapshot.Policy.Rules(id)
	for _, r := range rules {
		fmt.Fprintf(c.out, "rule: %s: %s\n", r.Label(), r)
	}
	if len(rules) == 0 {
		fmt.Fprintln(c.out, "rule: none speaks of this user")
	}
}

// state shows whether the person may log in; why the directory says no stands above.
func (c *checker) state(id authn.Identity) {
	switch err := c.snapshot.Keyring.Admit(id); {
	case err != nil:
		question.PrintField(c.out, "state", "may not log in: the person is on tokens.revoked")
	case id.NoLogin == "":
		question.PrintField(c.out, "state", "may log in")
	}
}
