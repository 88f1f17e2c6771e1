// Package document writes the paths of an OpenAPI document for resources of the catalogue: every verb and subresource, with
// its parameters, bodies and Kubernetes' extensions.
//
// In flow catalogue entries and the name of each kind's schema, out flow paths in the form of OpenAPI v2; kube-openapi's
// converter makes v3 of them. The generator of the embedded documents uses it, and a server can use it for custom resources.
package document
