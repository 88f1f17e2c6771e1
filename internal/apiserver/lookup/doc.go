// Package lookup reads API objects for the stages of a request: from a live cache when it has them, else consistently.
//
// In flow names; out flow shared, immutable objects. It knows no kind but the resources it is asked for, and keeps nothing
// beyond the caches that its client shares anyway.
package lookup
