package ldap_test

import (
	"strings"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// TestServers: whether each server is up and since when, its last fault, and how long it
// takes; nothing of people is in it.
func TestServers(t *testing.T) {
	began := time.Now()
	d, first, _ := pair(t)
	for _, s := range d.Servers() {
		if !s.Up || s.Active || s.Fault != "" || s.Since.Before(began) || s.Recent.Count != 0 {
			t.Errorf("before anything: %+v", s)
		}
	}
	if _, err := login(d, "mozart", authntest.Password); err != nil {
		t.Fatal(err)
	}
	if s := d.Servers()[0]; s.URL != first.URL() || !s.Up || !s.Active || s.Fault != "" || s.Recent.Count < 2 || s.Recent.P50 == 0 || s.Recent.P99 < s.Recent.P50 {
		t.Errorf("after a login: %+v", s)
	}
	if _, err := login(d, "mozart", "wrong"); err == nil {
		t.Fatal("a wrong password")
	}
	if s := d.Servers()[0]; s.Fault != "" {
		t.Errorf("a wrong password is no fault of the server: %+v", s)
	}
	down := time.Now()
	first.Behave(authntest.CloseAtOnce)
	await(t, func() bool { _, _ = d.Find(t.Context(), "mozart"); return !d.Servers()[0].Up })
	if _, err := d.Find(t.Context(), "mozart"); err != nil {
		t.Fatal(err)
	}
	s, other := d.Servers()[0], d.Servers()[1]
	if s.Up || s.Active || s.Since.Before(down) || s.Fault != "the connection ended" || s.FaultAt.Before(down) || !other.Up || !other.Active {
		t.Errorf("after its end: %+v, the other %+v", s, other)
	}
	up := time.Now()
	first.Behave(authntest.Good)
	d.Recover()
	if s := d.Servers()[0]; !s.Up || s.Since.Before(up) || s.Fault != "the connection ended" {
		t.Errorf("after it came back: %+v", s)
	}
}

// TestFaultClasses: what kind of fault each is, in words that hold nothing which the server said.
func TestFaultClasses(t *testing.T) {
	for behaviour, want := range map[authntest.Behaviour]string{authntest.NoSuchObject: "it cannot answer what another server can", authntest.Busy: "it answers 51, Busy", authntest.CloseOnUse: "the connection ended"} {
		t.Run(want, func(t *testing.T) { // of its own, as a directory looks at such a server every second until it is closed
			d, first, _ := pair(t)
			first.Behave(behaviour)
			await(t, func() bool { _, _ = d.Find(t.Context(), "mozart"); return d.Servers()[0].Fault != "" })
			if got := d.Servers()[0].Fault; got != want || strings.Contains(got, "mozart") {
				t.Errorf("%d: %q, want %q", behaviour, got, want)
			}
		})
	}
}
