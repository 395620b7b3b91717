// Package shadow is the table of where a policy that is tried would decide otherwise than
// the one that counts.
package shadow

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// The bounds of a table.
const (
	MaxRows   = 1000        // that it has at most
	maxListed = MaxRows / 2 // of names in catalogs, which come by the thousand and have to leave room for others
)

// What a difference would change, and who has no name.
const (
	Granted   = "granted"
	Refused   = "refused"
	Anonymous = "-"
	Catalog   = "catalog"
)

// Difference is a decision that the two policies take in two ways.
type Difference struct {
	User       string `json:"user"`                // a name, or Anonymous
	Directory  string `json:"directory,omitempty"` // the user's; empty: Anonymous
	Repository string `json:"repository"`          // of a Catalog a name that it has or lacks; empty: all of it
	Action     string `json:"action"`              // pull, push, delete or Catalog
	Old        string `json:"old"`                 // the rule of the policy that counts, or none
	New        string `json:"new"`                 // the rule of the one that is tried, or none
	Change     string `json:"change"`              // Granted or Refused: what the policy that is tried would do
}

// Row is a difference with how often there was one.
type Row struct {
	Difference
	Count int64     `json:"count"` // requests
	First time.Time `json:"first"` // when the first came
	Last  time.Time `json:"last"`  // when the last came
}

// Report is all of a table.
type Report struct {
	Rows    []Row `json:"rows"`     // the most frequent first
	LeftOut int64 `json:"left_out"` // requests that found no room
	// Unknown are pushes of which the registry did not say, or not in time, what their tags
	// named, so that nothing was compared.
	Unknown int64 `json:"unknown,omitempty"`
}

// Table counts differences. Its zero value is empty. It outlives reloads and is safe for
// concurrent use.
type Table struct {
	mu      sync.Mutex
	of      string
	rows    map[Difference]*Row
	listed  int // rows of names in catalogs
	leftOut int64
	unknown int64
}

// Take names the policy that is tried, by anything that stands for its rules; another one
// than before empties the table.
func (t *Table) Take(policy string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of != policy {
		t.of, t.rows, t.listed, t.leftOut, t.unknown = policy, nil, 0, 0, 0
	}
}

// Note counts a difference.
func (t *Table) Note(d Difference, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	row := t.rows[d]
	if row == nil {
		if row = t.addLocked(d); row == nil {
			t.leftOut++
			return
		}
		row.First = now.UTC()
	}
	row.Count++
	row.Last = now.UTC()
}

// addLocked adds a row; nil: there is no room for it.
func (t *Table) addLocked(d Difference) *Row {
	listed := d.Action == Catalog && d.Repository != ""
	switch {
	case len(t.rows) >= MaxRows, listed && t.listed >= maxListed:
		return nil
	case t.rows == nil:
		t.rows = map[Difference]*Row{}
	}
	if listed {
		t.listed++
	}
	t.rows[d] = &Row{Difference: d}
	return t.rows[d]
}

// Miss counts a push as unknown.
func (t *Table) Miss() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unknown++
}

// Report is what was counted.
func (t *Table) Report() Report {
	r := t.copy() // in order outside the lock, for which requests wait
	slices.SortFunc(r.Rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.User, b.User), cmp.Compare(a.Directory, b.Directory), cmp.Compare(a.Repository, b.Repository),
			cmp.Compare(a.Action, b.Action), cmp.Compare(a.Old, b.Old), cmp.Compare(a.New, b.New))
	})
	return r
}

func (t *Table) copy() Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Report{Rows: make([]Row, 0, len(t.rows)), LeftOut: t.leftOut, Unknown: t.unknown}
	for _, row := range t.rows {
		r.Rows = append(r.Rows, *row)
	}
	return r
}

// Of are the rows of one user.
func (r Report) Of(directory, user string) (rows []Row) {
	for _, row := range r.Rows {
		if row.Directory == directory && row.User == user {
			rows = append(rows, row)
		}
	}
	return rows
}

// Print writes the table for people.
func (r Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CHANGE\tUSER\tACTION\tREPOSITORY\tOLD\tNEW\tCOUNT\tFIRST\tLAST")
	for _, row := range r.Rows {
		repository := row.Repository
		if repository == "" {
			repository = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", row.Change, row.User, row.Action, repository, row.Old, row.New,
			row.Count, row.First.Format(time.RFC3339), row.Last.Format(time.RFC3339))
	}
	if r.LeftOut > 0 {
		fmt.Fprintf(t, "%d requests more differ, and found no room in %d rows\n", r.LeftOut, MaxRows)
	}
	if r.Unknown > 0 {
		fmt.Fprintf(t, "%d pushes are not compared, as the registry did not say what their tags named\n", r.Unknown)
	}
	return t.Flush()
}
