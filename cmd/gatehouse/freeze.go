package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/cmd/gatehouse/backup"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/cmd/gatehouse/contents"
	"gatehouse/cmd/gatehouse/kept"
	"gatehouse/proxy/audit"
	"gatehouse/proxy/freeze"
)

// rules is GET /rules: those of the moment, with how many requests each decided.
func (s *server) rules(context.Context, url.Values) (any, error) {
	sn := s.acquire()
	defer sn.Release()
	return sn.Gateway.Rules(), nil
}

// shadow is GET /shadow: where the policy that is tried would decide otherwise.
func (s *server) shadow(_ context.Context, query url.Values) (any, error) {
	sn := s.acquire()
	defer sn.Release()
	report := sn.Gateway.Shadow()
	switch format := query.Get("format"); format {
	case "", "json":
		return report, nil
	case "text":
		var out strings.Builder
		err := report.Print(&out)
		return admin.Text(out.String()), err
	default:
		return nil, admin.Wrong(fmt.Errorf("format must be json or text, not %q", config.Clip(format)))
	}
}

// freeze is POST /freeze.
func (s *server) freeze(ctx context.Context, asked admin.FreezeRequest) (any, error) {
	order, err := orderOf(asked, time.Now())
	if err != nil {
		return nil, admin.Wrong(err)
	}
	before, err := kept.Freeze(ctx, s.store, s.shared.Load.Freeze(), order)
	if s.tellFreeze(audit.Freeze, order, before, err); err != nil {
		return nil, err
	}
	answer := admin.FreezeAnswer{Text: order.String(), Stored: s.store != nil, Running: !s.settled(ctx), Others: s.store != nil && s.store.Remote()}
	if before != nil {
		answer.Before = before.String()
	}
	return answer, nil
}

// settleLimit is how long a freeze waits for pushes that run.
const settleLimit = 10 * time.Second

// settled waits until a freeze counts at the other gateways too, and the manifests that were
// let through here before are answered; false: some are not. A collection of garbage may
// begin then.
func (s *server) settled(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	if s.store != nil && s.store.Remote() {
		select {
		case <-time.After(2 * freezePeriod):
		case <-ctx.Done():
		}
	}
	return s.shared.Load.Freeze().Quiet(ctx)
}

func orderOf(asked admin.FreezeRequest, now time.Time) (*freeze.Order, error) {
	order := &freeze.Order{Reason: asked.Reason, Repositories: asked.Repositories, Since: now.UTC().Truncate(time.Second)}
	if asked.Until != "" {
		_, end, err := authz.ParseTime(asked.Until)
		if err != nil {
			return nil, fmt.Errorf("until: %w", err)
		}
		end = end.UTC()
		order.Until = &end
	}
	return order, order.Check(now)
}

// thaw is POST /thaw.
func (s *server) thaw(ctx context.Context, _ struct{}) (any, error) {
	order, err := kept.Freeze(ctx, s.store, s.shared.Load.Freeze(), nil)
	if s.tellFreeze(audit.Thaw, order, nil, err); err != nil {
		return nil, err
	}
	return admin.FreezeAnswer{Text: "thawed; it was " + order.String(), Stored: s.store != nil}, nil
}

// tellFreeze records an order that counts, or that may come to count; before is what it
// takes the place of, nil: nothing.
func (s *server) tellFreeze(event audit.Event, o, before *freeze.Order, err error) {
	result := audit.OK
	if errors.Is(err, kept.ErrUnsure) {
		result = audit.Unknown
	} else if err != nil {
		return
	}
	attrs := []any{"result", string(result), "reason", o.Reason}
	if len(o.Repositories) > 0 {
		attrs = append(attrs, "repositories", o.Repositories)
	}
	if o.Until != nil {
		attrs = append(attrs, "until", o.Until.Format(time.RFC3339))
	}
	if before != nil {
		attrs = append(attrs, "before", before.String())
	}
	s.audit.Record(event, attrs...)
	s.log.Warn(string(event), attrs...)
}

// socketHandler answers on admin.socket: all that adminHandler does, and what shows
// people's data or changes something.
func (s *server) socketHandler() http.Handler {
	routes := admin.NewRoutes(s.adminHandler())
	routes.Get("/explain", s.explain)
	contents.Register(routes, s.shared.Load.Content, s.audit.Record)
	routes.Get("/rules", s.rules)
	routes.Get("/shadow", s.shadow)
	s.office().Serve(routes)
	backup.Register(routes, s.store)
	admin.Post(routes, "/freeze", s.freeze)
	admin.Post(routes, "/thaw", s.thaw)
	return routes
}
