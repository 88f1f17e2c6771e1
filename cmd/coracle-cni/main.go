// Command coracle-cni is the CNI plugin that container runtimes call to connect pods. See package cni.
package main

import "coracle.dev/coracle/internal/network/cni"

func main() { cni.Main() }
