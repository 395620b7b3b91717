package browse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"gatehouse/authz"
	"gatehouse/proxy/route"
)

const (
	readLimit   = 30 * time.Second // for one thing that is read, the wait for its turn included
	mostBody    = 4 << 20          // of a manifest; larger ones are not read
	mostConfig  = 1 << 20          // of an image's configuration
	mostTagList = 8 << 20          // of a repository's tags, over all pages
)

// accepted are the types of manifests that are known here, and any other.
var accepted = strings.Join([]string{typeIndex, typeManifest, typeDockerList, typeDockerManifest, typeArtifact, typeSchema1Signed, typeSchema1, "*/*"}, ", ")

// idle marks a context whose questions are for nobody who waits.
type idle struct{}

// reply is one answer of the registry, read.
type reply struct {
	status int
	header http.Header
	body   []byte
	large  bool // there is more of the body than was to be read
}

// read asks for one thing once it is its turn, and reads at most so many bytes of the answer.
// kind is the metric's.
func (v *Visit) read(ctx context.Context, kind string, rt route.Route, header http.Header, most int64) (*reply, error) {
	release, err := v.library.turn(ctx)
	if err != nil {
		return nil, errors.Join(ErrSlow, err)
	}
	defer release()
	r, err := v.ask(ctx, rt, header, most)
	v.library.count(kind, r, err)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = errors.Join(ErrSlow, err)
	}
	return r, err
}

func (v *Visit) ask(ctx context.Context, rt route.Route, header http.Header, most int64) (*reply, error) {
	answer, err := v.registry.Ask(ctx, v.caller, rt, header)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	r := &reply{status: answer.Status, header: answer.Header}
	if rt.Method == http.MethodHead {
		return r, nil
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, most+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if r.large = int64(len(body)) > most; !r.large {
		r.body = body
	}
	return r, nil
}

// turn waits for a slot. What runs for nobody leaves half of them to those who wait.
func (l *Library) turn(ctx context.Context) (release func(), err error) {
	s := l.slots.Load()
	if ctx.Value(idle{}) == nil {
		return func() { s.all.Release(1) }, s.all.Acquire(ctx, 1)
	}
	if err := s.idle.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	if err := s.all.Acquire(ctx, 1); err != nil {
		s.idle.Release(1)
		return nil, err
	}
	return func() { s.all.Release(1); s.idle.Release(1) }, nil
}

// count tells the metrics what became of a question that was asked.
func (l *Library) count(kind string, r *reply, err error) {
	result := "ok"
	switch {
	case errors.As(err, new(*Denied)):
		return
	case err != nil || r.status != http.StatusNotFound && r.status >= 400:
		result = "failed"
	case r.status == http.StatusNotFound:
		result = "absent"
	}
	l.metrics.UIUpstreamRequest(kind, result)
}

// unexpected is the error of an answer that brought nothing.
func (r *reply) unexpected() error {
	if r.status == http.StatusNotFound {
		return ErrAbsent
	}
	return fmt.Errorf("%w: status %d", ErrAnswer, r.status)
}

// target is the route of a part of a repository, with what it needs: under is manifests/,
// blobs/ or referrers/, with a reference; or tags/list, without one. What can have no route
// is not there.
func target(method, repository, under, reference string) (route.Route, error) {
	if reference != "" && !route.ValidDigest(reference) && !authz.ValidTag(reference) {
		return route.Route{}, ErrAbsent
	}
	rt, err := route.Parse(method, "/v2/"+repository+"/"+under+reference)
	if err != nil {
		return rt, errors.Join(ErrAbsent, err)
	}
	return rt, nil
}
