package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"gatehouse/proxy/route"
)

// smallBody is how much of an answer is read on to get to its end, in bytes.
const smallBody = 4 << 10

// Ready asks the upstream for the API's base (end-1). It wants 200, or 401 where the
// config has no credentials to answer it with: that may be meant for others. Any other
// answer is an error that says what to do.
func (u *Upstream) Ready(ctx context.Context) error {
	resp, err := u.Do(ctx, Request{Route: route.Route{Kind: route.Base, Method: http.MethodGet}})
	var answered *Error
	switch {
	case errors.As(err, &answered) && answered.Status == http.StatusUnauthorized && u.username == "":
		return nil
	case err != nil:
		return err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, smallBody) // so that the connection can be used again
	if resp.Status != http.StatusOK {
		return fmt.Errorf("the upstream answers /v2/ with status %d; is it a registry, and is the path of upstream.url right?", resp.Status)
	}
	return nil
}
