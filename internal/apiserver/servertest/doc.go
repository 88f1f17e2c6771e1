// Package servertest starts whole API servers for tests: an empty store, the built-in catalogue, TLS on a loopback port.
package servertest
