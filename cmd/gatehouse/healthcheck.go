package main

import (
	"context"
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

func healthCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "healthcheck",
		Short:   "Ask the running gateway whether it is ready",
		Example: "  gatehouse healthcheck -c gatehouse.yaml && echo ready",
		Args:    cobra.NoArgs,
	}
	path := cli.ConfigFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l := config.Load(cli.ConfigPath(*path))
		if !l.Decoded() {
			printFindings(cmd.ErrOrStderr(), l.Faults())
			return &cli.Error{Status: cli.Fault}
		}
		answer, err := askReady(cmd.Context(), l.Config.Admin.Address)
		if err != nil {
			return cli.Exit(cli.Fault, "not ready: %w", err)
		}
		fmt.Fprintln(cmd.OutOrStdout(), answer)
		return nil
	}
	return cmd
}

// askReady asks the admin listener. Faults elsewhere in the config do not matter
// here: the gateway may run on what the file said before.
func askReady(ctx context.Context, address string) (string, error) {
	if address == "" {
		return "", fmt.Errorf("admin.address is empty, so there is nobody to ask")
	}
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+dialable(address)+"/readyz", nil)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{DisableKeepAlives: true} // and no proxy of the environment
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return "", err
	}
	if text := strings.TrimSpace(string(body)); resp.StatusCode == http.StatusOK {
		return text, nil
	} else {
		return "", fmt.Errorf("status %d: %s", resp.StatusCode, text)
	}
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
