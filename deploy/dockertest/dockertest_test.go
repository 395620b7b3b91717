package dockertest

import (
	"strings"
	"testing"
)

func TestStartGivesAnEngineOfItsOwn(t *testing.T) {
	e := Start(t)
	if out := e.Run(t, "images", "--quiet"); strings.TrimSpace(out) != "" {
		t.Errorf("a new engine has images: %s", out)
	}
	if out, err := e.Output("pull", "127.0.0.1:1/none"); err == nil {
		t.Errorf("a pull from nowhere succeeded: %s", out)
	}
}
