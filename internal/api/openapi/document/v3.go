package document

import (
	"k8s.io/kube-openapi/pkg/openapiconv"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// V3 turns a version 2 document into one of version 3 with the given schemas, which must be of version 3 already.
func V3(doc *spec.Swagger, schemas map[string]*spec.Schema) *spec3.OpenAPI {
	out := openapiconv.ConvertV2ToV3(doc)
	out.Components.Schemas = schemas
	for path, item := range doc.Paths.Paths {
		requireBodies(out.Paths.Paths[path], item)
	}
	return out
}

// requireBodies marks the bodies that must be there, which the converter forgets.
func requireBodies(to *spec3.Path, from spec.PathItem) {
	pairs := []struct {
		to   *spec3.Operation
		from *spec.Operation
	}{{to.Put, from.Put}, {to.Post, from.Post}, {to.Patch, from.Patch}, {to.Delete, from.Delete}}
	for _, p := range pairs {
		if p.from == nil {
			continue
		}
		for _, param := range p.from.Parameters {
			if param.In == "body" && p.to.RequestBody != nil {
				p.to.RequestBody.Required = param.Required
			}
		}
	}
}
