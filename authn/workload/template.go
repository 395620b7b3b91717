package workload

import (
	"errors"
	"fmt"
	"strings"
)

// template is a text with {claims} in it.
type template []piece

// piece is a text as it stands, or a claim.
type piece struct {
	text  string
	claim string // empty: it is text
}

// parseTemplate reads one.
func parseTemplate(text string) (template, error) {
	var t template
	for text != "" {
		before, rest, open := strings.Cut(text, "{")
		if strings.Contains(before, "}") {
			return nil, errors.New("a } without {")
		}
		if before != "" {
			t = append(t, piece{text: before})
		}
		if !open {
			break
		}
		claim, after, closed := strings.Cut(rest, "}")
		if !closed || strings.Contains(claim, "{") {
			return nil, errors.New("a { without }")
		}
		if _, err := parseReference(claim); err != nil {
			return nil, err
		}
		t, text = append(t, piece{claim: claim}), after
	}
	return t, nil
}

// claims are those in it.
func (t template) claims() []string {
	var list []string
	for _, p := range t {
		if p.claim != "" {
			list = append(list, p.claim)
		}
	}
	return list
}

// fill puts the claims in.
func (t template) fill(read reader) (string, error) {
	var b strings.Builder
	for _, p := range t {
		if p.claim == "" {
			b.WriteString(p.text)
			continue
		}
		text, err := read.one(p.claim)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// each is fill for what may have several values, or none.
func (t template) each(read reader) []string {
	if len(t) == 1 && t[0].claim != "" {
		return read.all(t[0].claim)
	}
	text, err := t.fill(read)
	if err != nil {
		return nil
	}
	return []string{text}
}

// reader reads claims for the templates of a workload.
type reader struct {
	form Form
	of   *workload
	c    Claims
}

// one is the only value of a claim: of several, the only one that fits the match.
func (r reader) one(claim string) (string, error) {
	switch texts := r.all(claim); {
	case len(texts) == 1:
		return texts[0], nil
	case len(texts) > 1:
		return "", fmt.Errorf("the claim %s has %d values, and there may be one", claim, len(texts))
	}
	return "", fmt.Errorf("the claim %s is absent, or no text", claim)
}

// all are the values of a claim, or of a part of it: those that fit where the match
// speaks of the claim.
func (r reader) all(claim string) []string {
	part, isPart := r.form.Parts[claim]
	if isPart {
		claim = part.Of
	}
	texts := textsOf(r.c[claim])
	if cond := r.of.wants(claim); cond != nil {
		texts = cond.fitting(r.c[claim])
	}
	if !isPart {
		return texts
	}
	var pieces []string
	for _, text := range texts {
		if piece, ok := part.Cut(text); ok {
			pieces = append(pieces, piece)
		}
	}
	return pieces
}
