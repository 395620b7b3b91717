package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse/metrics"
	"gatehouse/proxy/ui"
)

// answers write what the gateway itself says.
type answers struct {
	service string // the challenge's service
	metrics *metrics.Metrics
	pages   *pages
}

// refusalLimit is how long a client may leave a refusal unread. It is small, and
// anybody can cause it.
const refusalLimit = 10 * time.Second

// refuse writes the refusal. Two refusals with the same table row differ in
// nothing but the request id.
func (a *answers) refuse(x *exchange, err error) {
	e := asAPIError(err)
	x.event.err = e
	if e.limit != "" {
		a.metrics.LimitReached(e.limit)
	}
	if e.unsaid && x.r.ProtoMajor > 1 {
		x.w.status = e.status // for the record
		x.abort()
	}
	if x.w.wrote {
		x.abort() // the answer has begun: a short one must not look whole
	}
	if x.page != nil {
		a.pages.refuse(x, e)
		return
	}
	h := x.w.Header()
	clear(h)
	x.ownHeaders()
	if a.pages.asked(x.r) { // refused before the page was asked
		h.Del("Docker-Distribution-Api-Version")
		ui.Guard(h)
	}
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	switch {
	case e.basic && !x.underAPI():
		h.Set("WWW-Authenticate", `Basic realm=`+quote(a.service)+`, charset="UTF-8"`) // RFC 7617 2.1
	case e.challenge, e.basic:
		h.Set("WWW-Authenticate", challenge(x, a.service, e.reason))
	}
	if e.allow != nil {
		h.Set("Allow", strings.Join(e.allow, ", "))
	}
	if e.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int((e.retry+time.Second-1)/time.Second)))
	}
	body := errorBody(e, x.event.requestID)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(e.status)
	x.w.deadline(refusalLimit)
	if x.r.Method != http.MethodHead {
		x.w.Write(body)
	}
}

func errorBody(e *apiError, requestID string) []byte {
	type detail struct {
		RequestID string `json:"request_id"`
		Rule      string `json:"rule,omitempty"`
	}
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Detail  detail `json:"detail"`
	}
	body, err := json.Marshal(struct {
		Errors []entry `json:"errors"`
		OAuth  string  `json:"error,omitempty"` // RFC 6749 section 5.2
	}{[]entry{{e.code, e.message, detail{requestID, e.rule}}}, e.oauth})
	if err != nil {
		return []byte(`{"errors":[]}`) // strings only: cannot happen
	}
	return append(body, '\n')
}
