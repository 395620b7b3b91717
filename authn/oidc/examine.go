package oidc

import (
	"context"
	"fmt"
	"time"
)

// Examined is what a directory says of a token, for whoever looks for a mistake.
type Examined struct {
	// ID is its jti, and Subject its sub.
	ID, Subject string
	// Ends is its exp; zero: it could not be read.
	Ends time.Time
	// Claims are those that the workloads read, as JSON.
	Claims string
	// Machine is the name that a workload gives it, and Workload that entry, counted from 0.
	Machine  string
	Workload int
	// Misfits are for each workload the first claim that does not fit, where none takes it.
	Misfits []string
	// Err is why it is not good; nil: it is. It wraps authn.ErrUnavailable where the issuer
	// is at fault, and what is said of the claims is then not proven.
	Err error
}

// Issuer is who a token says has signed it; empty: it cannot be read. Nothing is proven.
func Issuer(text string) string {
	t, err := parse(text)
	if err != nil {
		return ""
	}
	return word(t.claims["iss"])
}

// Foreign reads a token whose issuer no directory has. Nothing is proven.
func Foreign(text string) Examined {
	t, err := parse(text)
	if err != nil {
		return Examined{Err: err}
	}
	e := Examined{ID: brief(t.jti), Subject: brief(t.subject), Err: fmt.Errorf("no directory has the issuer %.200q", word(t.claims["iss"]))}
	e.Ends, _ = moment(t.claims, "exp") // zero: nothing is said of it
	return e
}

// Examine reads a token, asks its issuer for the keys where they are not known, and holds
// the claims against each workload.
func (d *Directory) Examine(ctx context.Context, text string) Examined {
	t, err := d.verify(ctx, text)
	e := Examined{Err: err}
	if t == nil {
		return e
	}
	e.ID, e.Subject = brief(t.jti), brief(t.subject)
	e.Ends, _ = moment(t.claims, "exp") // zero, and Err says so
	claims, err := d.mapping.Pick(t.claims)
	if err != nil {
		e.Err = err
		return e
	}
	e.Claims = claims.String()
	r, mapped := d.mapping.Map(claims)
	if e.Machine, e.Workload = r.Name, r.Workload; mapped == nil {
		return e
	}
	e.Machine = ""
	for _, m := range d.mapping.Misfits(claims) {
		e.Misfits = append(e.Misfits, m.String())
	}
	if e.Err == nil {
		e.Err = mapped
	}
	return e
}
