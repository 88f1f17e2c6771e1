// Package meta holds what the kinds of the catalogue share: a typed way to write an entry, the rules of object metadata, and
// the pieces of printed tables.
//
// A kind's file fills in an Entry with functions on its own Go type; Entry.Resource turns it into an api.Resource and adds what
// every kind has: metadata validation, the controller index, selectable metadata, the name column. Nothing here knows a
// particular kind.
package meta
