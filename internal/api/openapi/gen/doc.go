// Command gen writes the OpenAPI documents that package openapi embeds.
//
// It runs in two steps, since the second compiles what the first writes: kube-openapi's generator turns the Go types of the API
// into definitions (a Go package under definitions/, removed at the end), and the program in build/ joins them with the paths of every
// resource in the catalogue. The module is its own so that the product does not depend on generators.
package main
