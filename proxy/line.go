package proxy

import (
	"log/slog"

	"gatehouse/authn"
	"gatehouse/proxy/route"
	"gatehouse/tokens"
)

// line is the fields of one record; those that do not apply are left out.
type line []slog.Attr

func (l *line) text(key, value string) {
	if value != "" {
		*l = append(*l, slog.String(key, clip(value)))
	}
}

// request adds who asked for what, and which rule decided: the log and the audit
// stream say it in the same words.
func (l *line) request(x *exchange) {
	e := &x.event
	l.text("request_id", e.requestID)
	if x.peer.Client.IsValid() {
		l.text("client_ip", x.peer.ClientText())
	}
	l.text("user", e.identity.Username)
	l.text("directory", e.identity.Directory)
	l.text("grant", e.grant)
	l.text("via", e.via)
	l.text("token_id", e.tokenID)
	l.text("refresh_token_id", e.refreshID)
	if c := e.credential; c.Kind != tokens.FromPerson { // which grant says
		l.text("credential", string(c.Kind))
		l.text("credential_id", c.ID)
	}
	l.proof(e.identity.Proof)
	l.text("actions", string(x.route.Need.Action))
	l.text("repository", x.route.Repository)
	if x.route.Kind != route.Session {
		l.text("reference", x.route.Reference)
	}
	l.named(&x.route)
	l.text("rule", e.rule)
}

// proof adds what an ID token or a certificate says.
func (l *line) proof(p *authn.Proof) {
	if p == nil {
		return
	}
	l.text("subject", p.Subject)
	if len(p.Recorded) > 0 {
		claims := make(map[string]string, len(p.Recorded))
		for _, c := range p.Recorded {
			claims[c.Name] = c.Value
		}
		*l = append(*l, slog.Any("claims", claims))
	}
}

// named adds what the query names beside the path: the tags of a manifest, and the
// repository that a blob is to be mounted from.
func (l *line) named(rt *route.Route) {
	if len(rt.Tags) > 1 || len(rt.Tags) == 1 && !rt.Tag {
		*l = append(*l, slog.Any("tags", rt.Tags))
	}
	l.text("from", rt.Source)
}

// clip keeps a field that a client wrote from filling the log.
func clip(s string) string {
	const most = 1024
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
