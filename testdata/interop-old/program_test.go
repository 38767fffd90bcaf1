package interop_test

// runAsProgram is for what only the newer version's module tests: this test
// binary is never run as anything else.
func runAsProgram() (code int, ran bool) { return 0, false }
