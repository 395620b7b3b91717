package shadow

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTable: differences are counted by all that tells them apart, up to MaxRows of them.
func TestTable(t *testing.T) {
	var table Table
	table.Take("one")
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d := Difference{User: "ann", Repository: "team/a", Action: "pull", Old: "p:1", New: "none", Change: Refused}
	table.Note(d, at)
	table.Note(d, at.Add(time.Hour))
	other := d
	other.User, other.Change = Anonymous, Granted
	table.Note(other, at.Add(time.Minute))
	table.Take("one")
	r := table.Report()
	if len(r.Rows) != 2 || r.Rows[0] != (Row{d, 2, at, at.Add(time.Hour)}) || r.Rows[1] != (Row{other, 1, at.Add(time.Minute), at.Add(time.Minute)}) || r.LeftOut != 0 {
		t.Errorf("%+v", r)
	}
	for i := range MaxRows {
		more := d
		more.Repository = fmt.Sprint("x/", i)
		table.Note(more, at)
	}
	table.Note(d, at)
	if r = table.Report(); len(r.Rows) != MaxRows || r.LeftOut != 2 || r.Rows[0].Count != 3 {
		t.Errorf("%d rows, %d left out, the first %+v", len(r.Rows), r.LeftOut, r.Rows[0])
	}
	var out strings.Builder
	if err := r.Print(&out); err != nil || strings.Count(out.String(), "\n") != MaxRows+2 || !strings.HasSuffix(out.String(), "2 requests more differ, and found no room in 1000 rows\n") {
		t.Error(err, out.String()[:300])
	}
	if table.Take("two"); len(table.Report().Rows) != 0 || table.Report().LeftOut != 0 || table.Report().Rows == nil {
		t.Error("another policy leaves the table")
	}
}

// TestListed: names in catalogs take half of the rows at most, whichever came first.
func TestListed(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var table Table
	table.Take("one")
	fill := func(action string, n int) {
		for i := range n {
			table.Note(Difference{User: "ann", Repository: fmt.Sprint("x/", i), Action: action}, at)
		}
	}
	for range 2 { // what has a row goes on
		fill(Catalog, maxListed+2)
		table.Note(Difference{User: "ann", Action: Catalog}, at)
		fill("pull", maxListed)
	}
	r := table.Report()
	listed := 0
	for _, row := range r.Rows {
		if row.Action == Catalog && row.Repository != "" {
			listed++
		}
	}
	if len(r.Rows) != MaxRows || listed != maxListed || r.LeftOut != 2*(2+1) || r.Rows[0].Count != 2 {
		t.Errorf("%d rows, %d of names, %d left out", len(r.Rows), listed, r.LeftOut)
	}
	if table.Take("two"); true {
		fill(Catalog, maxListed)
	}
	if r = table.Report(); len(r.Rows) != maxListed || r.LeftOut != 0 {
		t.Errorf("another policy: %d rows, %d left out", len(r.Rows), r.LeftOut)
	}
}

// TestMiss: what is not known is counted, until another policy is tried.
func TestMiss(t *testing.T) {
	var table Table
	table.Take("one")
	table.Miss()
	table.Miss()
	r := table.Report()
	var out strings.Builder
	if err := r.Print(&out); err != nil || r.Unknown != 2 || !strings.HasSuffix(out.String(), "LAST\n2 pushes are not compared, as the registry did not say what their tags named\n") {
		t.Errorf("%d: %v %s", r.Unknown, err, out.String())
	}
	text, err := json.Marshal(r)
	if err != nil || string(text) != `{"rows":[],"left_out":0,"unknown":2}` {
		t.Errorf("%s %v", text, err)
	}
	if table.Take("two"); table.Report().Unknown != 0 {
		t.Error("another policy keeps the count")
	}
	if text, err = json.Marshal(table.Report()); err != nil || string(text) != `{"rows":[],"left_out":0}` {
		t.Errorf("%s %v", text, err)
	}
}

// TestTableTogether: nothing is lost of what is noted while the table is read, and each
// report is in order.
func TestTableTogether(t *testing.T) {
	var table Table
	const people, times = 4, 200
	var wait sync.WaitGroup
	for i := range people {
		wait.Go(func() {
			for range times * (i + 1) {
				table.Note(Difference{User: fmt.Sprint("u", i), Action: "pull", Change: Granted}, time.Now())
			}
		})
		wait.Go(func() {
			for range times {
				rows := table.Report().Rows
				if !slices.IsSortedFunc(rows, func(a, b Row) int { return cmp.Compare(b.Count, a.Count) }) {
					t.Errorf("%+v", rows)
				}
			}
		})
	}
	wait.Wait()
	for i, row := range table.Report().Rows {
		if want := int64(times * (people - i)); row.Count != want || row.User != fmt.Sprint("u", people-1-i) {
			t.Errorf("%+v, want %d", row, want)
		}
	}
}

// TestReportOf: the rows of one user; another directory may have one of the same name.
func TestReportOf(t *testing.T) {
	var table Table
	for _, d := range []Difference{{User: "ann", Directory: "local", Repository: "a"}, {User: "ann", Directory: "example", Repository: "b"}, {User: "bob", Directory: "local", Repository: "c"}} {
		table.Note(d, time.Now())
	}
	rows := table.Report().Of("local", "ann")
	if len(rows) != 1 || rows[0].Repository != "a" || table.Report().Of("local", "eve") != nil {
		t.Errorf("%+v", rows)
	}
}

// TestPrint: the table for people, line by line, and a writer that fails.
func TestPrint(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := Report{Rows: []Row{{Difference{User: "ann", Repository: "team/a", Action: "pull", Old: "p:1", New: "none", Change: Refused}, 2, at, at.Add(time.Hour)},
		{Difference{User: Anonymous, Action: "catalog", Old: "none", New: "q:1", Change: Granted}, 1, at, at}}}
	want := [][]string{strings.Fields("CHANGE USER ACTION REPOSITORY OLD NEW COUNT FIRST LAST"),
		strings.Fields("refused ann pull team/a p:1 none 2 2026-01-01T00:00:00Z 2026-01-01T01:00:00Z"), strings.Fields("granted - catalog - none q:1 1 2026-01-01T00:00:00Z 2026-01-01T00:00:00Z")}
	for _, r.LeftOut = range []int64{0, 1} {
		var out strings.Builder
		if err := r.Print(&out); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != len(want)+int(r.LeftOut) {
			t.Fatalf("%d left out: %q", r.LeftOut, lines)
		}
		for i := range want {
			if !slices.Equal(strings.Fields(lines[i]), want[i]) {
				t.Errorf("%q, want %q", lines[i], want[i])
			}
		}
	}
	closed, writer := io.Pipe()
	closed.Close()
	if err := r.Print(writer); err != io.ErrClosedPipe {
		t.Errorf("nobody reads: %v", err)
	}
}
