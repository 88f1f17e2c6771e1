package server

import (
	"net/http"

	"coracle.dev/coracle/internal/api/openapi"
	openapiserver "coracle.dev/coracle/internal/apiserver/openapi"
)

// openAPI serves the documents that were generated from the API's types.
func openAPI() http.Handler {
	_ = openapi.V3Paths
	return openapiserver.New()
}
