// Command coracle-init is the helper of local clusters: the first process of a node, and the holder of a cluster's network.
// It is apart from coracle because it stays in memory for as long as the cluster lives. Not for calling by hand.
package main

import (
	"fmt"
	"os"

	"coracle.dev/coracle/internal/cluster/local/holder"
	"coracle.dev/coracle/internal/cluster/local/nodeinit"
)

func main() {
	if len(os.Args) >= 2 {
		switch os.Args[1] {
		case "node":
			nodeinit.Main(os.Args[2:])
		case "network":
			holder.Main(os.Args[2:])
		}
	}
	fmt.Fprintln(os.Stderr, "coracle-init is started by coracle up")
	os.Exit(2)
}
