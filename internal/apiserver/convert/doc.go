// Package convert moves objects between the type a client speaks, the stored type and bytes.
//
// In flow request bodies and objects of the stored Go type; out flow stored objects, and objects of a served version with
// their apiVersion and kind set. Nothing here knows of HTTP, the store or who calls. Shared objects are never changed: where
// a kind must be set, a shallow copy is made.
package convert
