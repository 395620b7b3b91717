// Command demo shows Gatehouse at work with Go alone: no root, no Docker, and no
// network once the modules are there.
//
//	go run ./cmd/demo            # checks, then serves until Ctrl-C
//	go run ./cmd/demo -once      # checks only: status 0, or 1 and what failed
//
// It starts an LDAP server with a few musicians (directory.go) and an open registry,
// both in this process, and in front of them the real gatehouse binary with a config
// file as an operator would write it. Then it does what users do (checks.go): log in,
// push, pull, be refused.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"text/template"
	"time"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/samples"

	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/crypto/bcrypt"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:5000", "`address` of the gateway; where it is taken, a free port is used")
	once := flag.Bool("once", false, "stop after the checks instead of serving")
	flag.Usage = usage
	flag.Parse()
	if flag.NArg() > 0 {
		usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *listen, *once); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintf(os.Stderr, "Usage: demo [-listen ADDRESS] [-once]\nExample: go run ./cmd/demo -once\n\n")
	flag.PrintDefaults()
}

// run is the demo from start to end; it leaves no process and no file behind.
func run(ctx context.Context, out io.Writer, listen string, once bool) (err error) {
	folder, err := os.MkdirTemp("", "gatehouse-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	directory, err := startDirectory()
	if err != nil {
		return err
	}
	defer directory.Close()
	upstream, err := startRegistry()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, upstream.Close()) }()
	g, err := startGateway(ctx, out, folder, setting{Listen: listen, Upstream: upstream.Addr, LDAP: directory.URL()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	if err := checkAll(ctx, out, g); err != nil || once {
		return err
	}
	if err := samples.Furnish(ctx, upstream.Addr); err != nil {
		return err
	}
	printNext(out, g)
	return serve(ctx, out, g)
}

// serve waits for Ctrl-C, or for a gateway that ends by itself.
func serve(ctx context.Context, out io.Writer, g *gateway) error {
	select {
	case <-ctx.Done():
		fmt.Fprintln(out, "\nStopping.")
		return nil
	case <-g.process.Ended:
		return fmt.Errorf("the gateway ended by itself: %w", g.failure())
	}
}

// startRegistry serves an open registry from memory: whoever reaches it may do all.
func startRegistry() (*http.Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{
		Addr:              listener.Addr().String(),
		Handler:           registry.New(registry.Logger(log.New(io.Discard, "", 0))),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() { _ = server.Serve(listener) }()
	return server, nil
}

// freeAddress returns the wished address, or one with another port where it is taken.
func freeAddress(wish string) (string, error) {
	listener, err := net.Listen("tcp", wish)
	if err != nil {
		host, _, splitErr := net.SplitHostPort(wish)
		if splitErr != nil {
			return "", splitErr
		}
		if listener, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
			return "", err
		}
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// setting is what the config file below takes; all addresses are host:port.
type setting struct {
	Listen, Admin, Upstream       string
	LDAP                          string // a URL
	AdminHash, TestHash           string // bcrypt
	ServiceAccount, MusiciansBase string
}

// configFile is a config as an operator would write it.
var configFile = template.Must(template.New("gatehouse.yaml").Parse(`listen:
  address: "{{.Listen}}"
admin:
  address: "{{.Admin}}"
upstream:
  url: "http://{{.Upstream}}"
cache: {}
ui:
  enabled: true
  admins: ["user:local/admin"]
directories:
  - name: local
    static:
      - username: admin
        password_hash: "{{.AdminHash}}"
      - username: test
        password_hash: "{{.TestHash}}"
  - name: example
    ldap:
      servers: ["{{.LDAP}}"]
      bind_dn: "{{.ServiceAccount}}"
      bind_password_file: ldap_password.txt
      users:
        base: "{{.MusiciansBase}}"
        filter: "(&(|(uid={login})(mail={login}))(objectClass=person))"
        username_attribute: uid
policy:
  - allow: [pull, push, delete]
    repositories: ["**"]
    to: ["user:local/admin"]
  - allow: [pull]
    repositories: ["**"]
    to: ["user:local/test"]
  - allow: [pull, push]
    repositories: ["**"]
    to: ["directory:example"]
`))

// gateway is the running gatehouse binary.
type gateway struct {
	address string // host:port
	admin   string // host:port
	config  string // path
	log     string // path
	binary  string // path
	process *authntest.Process
}

// startGateway builds the binary, writes its config into folder, and returns when it is ready.
func startGateway(ctx context.Context, out io.Writer, folder string, s setting) (*gateway, error) {
	g := &gateway{
		config: filepath.Join(folder, "gatehouse.yaml"),
		log:    filepath.Join(folder, "gatehouse.log"),
		binary: filepath.Join(folder, "gatehouse"),
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", g.binary, "gatehouse/cmd/gatehouse")
	if _, err := authntest.Run(build); err != nil {
		return nil, err
	}
	if err := g.configure(out, s); err != nil {
		return nil, err
	}
	if _, err := authntest.Run(exec.CommandContext(ctx, g.binary, "check", "-c", g.config)); err != nil {
		return nil, err
	}
	if err := g.start(); err != nil {
		return nil, err
	}
	if err := g.process.Await(30*time.Second, func() bool { return g.ready(ctx) }); err != nil {
		g.process.Kill()
		return nil, err
	}
	return g, nil
}

// configure chooses the ports and writes the config and the file with the LDAP password.
func (g *gateway) configure(out io.Writer, s setting) (err error) {
	wish := s.Listen
	if s.Listen, err = freeAddress(wish); err != nil {
		return err
	}
	if _, port, _ := net.SplitHostPort(wish); s.Listen != wish && port != "0" {
		fmt.Fprintf(out, "%s is taken: the gateway is on %s instead.\n", wish, s.Listen)
	}
	if s.Admin, err = freeAddress("127.0.0.1:9180"); err != nil {
		return err
	}
	g.address, g.admin = s.Listen, s.Admin
	s.ServiceAccount, s.MusiciansBase = serviceAccount, musiciansBase
	if s.AdminHash, err = hash("badmin"); err != nil {
		return err
	}
	if s.TestHash, err = hash("123"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(g.config), "ldap_password.txt"), []byte(password+"\n"), 0o600); err != nil {
		return err
	}
	file, err := os.OpenFile(g.config, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(configFile.Execute(file, s), file.Close())
}

func hash(password string) (string, error) {
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	return string(h), err
}

// start runs the binary with its output in the log file.
func (g *gateway) start() error {
	file, err := os.Create(g.log)
	if err != nil {
		return err
	}
	command := exec.Command(g.binary, "serve", "-c", g.config)
	command.Stdout = file
	g.process, err = authntest.StartProcess(command, syscall.SIGTERM)
	return err
}

// ready asks /readyz.
func (g *gateway) ready(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.admin+"/readyz", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// failure is what the gateway wrote, to find out what went wrong.
func (g *gateway) failure() error {
	return fmt.Errorf("its log:\n%s", g.process.Tail(4096))
}

// stop asks the gateway to drain, and ends it where it does not.
func (g *gateway) stop() error { return g.process.Finish(10 * time.Second) }
