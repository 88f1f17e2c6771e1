// Package version says which Kubernetes release Coracle implements and which Coracle this is.
//
// The numbers are constants; the revision is what the Go tool writes into every binary. It imports nothing of ours.
package version
