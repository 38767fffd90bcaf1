package verify_test

import (
	"os"
	"testing"

	"github.com/tenonrpc/tenon/testdata/examples/kvmain"
)

func TestMain(m *testing.M) { os.Exit(kvmain.Run(m)) }
