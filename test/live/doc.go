// Package live runs all controllers against a real API server in the same process, with an empty store and a node that only
// pretends. What it finds is disagreement between the two: what the server's validation, defaults and finalizers really do
// with the controllers' writes.
package live
