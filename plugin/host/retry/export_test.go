package retry

import (
	"context"

	"github.com/tenonrpc/tenon/plugin/host"
)

// Run is Start with another start than host.Start: for tests in fake time, where no
// process can be started.
func (p Policy) Run(ctx context.Context, start func(context.Context) (*host.Client, error)) (*host.Client, error) {
	return p.run(ctx, start)
}
