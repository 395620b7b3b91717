package question

import (
	"io"

	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/config"
)

// Policy compiles the rules of a config for questions that describe their people. What
// is wrong with the files that it names does not matter there and is no fault.
func Policy(l *config.Loaded) (p *authz.Policy, faults []config.Finding) {
	if l.Decoded() {
		var err error
		p, err = authz.New(authz.Config{Rules: l.Config.Policy, Directories: l.Config.DirectoryNames(), Machines: l.Config.MachineNames()})
		l.Errors("policy", err)
	}
	for _, f := range l.Faults() {
		if !f.Content {
			faults = append(faults, f)
		}
	}
	return p, faults
}

// Test runs files of tests against the policy of a config, and reports whether all
// hold. The error is of a file that cannot be read.
func Test(out io.Writer, l *config.Loaded, p *authz.Policy, files []string) (holds bool, err error) {
	s := &suite{}
	for _, name := range files {
		if err := s.read(name, l.Config.DirectoryNames()); err != nil {
			return false, err
		}
	}
	return s.run(out, p, l.Config.Policy), nil
}
