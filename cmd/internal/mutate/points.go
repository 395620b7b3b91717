package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// mutant is one change to the program: a check removed or turned round.
type mutant struct {
	id   int
	line int
	name string // file, function and what is changed; does not hang on line numbers
}

// source is one file in which every mutant is written down, each behind a switch
// that is off unless its id is in the environment.
type source struct {
	name    string // as given
	text    []byte
	fset    *token.FileSet
	edits   []edit
	inits   []string // statements that remove entries of tables
	mutants []*mutant
	ids     *int
	fn      string     // the function that is being walked
	results []ast.Expr // the types of its results
}

// edit is text put in at an offset. Of those at one offset the closing ones come
// first, then the rest in the order in which they were made.
type edit struct {
	at, until int // what lies between is replaced
	text      string
	closing   bool
}

// parseSource finds the mutants of a file; ids counts them over all files.
func parseSource(name string, text []byte, ids *int) (*source, error) {
	s := &source{name: name, text: text, fset: token.NewFileSet(), ids: ids}
	file, err := parser.ParseFile(s.fset, name, text, 0)
	if err != nil {
		return nil, err
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			s.function(d)
		case *ast.GenDecl:
			s.tables(d)
		}
	}
	return s, nil
}

// add makes a mutant and gives the call that reports whether it is on.
func (s *source) add(at token.Pos, what string) string {
	*s.ids++
	name := fmt.Sprintf("%s %s: %s", s.name, s.fn, what)
	same := 0
	for _, m := range s.mutants {
		if m.name == name || strings.HasPrefix(m.name, name+" #") {
			same++
		}
	}
	if same > 0 {
		name += fmt.Sprintf(" #%d", same+1)
	}
	s.mutants = append(s.mutants, &mutant{id: *s.ids, line: s.fset.Position(at).Line, name: name})
	return fmt.Sprintf("mutantIs(%d)", *s.ids)
}

func (s *source) offset(p token.Pos) int { return s.fset.Position(p).Offset }

// of is the text of a node on one line.
func (s *source) of(n ast.Node) string {
	return strings.Join(strings.Fields(string(s.text[s.offset(n.Pos()):s.offset(n.End())])), " ")
}

// wrap puts text around a node. Nodes are walked from the outside in, so the
// closing texts stand in reverse.
func (s *source) wrap(n ast.Node, before, after string) {
	s.edits = append(s.edits, edit{s.offset(n.Pos()), s.offset(n.Pos()), before, false})
	s.edits = slices.Insert(s.edits, 0, edit{s.offset(n.End()), s.offset(n.End()), after, true})
}

// function walks one function. The panic behind its end is there for the
// compiler, which cannot know that a switched statement always runs.
func (s *source) function(d *ast.FuncDecl) {
	if d.Body == nil {
		return
	}
	s.fn, s.results = d.Name.Name, nil
	if r := d.Type.Results; r != nil {
		for _, f := range r.List {
			for range max(1, len(f.Names)) {
				s.results = append(s.results, f.Type)
			}
		}
		end := s.offset(d.Body.Rbrace)
		s.edits = append(s.edits, edit{end, end, "; panic(\"mutant\") ", false})
	}
	ast.Inspect(d.Body, s.visit)
}

func (s *source) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncLit:
		s.literal(n)
		return false
	case *ast.BlockStmt:
		s.statements(n.List)
	case *ast.IfStmt:
		s.initializer(n.Init)
		s.condition(n.Cond)
	case *ast.ForStmt:
		if n.Cond != nil {
			s.wrap(n.Cond, "!"+s.add(n.Cond.Pos(), "loop never runs: "+s.of(n.Cond))+" && (", ")")
		}
	case *ast.SwitchStmt:
		s.switched(n)
	case *ast.CaseClause:
		s.statements(n.Body)
	case *ast.BinaryExpr:
		s.binary(n)
	}
	return true
}

// literal walks a function literal, whose results are its own.
func (s *source) literal(n *ast.FuncLit) {
	outer := s.results
	s.results = nil
	if n.Type.Results != nil {
		for _, f := range n.Type.Results.List {
			s.results = append(s.results, f.Type)
		}
		end := s.offset(n.Body.Rbrace)
		s.edits = append(s.edits, edit{end, end, "; panic(\"mutant\") ", false})
	}
	ast.Inspect(n.Body, s.visit)
	s.results = outer
}

// condition is forced both ways.
func (s *source) condition(c ast.Expr) {
	s.wrap(c, "("+s.add(c.Pos(), "always "+s.of(c))+" || !"+s.add(c.Pos(), "never "+s.of(c))+" && (", "))")
}

// switched forces the conditions of a switch, and empties the clauses whose
// conditions are values or that are the default.
func (s *source) switched(n *ast.SwitchStmt) {
	for _, stmt := range n.Body.List {
		clause := stmt.(*ast.CaseClause)
		if n.Tag == nil {
			for _, c := range clause.List {
				s.condition(c)
			}
		}
		if (n.Tag != nil || clause.List == nil) && len(clause.Body) > 0 {
			what := "default"
			for i, c := range clause.List {
				if what = s.of(c); i == 0 {
					what = "case " + what
				}
			}
			first, last := clause.Body[0], clause.Body[len(clause.Body)-1]
			s.wrap(span{first.Pos(), last.End()}, "if !"+s.add(clause.Pos(), "nothing for "+what)+" { ", " }")
		}
	}
}

// span is several nodes in a row.
type span struct{ pos, end token.Pos }

func (s span) Pos() token.Pos { return s.pos }
func (s span) End() token.Pos { return s.end }

