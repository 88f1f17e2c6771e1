// Package codec turns objects into bytes and back: JSON, YAML and protobuf for the wire, and upstream's storage format for etcd.
//
// In flow bytes and a scheme or a catalogue entry, out flow objects of the entry's stored Go type, or the other way round. The
// package knows formats, never a particular kind, and does no I/O.
package codec
