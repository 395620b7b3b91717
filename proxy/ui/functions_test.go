package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/proxy/ui/browse"
)

// TestWords: sizes, numbers, times and names as people read them.
func TestWords(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for got, want := range map[string]string{
		bytesOf(-1):                                               "unknown",
		bytesOf(0):                                                "0 B",
		bytesOf(1023):                                             "1023 B",
		bytesOf(1024):                                             "1.0 KiB",
		bytesOf(5<<20 + 1<<19):                                    "5.5 MiB",
		bytesOf(1<<63 - 1):                                        "8.0 EiB",
		countOf(999):                                              "999",
		countOf(9214):                                             "9,214",
		countOf(1234567):                                          "1,234,567",
		countOf(-1000):                                            "-1,000",
		plural(1, "tag", "tags"):                                  "1 tag",
		plural(5000, "tag", "tags"):                               "5,000 tags",
		age(now, now.Add(-30*time.Second)):                        "just now",
		age(now, now.Add(-time.Minute)):                           "1 minute ago",
		age(now, now.Add(-25*time.Hour)):                          "1 day ago",
		age(now, now.AddDate(-2, 0, -5)):                          "2 years ago",
		age(now, now.Add(6*24*time.Hour)):                         "in 6 days",
		age(now, now.Add(29*time.Second)):                         "just now",
		age(now, now.Add(31*time.Second)):                         "in 1 minute",
		age(now, now.Add(89*time.Minute)):                         "in 89 minutes",
		age(now, now.Add(8*time.Hour-1)):                          "in 8 hours",
		age(now, now.Add(24*time.Hour-1)):                         "in 24 hours",
		age(now, now.Add(36*time.Hour-1)):                         "in 36 hours",
		age(now, now.Add(7*day-1)):                                "in 7 days",
		age(now, now.Add(30*day-1)):                               "in 30 days",
		age(now, now.Add(30*day-11*time.Hour)):                    "in 30 days",
		age(now, now.Add(30*day-13*time.Hour)):                    "in 29 days",
		age(now, now.Add(90*day-1)):                               "in 90 days",
		age(now, now.Add(365*day-1)):                              "in 12 months",
		age(now, now.Add(3*365*day-1)):                            "in 3 years",
		age(now, now.Add(-30*day+time.Second)):                    "29 days ago",
		age(now, now.AddDate(973, 0, 0)):                          "in 974 years",
		age(now, now.AddDate(7973, 0, 0)):                         "in 7,978 years",
		age(now, now.AddDate(-526, 0, 0)):                         "526 years ago",
		age(now, time.Time{}.AddDate(0, 0, 1)):                    "2,027 years ago",
		brief(0):                                                  "–",
		brief(4300 * time.Microsecond):                            "4.3 ms",
		brief(75 * time.Millisecond):                              "75 ms",
		brief(2340 * time.Millisecond):                            "2.3 s",
		wait(0):                                                   "a second",
		wait(90 * time.Second):                                    "90 seconds",
		wait(121 * time.Second):                                   "3 minutes",
		shortDigest(digest):                                       "e3b0c44298fc",
		shortDigest("short"):                                      "short",
		commandLine([]string{"/bin/sh", "-c", "a b", "", "it's"}): `/bin/sh -c 'a b' '' 'it'\''s'`,
		kindOf(browse.Summary{Kind: browse.ChartKind}):            "helm chart",
		kindOf(browse.Summary{Kind: browse.ArtifactKind, ArtifactType: "application/x"}): "application/x",
		kindOf(browse.Summary{Kind: browse.ArtifactKind}):                                "artifact",
		kindOf(browse.Summary{}):                            "unknown type",
		plain("a\u202eb\u0000c\u200bd\nü\U0001f600"):        `a\u202eb\x00c\u200bd\nü` + "\U0001f600",
		plain("no change"):                                  "no change",
		lines("a\n\tb\r\nc\n"):                              "a\n\tb\nc\n",
		lines("a\rb\u202ec\u0000\v\u2028\nd\u200b\u009b"):   `a\rb\u202ec\x00\v\u2028` + "\n" + `d\u200b\u009b`,
		word(true, "file", "layer") + word(false, "a", "b"): "fileb",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestShellWord: what a shell would read otherwise is quoted.
func TestShellWord(t *testing.T) {
	for got, want := range map[string]string{
		shellWord("mary@example.com"):                                         "mary@example.com",
		shellWord("Zoë-1_a.b"):                                                "Zoë-1_a.b",
		shellWord("mary ann;id"):                                              "'mary ann;id'",
		shellWord("o'hara"):                                                   `'o'\''hara'`,
		shellWord("$(id)") + shellWord("`id`") + shellWord("a\nb"):            "'$(id)''`id`''a\nb'",
		shellWord("a&b") + shellWord("*") + shellWord("~a") + shellWord("!1"): "'a&b''*''~a''!1'",
		shellWord("a|b") + shellWord("#a") + shellWord("<a"):                  "'a|b''#a''<a'",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestPulls: the commands for each kind, by tag and by digest.
func TestPulls(t *testing.T) {
	for _, test := range []struct {
		kind, reference, by string
		want                string
	}{
		{"image", "v1", "tag", "docker pull h/a/b:v1|podman pull h/a/b:v1|crane pull h/a/b:v1 b.tar|oras copy h/a/b:v1 --to-oci-layout b"},
		{"index", digest, "digest", "docker pull h/a/b@" + digest + "|podman pull h/a/b@" + digest + "|crane pull h/a/b@" + digest + " b.tar|oras copy h/a/b@" + digest + " --to-oci-layout b"},
		{"artifact", "v1", "tag", "oras pull h/a/b:v1|crane pull h/a/b:v1 b.tar"},
		{"chart", "1.0_meta", "tag", "helm pull oci://h/a/b --version 1.0+meta|oras copy h/a/b:1.0_meta --to-oci-layout b"},
		{"chart", digest, "digest", "helm pull oci://h/a/b@" + digest + "|oras copy h/a/b@" + digest + " --to-oci-layout b"},
	} {
		var texts []string
		for _, c := range pulls("h", "a/b", test.reference, test.kind, test.by) {
			texts = append(texts, c.Text)
			if c.By != test.by || c.Client != strings.Fields(c.Text)[0] {
				t.Errorf("%+v", c)
			}
		}
		if got := strings.Join(texts, "|"); got != test.want {
			t.Errorf("%s %s: %s", test.kind, test.by, got)
		}
	}
}

// TestRefusals: the last 1,000, the newest first.
func TestRefusals(t *testing.T) {
	s := newSite(t, nil)
	for i := range maxRefusals + 5 {
		s.memory.Refuse(Refusal{RequestID: fmt.Sprint(i)})
	}
	list := s.memory.lastRefusals()
	if len(list) != maxRefusals || list[0].RequestID != "1004" || list[999].RequestID != "5" {
		t.Errorf("%d from %s to %s", len(list), list[0].RequestID, list[len(list)-1].RequestID)
	}
}

// TestEndedSessions: an id is remembered until the session would have ended anyway.
func TestEndedSessions(t *testing.T) {
	s, now := newSite(t, nil), time.Now()
	s.memory.end("a", now.Add(time.Hour), now)
	s.memory.end("b", now.Add(3*time.Hour), now.Add(30*time.Minute))
	if !s.memory.ended("a") || !s.memory.ended("b") || s.memory.ended("c") {
		t.Error("what was ended is not remembered")
	}
	if s.memory.end("c", now.Add(3*time.Hour), now.Add(2*time.Hour)); s.memory.ended("a") || !s.memory.ended("b") {
		t.Error("what is over anyway is remembered, or too much is forgotten")
	}
}
