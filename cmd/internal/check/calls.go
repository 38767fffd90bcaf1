package check

import (
	"go/ast"
	"go/types"
	"maps"
	"path"
	"slices"
	"strings"
)

// callGraph is which functions of one package use which. A function that is only named,
// and passed on, counts as called, since the reader has to follow it anyway. Calls
// through interfaces are not seen.
type callGraph struct {
	file  map[string]string             // of a function, "Name" or "Type.Name"
	calls map[string][]string           // of functions, in the order of the source, each once
	edges map[[2]string]map[string]bool // from file to file, with the names that are used
}

// calls makes the graph of the package in dir.
func (t *Tree) calls(dir string) *callGraph {
	var syntax []*ast.File
	for _, f := range t.Files {
		if f.Dir == dir && !f.Test {
			syntax = append(syntax, f.Syntax)
		}
	}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	// Other packages need not be loaded to resolve our own: errors about them are
	// ignored.
	conf := types.Config{Importer: nothing{}, Error: func(error) {}}
	pkg, _ := conf.Check(dir, t.fset, syntax, info)
	g := &callGraph{file: make(map[string]string), calls: make(map[string][]string), edges: make(map[[2]string]map[string]bool)}
	for _, file := range syntax {
		for _, decl := range file.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok {
				g.file[funcName(d)] = t.base(d)
			}
		}
	}
	for _, file := range syntax {
		for _, decl := range file.Decls {
			from := ""
			if d, ok := decl.(*ast.FuncDecl); ok {
				from = funcName(d)
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					if used := info.Uses[id]; used != nil && used.Pkg() == pkg {
						g.add(t.base(id), from, path.Base(t.fset.Position(used.Pos()).Filename), used)
					}
				}
				return true
			})
		}
	}
	return g
}

// base returns the name of the file that a node is in.
func (t *Tree) base(n ast.Node) string { return path.Base(t.fset.Position(n.Pos()).Filename) }

// add notes that something is used, in a file and in a function of it, or in none.
func (g *callGraph) add(file, function, where string, used types.Object) {
	name := used.Name()
	if fn, ok := used.(*types.Func); ok {
		name = calledName(fn)
		if function != "" && g.file[name] != "" && !slices.Contains(g.calls[function], name) {
			g.calls[function] = append(g.calls[function], name)
		}
	}
	if where == file {
		return
	}
	edge := [2]string{file, where}
	if g.edges[edge] == nil {
		g.edges[edge] = make(map[string]bool)
	}
	g.edges[edge][name] = true
}

// nothing is an importer of packages without contents.
type nothing struct{}

func (nothing) Import(name string) (*types.Package, error) {
	if name == "unsafe" {
		return types.Unsafe, nil
	}
	p := types.NewPackage(name, path.Base(name))
	p.MarkComplete()
	return p, nil
}

func calledName(fn *types.Func) string {
	recv := fn.Signature().Recv()
	if recv == nil {
		return fn.Name()
	}
	typ := recv.Type()
	if p, ok := typ.(*types.Pointer); ok {
		typ = p.Elem()
	}
	if n, ok := typ.(*types.Named); ok {
		return n.Obj().Name() + "." + fn.Name()
	}
	return fn.Name()
}

// order returns the package's files in an order in which few edges point up: starting
// from the order of the names, and from its reverse, files are moved to where they cost
// least until no move helps. The result is not always the best order, but one with its
// number of edges exists.
func (g *callGraph) order() []string {
	files := slices.Collect(maps.Values(g.file))
	for e := range g.edges {
		files = append(files, e[0], e[1])
	}
	slices.Sort(files)
	files = slices.Compact(files)
	one := g.improve(slices.Clone(files))
	slices.Reverse(files)
	if other := g.improve(files); g.up(other) < g.up(one) {
		return other
	}
	return one
}

// improve is order from one starting order.
func (g *callGraph) improve(files []string) []string {
	for {
		best, from, to := g.up(files), -1, -1
		for i := range files {
			// cost is how the number of edges that point up changes when the file
			// moves past the others one by one.
			for _, step := range []int{1, -1} {
				cost := g.up(files)
				for j := i + step; j >= 0 && j < len(files); j += step {
					above, below := files[j], files[i]
					if step > 0 {
						above, below = files[i], files[j]
					}
					if g.edges[[2]string{above, below}] != nil {
						cost++
					}
					if g.edges[[2]string{below, above}] != nil {
						cost--
					}
					if cost < best {
						best, from, to = cost, i, j
					}
				}
			}
		}
		if from < 0 {
			return files
		}
		name := files[from]
		files = slices.Insert(slices.Delete(files, from, from+1), to, name)
	}
}

// up counts the edges that point up in an order of the files.
func (g *callGraph) up(order []string) int {
	place := make(map[string]int)
	for i, name := range order {
		place[name] = i
	}
	n := 0
	for e := range g.edges {
		if place[e[0]] > place[e[1]] {
			n++
		}
	}
	return n
}

// returns follows the calls from a function on, depth first, into each function once,
// and counts how often it comes back to a file that it has left: a reader who follows
// turns back to it as often.
func (g *callGraph) returns(start string) int {
	n, last := 0, ""
	seen, files := make(map[string]bool), make(map[string]bool)
	var walk func(fn string)
	walk = func(fn string) {
		if seen[fn] {
			return
		}
		seen[fn] = true
		if file := g.file[fn]; file != last {
			if files[file] {
				n++
			}
			files[file] = true
			last = file
		}
		for _, to := range g.calls[fn] {
			walk(to)
		}
	}
	walk(start)
	return n
}

// Up returns a package's files in their best order, and the uses that point up in it,
// for those who want to reduce them.
func Up(t *Tree, dir string) (order, uses []string) {
	g := t.calls(dir)
	order = g.order()
	for e, names := range g.edges {
		if slices.Index(order, e[0]) > slices.Index(order, e[1]) {
			uses = append(uses, e[0]+" -> "+e[1]+": "+strings.Join(slices.Sorted(maps.Keys(names)), ", "))
		}
	}
	slices.Sort(uses)
	return order, uses
}
