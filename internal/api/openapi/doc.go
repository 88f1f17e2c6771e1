// Package openapi serves the OpenAPI documents of the built-in API, which its generator wrote: one of version 3 for each
// group-version, and one of version 2 for everything.
//
// The documents are embedded compressed and unpacked on each call; nothing stays in memory. The generator (gen/) must be run
// again when a resource is added to the catalogue or k8s.io/api changes; a test compares the documents with the catalogue.
package openapi

//go:generate sh -c "cd gen && go run -mod=mod . ../documents"
