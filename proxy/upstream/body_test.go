package upstream

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// TestWait: the limit counts from the moment when all of the request was sent.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		w := startWait(30*time.Second, func() { cancel(errSilent) })
		time.Sleep(10 * time.Minute) // a long upload
		if ctx.Err() != nil {
			t.Fatal("cut before the request was sent")
		}
		w.begin()
		start := time.Now()
		<-ctx.Done()
		if took := time.Since(start); took != 30*time.Second || !errors.Is(context.Cause(ctx), errSilent) {
			t.Errorf("cut after %s: %v", took, context.Cause(ctx))
		}
		ctx, cancel = context.WithCancelCause(t.Context())
		w = startWait(time.Second, func() { cancel(errSilent) })
		w.stop()
		w.begin()
		time.Sleep(time.Minute)
		if ctx.Err() != nil {
			t.Error("cut after stop")
		}
	})
}

// TestStalledAnswer: an upstream that stops in the middle is noticed.
func TestStalledAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		go io.WriteString(w, "begin")
		body := &answerBody{ReadCloser: r, cancel: func(why error) { w.CloseWithError(why) }}
		start := time.Now()
		text, err := io.ReadAll(body)
		if took := time.Since(start); !errors.Is(err, errStalled) || string(text) != "begin" || took != progressWindow {
			t.Errorf("%v after %q and %s", err, text, took)
		}
	})
}
