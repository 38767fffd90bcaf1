package check

// Rule is one rule of the repository's shape.
type Rule struct {
	Name  string
	Check func(*Tree) []Finding
}

// Rules returns all rules.
func Rules() []Rule {
	return []Rule{
		{"order of dependencies", lawful},
		{"imports from outside", placed},
		{"nested modules", bridged},
		{"wire is pure", pure},
		{"process-wide state", processWide},
		{"files by descriptors", handled},
		{"pinned certificates", pins},
		{"environment names", environment},
		{"no init", initless},
		{"no sleep in real time", sleepless},
		{"named time-outs", named},
		{"short files", short},
		{"shape", shapely},
		{"top level", tidyTop},
		{"go.mod", requirements},
		{"limits have reasons", reasoned},
		{"what peers make us keep", kept},
		{"documents", documents},
		{"exported API", unchanged},
	}
}
