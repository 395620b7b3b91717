package ui

import (
	"net/http"
	"strconv"
)

// helpView is the page of help.
type helpView struct {
	Own  string // the operator's text
	Host string
	Name string // whose examples these are, as one word of a shell
	URL  string
	// Logins and Uses are commands to copy.
	Logins, Uses []command
}

// command is a line to copy into a terminal.
type command struct {
	ID     string // of its field
	Label  string
	Client string // the hook data-command; empty: none
	By     string // tag or digest; empty: none
	Text   string
}

// logins are how the usual clients log in, under a name as one word of a shell.
func logins(host, name string) []command {
	list := []command{
		{Label: "docker", Text: "docker login -u " + name + " " + host},
		{Label: "podman", Text: "podman login -u " + name + " " + host},
		{Label: "crane", Text: "crane auth login -u " + name + " --password-stdin " + host},
		{Label: "oras", Text: "oras login -u " + name + " " + host},
		{Label: "helm", Text: "helm registry login -u " + name + " " + host},
		{Label: "skopeo", Text: "skopeo login -u " + name + " " + host},
	}
	return numbered("login", list)
}

// uses are the first things that people do.
func uses(host string) []command {
	return numbered("use", []command{
		{Label: "docker, pull", Text: "docker pull " + host + "/team/app:1.0"},
		{Label: "docker, push", Text: "docker tag app:1.0 " + host + "/team/app:1.0 && docker push " + host + "/team/app:1.0"},
		{Label: "podman", Text: "podman pull " + host + "/team/app:1.0"},
		{Label: "crane", Text: "crane copy registry.example.com/app:1.0 " + host + "/team/app:1.0"},
		{Label: "oras", Text: "oras push " + host + "/team/report:1.0 report.pdf"},
		{Label: "helm", Text: "helm push chart-1.0.0.tgz oci://" + host + "/team/charts"},
		{Label: "containerd", Text: "nerdctl pull " + host + "/team/app:1.0"},
	})
}

// numbered gives each command a field of its own.
func numbered(prefix string, list []command) []command {
	for i := range list {
		list[i].ID = prefix + "-" + strconv.Itoa(i+1)
	}
	return list
}

// help tells how to log in with the usual clients.
func (u *UI) help(w http.ResponseWriter, r *http.Request, c *Call) error {
	f := u.frame(r, c, atHelp, "Help")
	name := shellWord(c.visitor.identity.Username)
	if c.visitor.identity.Username == "" {
		name = "YOUR-NAME"
	}
	f.Content = helpView{string(u.o.Config.HelpFile.Data), c.Origin.Host, name, c.Origin.String(), logins(c.Origin.Host, name), uses(c.Origin.Host)}
	return u.show(w, r, f, "help")
}
