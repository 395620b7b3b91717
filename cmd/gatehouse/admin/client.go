package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/cmd/gatehouse/config"
)

const (
	askLimit  = time.Minute // for one question; the gateway may ask directories for it
	maxAnswer = 512 << 20   // bytes
)

// Client asks a running gateway by its admin.socket. Each error of its methods is a
// *cli.Error: without an answer, or where the gateway cannot do it now (503), the status
// is Down; of an answer that is an error it holds the *Fault.
type Client struct {
	path string // of the socket
	http http.Client
}

// Load reads a config to find its gateway. The rest of it may be at fault: the gateway may
// run on what the file said before. A file that is no config has its faults printed.
func Load(path string, errs io.Writer) (*config.Loaded, error) {
	l := config.Load(path)
	if !l.Decoded() {
		config.Print(errs, l.Faults())
		return nil, &cli.Error{Status: cli.Fault}
	}
	return l, nil
}

// Open finds the gateway of a config, see Load. It dials nothing.
func Open(path string, errs io.Writer) (*Client, error) {
	l, err := Load(path, errs)
	if err != nil {
		return nil, err
	}
	if l.AdminSocket() == "" {
		return nil, cli.Exit(cli.Down, "%s has no admin.socket, by which a running gateway is asked; "+
			"set admin.socket to the name of a file, such as /run/gatehouse/admin.sock, and restart the gateway", l.File)
	}
	return At(l), nil
}

// At asks at the admin.socket of a config that has one.
func At(l *config.Loaded) *Client { return newClient(l.AdminSocket()) }

func newClient(path string) *Client {
	return &Client{path, http.Client{Timeout: askLimit, Transport: &http.Transport{DialContext: dialer(path), DisableKeepAlives: true}}}
}

// dialer reaches a socket, whatever address is asked for.
func dialer(path string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}

// Ask is what a command does that only asks: Get of the gateway of the config that the
// command's flag names.
func Ask(cmd *cobra.Command, flag, path string, query url.Values, into any) error {
	client, err := Open(cli.ConfigPath(flag), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	return client.Get(cmd.Context(), path, query, into)
}

// Change is the same with Post. It is not given up once it is sent, as nobody would know
// then what became of it.
func Change(cmd *cobra.Command, flag, path string, body, into any) error {
	client, err := Open(cli.ConfigPath(flag), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	return client.Post(context.WithoutCancel(cmd.Context()), path, body, into)
}

// Get asks what changes nothing, and decodes the answer into a pointer; a *Text takes it
// as it is.
func (c *Client) Get(ctx context.Context, path string, query url.Values, into any) error {
	target := &url.URL{Path: path, RawQuery: query.Encode()}
	return c.ask(ctx, http.MethodGet, target, nil, into)
}

// Post asks for a change; a nil into drops the answer.
func (c *Client) Post(ctx context.Context, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return cli.Exit(cli.Fault, "%w", err)
	}
	return c.ask(ctx, http.MethodPost, &url.URL{Path: path}, bytes.NewReader(text), into)
}

// Download gets a *Stream of the gateway, however long it takes.
func (c *Client) Download(ctx context.Context, path string, query url.Values, into io.Writer) error {
	patient := &Client{c.path, http.Client{Transport: c.http.Transport}}
	resp, err := patient.send(ctx, http.MethodGet, &url.URL{Path: path, RawQuery: query.Encode()}, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what there is of it
		return faulty(resp.StatusCode, text)
	}
	if _, err := io.Copy(into, resp.Body); err != nil {
		return cli.Exit(cli.Fault, "the gateway's answer broke off: %w", err)
	}
	return nil
}

// send makes a request.
func (c *Client) send(ctx context.Context, method string, target *url.URL, body io.Reader) (*http.Response, error) {
	target.Scheme, target.Host = "http", "gatehouse"
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, cli.Exit(cli.Fault, "%w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.silent(err)
	}
	return resp, nil
}

func (c *Client) ask(ctx context.Context, method string, target *url.URL, body io.Reader, into any) error {
	resp, err := c.send(ctx, method, target, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch t, ok := into.(*Text); {
	case err != nil:
		return c.silent(err)
	case resp.StatusCode != http.StatusOK:
		return faulty(resp.StatusCode, text)
	case ok:
		*t = Text(text)
	case into != nil:
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return cli.Exit(cli.Down, "the gateway's answer cannot be read: %w", err)
	}
	return nil
}

// silent is the error where nobody answers.
func (c *Client) silent(err error) error {
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return cli.Exit(cli.Down, "no gateway answers at admin.socket %s: %w", c.path, err)
}

// faulty is the error of an answer.
func faulty(status int, text []byte) error {
	f := &Fault{Status: status}
	if err := json.Unmarshal(text, f); err != nil || f.Message == "" {
		f.Message = fmt.Sprintf("status %d: %s", status, config.Clip(strings.TrimSpace(string(text))))
	}
	switch status {
	case http.StatusBadRequest:
		return &cli.Error{Status: cli.Usage, Err: f}
	case http.StatusServiceUnavailable:
		return &cli.Error{Status: cli.Down, Err: f}
	}
	return &cli.Error{Status: cli.Fault, Err: f}
}
