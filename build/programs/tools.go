//go:build tools

// Package programs pins the modules of the helper programs that are built straight from their own main packages.
package programs

import (
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
	_ "github.com/opencontainers/runc"
)
