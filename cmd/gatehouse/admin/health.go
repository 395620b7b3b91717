package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/cmd/gatehouse/config"
)

// healthLimit is below the time-outs that container engines give a health check.
const healthLimit = 5 * time.Second

// HealthCommand is `healthcheck`.
func HealthCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "healthcheck",
		Short:   "Ask the running gateway whether it is ready",
		Example: "  gatehouse healthcheck -c gatehouse.yaml && echo ready",
		Args:    cobra.NoArgs,
	}
	path := cli.ConfigFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l, err := Load(cli.ConfigPath(*path), cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		answer, err := askReady(cmd.Context(), l)
		if err != nil {
			return cli.Exit(cli.Fault, "not ready: %w", err)
		}
		fmt.Fprintln(cmd.OutOrStdout(), answer)
		return nil
	}
	return cmd
}

// askReady asks admin.socket where there is one, else the admin listener. Faults
// elsewhere in the config do not matter here: the gateway may run on what the file said
// before.
func askReady(ctx context.Context, l *config.Loaded) (string, error) {
	transport := &http.Transport{DisableKeepAlives: true} // and no proxy of the environment
	host := "gatehouse"
	if path := l.AdminSocket(); path != "" {
		transport.DialContext = dialer(path)
	} else if host = l.Config.Admin.Address; host == "" {
		return "", errors.New("admin.socket and admin.address are empty, so there is nobody to ask")
	}
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+dialable(host)+"/readyz", nil)
	if err != nil {
		return "", err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	text := strings.TrimSpace(string(body))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, text)
	}
	return text, err
}

// dialable is the address to reach a listener at: one that listens everywhere
// is asked on loopback.
func dialable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() && addr.IsUnspecified() {
		host = "::1"
	} else if host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
