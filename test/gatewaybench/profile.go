package main

import (
	"context"
	"os"

	"github.com/linkspan/linkspan/test/figures"
)

// envProfile asks a gateway for profiles, in files whose names begin with its value. The product serves
// none, so that its account of itself cannot be used against it: so this program is the gateway.
const envProfile = "LINKSPAN_GATEWAYBENCH_PROFILE"

// profiled runs a gateway with a CPU profile of its whole life and a memory profile of the moment when it
// was told to end, if these are asked for.
func profiled(ctx context.Context, run func(context.Context) error) error {
	prefix := os.Getenv(envProfile)
	if prefix == "" {
		return run(ctx)
	}
	return figures.Profiled(ctx, prefix, run)
}
