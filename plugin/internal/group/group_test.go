package group_test

import (
	"os"
	"os/user"
	"strconv"
	"testing"

	"github.com/tenonrpc/tenon/plugin/internal/group"
)

func TestID(t *testing.T) {
	own := os.Getgid()
	if own < 0 {
		t.Skip("this system has no groups with numbers")
	}
	if id, err := group.ID(strconv.Itoa(own)); err != nil || id != own {
		t.Errorf("the own group by number: %d, %v", id, err)
	}
	if g, err := user.LookupGroupId(strconv.Itoa(own)); err == nil {
		if id, err := group.ID(g.Name); err != nil || id != own {
			t.Errorf("the own group, %q: %d, %v", g.Name, id, err)
		}
	}
	for _, name := range []string{"no-such-group", "", "-1", "4294967296"} {
		if id, err := group.ID(name); err == nil {
			t.Errorf("%q is taken for %d", name, id)
		}
	}
}
