// Package nettest gives tests real network namespaces and a client whose caches are filled by hand.
//
// It is for tests only. Namespaces are never named on the file system: they live as long as their file descriptor, so nothing
// stays behind, not even after a crash.
package nettest
