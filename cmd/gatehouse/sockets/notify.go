package sockets

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notify tells the service manager (sd_notify) what the gateway does, where there is one.
type Notify struct{}

// Ready says that the gateway serves, again too, after a reload.
func (Notify) Ready() { say(daemon.SdNotifyReady) }

// Reloading says that a reload has begun; Ready ends it.
func (Notify) Reloading() { say(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec()) }

// Stopping says that the gateway drains.
func (Notify) Stopping() { say(daemon.SdNotifyStopping) }

// say sends a state; a manager that cannot be told would end the service by itself.
func say(state string) { _, _ = daemon.SdNotify(false, state) }

// Watchdog says that the process lives, twice in the interval that the manager wants, until ctx ends.
func (Notify) Watchdog(ctx context.Context) error {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval <= 0 {
		return err
	}
	ticker := time.NewTicker(interval / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			say(daemon.SdNotifyWatchdog)
		}
	}
}
