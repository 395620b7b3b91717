package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/cmd/gatehouse/question"
)

// onlineLimit is for each thing that --online asks.
const onlineLimit = 30 * time.Second

func printFindings(w io.Writer, list []config.Finding) {
	for _, f := range list {
		if f.Warning {
			fmt.Fprint(w, "warning: ")
		}
		fmt.Fprintln(w, f)
	}
}

// printable keeps control characters, which a server may have sent, off the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// printIdentity shows all that rules can hang on.
func printIdentity(w io.Writer, id authn.Identity) {
	if id.Anonymous() {
		fmt.Fprintln(w, "user: (anonymous)")
		return
	}
	kind := "user"
	if id.Machine {
		kind = "machine"
	}
	fmt.Fprintf(w, "%s: %s\n", kind, printable(id.Username))
	if id.Directory == question.NoDirectory {
		fmt.Fprintln(w, "directory: none")
	} else {
		fmt.Fprintf(w, "directory: %s\n", id.Directory)
	}
	printField(w, "id", id.ID)
	printField(w, "dn", id.DN)
	names := make([]string, len(id.Groups))
	for i, g := range id.Groups {
		if names[i] = g.Name; g.DN != "" {
			names[i] += " (" + g.DN + ")"
		}
	}
	if len(names) == 0 {
		names = []string{"none"}
	}
	printField(w, "groups", strings.Join(names, "; "))
	printField(w, "no login", id.NoLogin)
}

func printField(w io.Writer, name, value string) {
	if value != "" {
		fmt.Fprintf(w, "%s: %s\n", name, printable(value))
	}
}
