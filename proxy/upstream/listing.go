package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"gatehouse/proxy/route"
)

const (
	// maxPageBytes bounds one page of the upstream's, in bytes.
	maxPageBytes = 8 << 20
)

// Listing reads the upstream's catalog page by page, in the upstream's own order.
// Where that order is known it leaves out what its reader cannot see.
type Listing struct {
	u      *Registry
	header http.Header
	within []string        // see Registry.Catalog
	size   int             // of a page; 0: as the upstream likes
	last   string          // the cursor: names after this one
	seen   map[string]bool // cursors
	jumped bool            // something was left out
	mixed  [2]bool         // names came out of the order of bytes, of that of a walk
	begun  bool
}

// Page is one page of the catalog.
type Page struct {
	Names []string // as the upstream gives them, unchecked
	More  bool     // there may be further pages
	// Refusal is the upstream's own error, which may go to a client, in the place of
	// its first page; its body must be closed.
	Refusal *Response
}

// Catalog lists the repositories after a name (empty: from the first). Only those are
// of interest that begin like one of within: `team/` is team and all below it, `team-`
// what begins so, and "" any. Others may be among them, or left out.
func (u *Registry) Catalog(header http.Header, after string, within []string) *Listing {
	return &Listing{u: u, header: header, within: within, size: route.MaxPage, last: after, seen: map[string]bool{}}
}

// Next reads the next page. A part never looks like the whole: what cannot be
// followed to its end is an error.
func (l *Listing) Next(ctx context.Context) (Page, error) {
	if len(l.within) == 0 {
		return Page{}, nil
	}
	page, next, err := l.read(ctx)
	l.begun = true
	if err != nil || page.Refusal != nil || next == "" {
		return page, err
	}
	if l.seen[next] {
		return page, answerError("the cursor %q of its catalog comes again", next)
	}
	l.seen[next], l.last, page.More = true, next, true
	return page, l.jump(ctx, &page)
}

// jump moves the cursor over what nobody wants to see.
func (l *Listing) jump(ctx context.Context, page *Page) error {
	at := l.last
	if n := len(page.Names); n > 0 {
		at = page.Names[n-1]
	}
	to, over := skip(l.within, at)
	if !over && to == "" {
		return nil
	}
	sorted, err := l.u.sorted(ctx, l.header)
	if err != nil || !sorted {
		return err
	}
	if page.More = !over; !over {
		l.last, l.jumped = to, true
	}
	return nil
}

// read asks for one page and its cursor. An upstream whose pages are smaller than
// ours refuses the size and may choose one itself.
func (l *Listing) read(ctx context.Context) (page Page, next string, err error) {
	resp, err := l.u.catalog(ctx, l.header, l.size, l.last)
	if err == nil && resp.Status == http.StatusBadRequest && l.size > 0 {
		resp.Body.Close()
		l.size = 0
		resp, err = l.u.catalog(ctx, l.header, 0, l.last)
	}
	if err != nil {
		return page, "", err
	}
	if resp.Status != http.StatusOK {
		if l.begun || resp.Status < 400 {
			resp.Body.Close()
			return page, "", &Error{Reason: ErrAnswer, Status: resp.Status, Sent: true, Cause: fmt.Errorf("it does not list its catalog: status %d", resp.Status)}
		}
		resp.Header.Del("Link")
		return Page{Refusal: resp}, "", nil
	}
	defer resp.Body.Close()
	page.Names, err = decodeNames(ctx, resp)
	if err != nil {
		return page, "", err
	}
	if next, err = cursor(resp.Header["Link"], page.Names); err != nil {
		return page, "", err
	}
	return page, next, l.ordered(page.Names)
}

// ordered watches that nothing is missed: all names have to come in one of the two
// orders. A registry that sorts as a language does (by a database's collation) does not.
func (l *Listing) ordered(names []string) error {
	before := l.last
	for _, name := range names {
		l.mixed[0] = l.mixed[0] || !less(before, name)
		l.mixed[1] = l.mixed[1] || !lessPath(before, name)
		before = name
	}
	if !l.mixed[0] || !l.mixed[1] {
		return nil
	}
	l.u.order.never()
	if l.jumped {
		return answerError("its catalog up to %q is in no known order, so what was left out is not known; the next listing reads all of it", before)
	}
	return nil
}

// catalog asks for one page of size names (0: any) after last.
func (u *Registry) catalog(ctx context.Context, header http.Header, size int, last string) (*Response, error) {
	rt := route.Route{Kind: route.Catalog, Method: http.MethodGet}
	if size > 0 {
		rt.Query = append(rt.Query, route.Pair{Key: "n", Value: strconv.Itoa(size)})
	}
	if last != "" {
		rt.Query = append(rt.Query, route.Pair{Key: "last", Value: last})
	}
	return u.Do(ctx, Request{Route: rt, Header: header.Clone()})
}

func decodeNames(ctx context.Context, resp *Response) ([]string, error) {
	var body struct{ Repositories []string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxPageBytes)).Decode(&body); err != nil {
		e := failed(ctx, nil, err)
		e.Status = resp.Status
		if e.Reason == ErrUnreachable {
			e.Reason = ErrAnswer
		}
		return nil, e
	}
	_, _ = io.CopyN(io.Discard, resp.Body, smallBody)
	return body.Repositories, nil
}

// cursor reads `last` out of the Link to the next page. A Link without one is an
// error: to stop there would show a part of the catalog as the whole.
func cursor(fields, names []string) (string, error) {
	links, err := parseLinks(fields)
	for _, l := range links {
		if l.rel != "next" {
			continue
		}
		if _, query, ok := strings.Cut(l.url, "?"); ok {
			if values, err := url.ParseQuery(query); err == nil && values.Get("last") != "" {
				return values.Get("last"), nil
			}
		}
		err = fmt.Errorf("the link %q after %d names", l.url, len(names))
	}
	if err != nil {
		return "", answerError("a catalog page without a cursor: %v", err)
	}
	return "", nil
}

func answerError(format string, args ...any) error {
	return &Error{Reason: ErrAnswer, Status: http.StatusOK, Sent: true, Cause: fmt.Errorf(format, args...)}
}
