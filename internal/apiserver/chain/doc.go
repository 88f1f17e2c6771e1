// Package chain is what an API call does once it is known what it wants: authorize, default, admit, validate, allocate,
// commit; or read from the store's image.
//
// In flow Calls (attributes, target, options) with decoded objects of the stored Go type; out flow stored objects, Items of
// the image, event streams and Status errors in upstream's words. Both ways in use it: HTTPS (package wire) and the in-process
// client (package local). Nothing here knows of HTTP or of encodings but the store's own.
//
// What is decided (what a list reads, what a delete becomes, what an update keeps) is in pure functions; the rest carries it
// out against the store.
package chain
