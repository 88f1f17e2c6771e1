// Package remote is the client of an API server elsewhere: client.Interface over HTTPS, for any Kubernetes API server.
//
// In flow Write values and names; out flow objects of the catalogue's stored Go types, Snapshots and Events. Caches are filled
// by list and watch (streamed lists and bookmarks where the server has them) into copy-on-write images with the catalogue's
// indexes. Built-in kinds travel as protobuf, the others as JSON. Client.Run keeps the caches alive; without it they stay empty.
package remote
