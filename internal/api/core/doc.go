// Package core describes the kinds of the core API group: names, defaults, what a write may change, and their tables.
// It knows nothing of storage, HTTP or other objects than the ones handed in.
package core
