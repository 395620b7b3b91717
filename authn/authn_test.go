package authn

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestSecret (G8): no way of printing, logging or marshalling shows the text.
func TestSecret(t *testing.T) {
	const text = "canary"
	s := Secret(text)
	list := []string{s.String(), fmt.Sprint(s), fmt.Sprint(&s), fmt.Errorf("%w: %v", errors.New("x"), s).Error()}
	for _, verb := range "vsqxXdcUTt" {
		list = append(list, fmt.Sprintf("%"+string(verb), s), fmt.Sprintf("%+#"+string(verb), s))
	}
	for _, v := range []any{Attempt{Login: "x", Password: s}, &Attempt{Password: s}, StaticUser{PasswordFile: SecretFile{Secret: s}, PasswordHash: s}, []Secret{s}, map[string]Secret{"x": s}} {
		list = append(list, fmt.Sprintf("%v %+v %#v %d", v, v, v, v))
		j, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		list = append(list, string(j))
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Error("x", "v", v, "s", s)
		slog.New(slog.NewTextHandler(&log, nil)).Error("x", "v", v, slog.Group("g", "s", s))
		list = append(list, log.String())
	}
	x, err := xml.Marshal(s)
	if err != nil {
		t.Error(err)
	}
	for _, shown := range append(list, string(x)) {
		for _, form := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text)} {
			if strings.Contains(shown, form) {
				t.Errorf("%s", shown)
			}
		}
	}
	if string(s) != text {
		t.Error("the text is gone")
	}
}
