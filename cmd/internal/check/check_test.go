package check_test

import (
	"os"
	"testing"

	"github.com/tenonrpc/tenon/cmd/internal/check"
)

// root is the repository's top, relative to this directory.
const root = "../../.."

// TestRepository applies every rule to the repository.
func TestRepository(t *testing.T) {
	tree, err := check.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Files) < 50 {
		t.Fatalf("only %d Go files found below %s: is this the repository?", len(tree.Files), root)
	}
	for _, rule := range check.Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			for _, f := range rule.Check(tree) {
				t.Error(f)
			}
		})
	}
}

func TestLoadFailsWhereNothingIs(t *testing.T) {
	if _, err := check.Load(root + "/nowhere"); !os.IsNotExist(err) {
		t.Errorf("loading a directory that does not exist: %v", err)
	}
}
