// Package clientfake is an in-memory client.Interface for tests: objects preloaded, writes applied to memory with resource
// versions, caches that follow.
//
// In flow objects and client.Write values; out flow the same objects, snapshots and streams as from a real client, and a
// record of every write. It knows optimistic concurrency, generateName, finalizers, preconditions, patches, the status
// subresource and bindings. It knows no defaulting, validation, admission or authorization: what a test hands in is what is
// stored. Names, UIDs and times are counted, never random, so that a test's output can be compared with a golden file.
package clientfake
