// Package openapi serves the OpenAPI documents: /openapi/v3 with one document for each group-version, and /openapi/v2.
//
// In flow documents as JSON from a Source; out flow answers in JSON or protobuf with ETags. The package knows nothing of the
// documents' content.
package openapi
