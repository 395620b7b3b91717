package held

import (
	"context"
	"io"
	"net/url"

	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/cmd/gatehouse/assembly"
	"gatehouse/cmd/gatehouse/cli"
)

// Open reads a config for token inspect. A file that whoever asks may not read
// counts only where a token cannot be judged without it.
func Open(path string) cli.Opened {
	s := assembly.Look(path)
	defer s.Release()
	o := cli.Opened{Keyring: s.Keyring, Machines: s.Machines(), Issuers: s.Issuers()}
	if s.Chain != nil {
		o.Certified = s.Chain.Certified
	}
	if s.Config.PersonalTokens.Enabled {
		o.Personal = personalBy(path)
	}
	for _, f := range s.Loaded.Faults() {
		if !f.Content {
			o.Faults = append(o.Faults, f.String())
		}
	}
	return o
}

// personalBy asks the running gateway of a config for a personal token.
func personalBy(path string) func(context.Context, url.Values) (cli.Personal, error) {
	return func(ctx context.Context, token url.Values) (p cli.Personal, err error) {
		client, err := admin.Open(path, io.Discard)
		if err == nil {
			err = client.Get(ctx, inspectPath, token, &p)
		}
		return p, err
	}
}