// binary drops each side of && and ||, negates comparisons, and moves the bound
// of those that have one.
func (s *source) binary(n *ast.BinaryExpr) {
	switch n.Op {
	case token.LAND:
		for _, side := range []ast.Expr{n.X, n.Y} {
			s.wrap(side, "("+s.add(side.Pos(), "without && "+s.of(side))+" || ", ")")
		}
	case token.LOR:
		for _, side := range []ast.Expr{n.X, n.Y} {
			s.wrap(side, "(!"+s.add(side.Pos(), "without || "+s.of(side))+" && ", ")")
		}
	case token.EQL, token.NEQ:
		s.wrap(n, "((", ") != "+s.add(n.Pos(), "not "+s.of(n))+")")
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		s.wrap(n, "(("+s.bound(n), ")) != "+s.add(n.Pos(), "not "+s.of(n))+")")
		at := s.offset(n.OpPos)
		s.edits = append(s.edits, edit{at, at + len(n.Op.String()), ",", false})
	}
}

var bounds = map[token.Token]string{token.LSS: "mutantLess", token.LEQ: "mutantLessEqual", token.GTR: "mutantGreater", token.GEQ: "mutantGreaterEqual"}

func (s *source) bound(n *ast.BinaryExpr) string {
	s.add(n.Pos(), "bound of "+s.of(n))
	return fmt.Sprintf("%s(%d, ", bounds[n.Op], *s.ids)
}

// initializer deletes what stands before a condition, where it is no declaration.
func (s *source) initializer(n ast.Stmt) {
	if n != nil && deletable(n) {
		s.wrap(n, "func() { if !"+s.add(n.Pos(), "deleted "+s.of(n))+" { ", " } }()")
	}
}

func (s *source) statements(list []ast.Stmt) {
	for _, n := range list {
		if r, ok := n.(*ast.ReturnStmt); ok && len(r.Results) > 0 {
			s.returned(r)
		} else if deletable(n) {
			s.wrap(n, "if !"+s.add(n.Pos(), "deleted "+firstLine(s.of(n)))+" { ", " }")
		}
	}
}

func firstLine(text string) string {
	head, _, cut := strings.Cut(text, " {")
	if cut {
		head += " {"
	}
	return head
}

func deletable(n ast.Stmt) bool {
	switch n := n.(type) {
	case *ast.AssignStmt:
		return n.Tok != token.DEFINE
	case *ast.ExprStmt, *ast.IncDecStmt, *ast.BranchStmt, *ast.RangeStmt, *ast.ReturnStmt, *ast.DeferStmt:
		return true
	case *ast.ForStmt:
		return n.Cond == nil // one with a condition is dealt with there
	}
	return false
}

// returned turns a lone bool round, and gives the zero values instead of others.
func (s *source) returned(r *ast.ReturnStmt) {
	if len(s.results) != len(r.Results) {
		return // what a call gives is passed on
	}
	if t, ok := s.results[0].(*ast.Ident); ok && t.Name == "bool" && len(r.Results) == 1 {
		if !isComparison(r.Results[0]) {
			s.wrap(r.Results[0], "(", ") != "+s.add(r.Pos(), "return not "+s.of(r.Results[0])))
		}
		return
	}
	if !slices.ContainsFunc(r.Results, func(e ast.Expr) bool { return !zero(e) }) {
		return
	}
	var zeros []string
	for _, t := range s.results {
		zeros = append(zeros, "*new("+s.of(t)+")")
	}
	s.wrap(r, "if "+s.add(r.Pos(), "zero instead of "+s.of(r))+" { return "+strings.Join(zeros, ", ")+" }; ", "")
}

func isComparison(e ast.Expr) bool {
	b, ok := e.(*ast.BinaryExpr)
	return ok && b.Op != token.LAND && b.Op != token.LOR
}

// zero reports whether e is written as a zero value.
func zero(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "nil" || e.Name == "false"
	case *ast.BasicLit:
		return e.Value == "0" || e.Value == `""`
	case *ast.CompositeLit:
		return len(e.Elts) == 0
	}
	return false
}

// tables takes each entry out of the maps of the package, and each element out of
// an entry that is a list.
func (s *source) tables(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		v, ok := spec.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			continue
		}
		lit, ok := v.Values[0].(*ast.CompositeLit)
		if !ok {
			continue
		}
		if _, ok := lit.Type.(*ast.MapType); !ok {
			continue
		}
		s.fn = v.Names[0].Name
		for _, elt := range lit.Elts {
			s.entry(elt.(*ast.KeyValueExpr))
		}
	}
}

func (s *source) entry(e *ast.KeyValueExpr) {
	key := s.of(e.Key)
	s.inits = append(s.inits, fmt.Sprintf("if %s { delete(%s, %s) }", s.add(e.Pos(), "no entry "+key), s.fn, key))
	list, ok := e.Value.(*ast.CompositeLit)
	if !ok {
		return
	}
	for i, elt := range list.Elts {
		on := s.add(elt.Pos(), "no "+s.of(elt)+" in "+key)
		s.inits = append(s.inits, fmt.Sprintf("if %s { v := %s[%s]; %s[%s] = append(v[:%d:%d], v[%d:]...) }", on, s.fn, key, s.fn, key, i, i, i+1))
	}
}

// mutated is the file with all of its mutants in it.
func (s *source) mutated() string {
	slices.SortStableFunc(s.edits, func(a, b edit) int {
		if c := cmp.Compare(a.at, b.at); c != 0 || a.closing == b.closing {
			return c
		}
		if a.closing {
			return -1
		}
		return 1
	})
	var out strings.Builder
	done := 0
	for _, e := range s.edits {
		out.Write(s.text[done:e.at])
		out.WriteString(e.text)
		done = e.until
	}
	out.Write(s.text[done:])
	return out.String()
}
