package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gatehouse/cmd/gatehouse/cli"
)

// TestOneOperation: check, serve, a reload and explain read a config in one way, and
// tell the same faults of it.
func TestOneOperation(t *testing.T) {
	for name, text := range map[string]string{
		"a key": minimal + "nonsense: 1\n", "a value": minimal + "tokens: {lifetime: 2s}\n", "no YAML": "a: [",
		"several": minimal + "log: {level: loud}\ndirectories: [{name: A}]\npolicy: [{allow: [read], repositories: [\"**\"], to: [everyone]}]\n",
		"a rule":  minimal + "policy: [{deny: [push], repositories: [\"{x}\"], to: [\"group:\"]}]\n",
		"a hash":  minimal + "directories: [{name: a, static: [{username: x, password_hash: y}]}]\n",
		"a file":  minimal + "listen: {tls: {cert_file: none, key_file: none}}\n",
		"filters": minimal + "directories: [{name: a, ldap: {servers: [\"ldap://127.0.0.1:1\"], users: {base: dc=x, filter: \"(uid=x)\"}}}]\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.yaml")
			write := func(text string) {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write(minimal)
			var log strings.Builder
			s := newServer(path, streams{stdout: io.Discard, log: slog.New(slog.NewJSONHandler(&log, nil)), level: new(slog.LevelVar)})
			defer s.audit.Close()
			if err := s.start(); err != nil {
				t.Fatal(err)
			}
			defer func() { s.current.Load().Release() }()
			write(text)
			log.Reset()
			s.reload()
			reloaded := errorsIn(t, log.String())
			log.Reset()
			if fresh := newServer(path, streams{stdout: io.Discard, log: s.log, level: new(slog.LevelVar)}); fresh.start() == nil {
				t.Error("serve starts")
			}
			served := errorsIn(t, log.String())
			var out, errs strings.Builder
			if status := run(t.Context(), []string{"check", "-c", path}, strings.NewReader(""), &out, io.Discard); status != cli.Fault {
				t.Errorf("check: status %d", status)
			}
			checked := linesWith(out.String(), path+":")
			if len(checked) == 0 || !slices.Equal(checked, served) || !slices.Equal(checked, reloaded) {
				t.Errorf("check says\n%q\nserve\n%q\na reload\n%q", checked, served, reloaded)
			}
			if name == "a file" {
				return // which explain does not need
			}
			if status := run(t.Context(), []string{"explain", "-c", path, "-", "pull", "a/b"}, strings.NewReader(""), io.Discard, &errs); status != cli.Fault {
				t.Errorf("explain: status %d", status)
			}
			if explained := linesWith(errs.String(), path+":"); !slices.Equal(explained, checked) {
				t.Errorf("check says\n%q\nexplain\n%q", checked, explained)
			}
		})
	}
}

// errorsIn are the faults of the config that were logged.
func errorsIn(t *testing.T, log string) (list []string) {
	t.Helper()
	for line := range strings.Lines(log) {
		var record struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		if record.Level == "ERROR" && strings.Contains(record.Msg, ".yaml:") {
			list = append(list, record.Msg)
		}
	}
	return list
}

// linesWith are the lines that begin so.
func linesWith(text, prefix string) (list []string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			list = append(list, strings.TrimSuffix(line, "\n"))
		}
	}
	return list
}
