package browser

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"gatehouse/authn/authntest"
)

// tab is one window of a browser that nobody else uses.
type tab struct {
	t    *testing.T
	ctx  context.Context
	site *site

	mu         sync.Mutex
	complaints []string // of the console, CSP reports among them
}

// tabLimit bounds all that a test does in a tab.
const tabLimit = 4 * time.Minute

// newTab starts a browser. Whatever its console complains of fails the test.
func newTab(t *testing.T, s *site) *tab {
	t.Helper()
	program := authntest.Program("chromium")
	if program == "" {
		t.Fatal("no chromium; cmd/internal/scripts/test-deps.sh installs it")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	ctx, end := context.WithTimeout(ctx, tabLimit)
	t.Cleanup(end)
	b := &tab{t: t, ctx: ctx, site: s}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(1280, 800))
	return b
}

// listen takes note of what a page complains of.
func (b *tab) listen(event any) {
	text := ""
	switch e := event.(type) {
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == "error" && !strings.Contains(e.Entry.Text, "the server responded with a status of") { // which the test sees itself
			text = e.Entry.Text
		}
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
	}
	if text == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, text)
}

// quiet fails the test where the console complained of something.
func (b *tab) quiet(where string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.complaints {
		b.t.Errorf("%s: the console: %s", where, text)
	}
	b.complaints = nil
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// open goes to a path of the site.
func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.site.url + path))
}

// eval runs an expression of the test's own, which a page's policy does not hold for.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// text is the text of the first element that a selector finds, "" where there is none.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, `(document.querySelector(`+quote(selector)+`)?.innerText ?? "").trim()`)
}

// page is the data-page of what is shown.
func (b *tab) page() string {
	b.t.Helper()
	return eval[string](b, `document.querySelector("main")?.dataset.page ?? ""`)
}

func quote(s string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(s) + "`"
}

// press clicks an element and waits for the page that comes.
func (b *tab) press(selector string) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Click(selector)); err != nil {
		b.t.Fatalf("%s: %v", selector, err)
	}
}

// fill types into a field.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(selector, text))
}

// scripts switches the scripts of pages on or off.
func (b *tab) scripts(on bool) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled,
			emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	}))
}
