//go:build browser

package browser

import (
	"context"
	"os"
	"path/filepath"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// login logs in by the form.
func (b *tab) login(name string) {
	b.t.Helper()
	b.open("/ui/login")
	b.fill("#login", name)
	b.fill("#password", name+"-secret")
	b.press(".login button")
	if got := b.text(".who"); got != name {
		b.t.Fatalf("logged in as %q", got)
	}
}

// look sets the width of the window and the theme of the system.
func (b *tab) look(width int64, theme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, 800), chromedp.Func(func(ctx context.Context,
		t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia,
			emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme",
				Value: theme}}})
		return err
	}))
}

// keep writes a picture of the page into the folder $GATEHOUSE_SCREENSHOTS; without one it
// takes none.
func (b *tab) keep(name string) {
	b.t.Helper()
	folder := os.Getenv("GATEHOUSE_SCREENSHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
