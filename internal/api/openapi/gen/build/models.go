package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/builder"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"coracle.dev/coracle/internal/api/openapi/document"
	"coracle.dev/coracle/internal/api/openapi/gen/definitions"
)

// models are the schemas of all types, in both versions of the format.
type models struct {
	kinds map[schema.GroupVersionKind]string
	v2    spec.Definitions
	all   map[string]*spec.Schema
}

func newModels(scheme *runtime.Scheme) (*models, error) {
	m := &models{kinds: map[schema.GroupVersionKind]string{}}
	byName := map[string][]schema.GroupVersionKind{}
	for gvk := range scheme.AllKnownTypes() {
		name, err := scheme.ToOpenAPIDefinitionName(gvk)
		if err != nil {
			return nil, fmt.Errorf("naming %s: %w", gvk, err)
		}
		m.kinds[gvk] = name
		byName[name] = append(byName[name], gvk)
	}
	definitionName := func(name string) (string, spec.Extensions) {
		kinds := byName[name]
		if len(kinds) == 0 {
			return name, nil
		}
		slices.SortFunc(kinds, func(a, b schema.GroupVersionKind) int {
			return compare([]string{a.Group, a.Version, a.Kind}, []string{b.Group, b.Version, b.Kind})
		})
		key, value := document.DefinitionGVK(kinds...)
		return name, spec.Extensions{key: value}
	}
	names := slices.Sorted(maps.Keys(definitions.GetOpenAPIDefinitions(func(string) spec.Ref { return spec.Ref{} })))
	two, err := builder.BuildOpenAPIDefinitionsForResources(
		&common.Config{Info: info(), GetDefinitions: definitions.GetOpenAPIDefinitions, GetDefinitionName: definitionName}, names...)
	if err != nil {
		return nil, fmt.Errorf("definitions of version 2: %w", err)
	}
	m.v2 = two.Definitions
	m.all, err = builder3.BuildOpenAPIDefinitionsForResources(
		&common.OpenAPIV3Config{Info: info(), GetDefinitions: definitions.GetOpenAPIDefinitions, GetDefinitionName: definitionName},
		names...)
	if err != nil {
		return nil, fmt.Errorf("schemas of version 3: %w", err)
	}
	return m, nil
}

func compare(a, b []string) int { return slices.Compare(a, b) }

func (m *models) of(gvk schema.GroupVersionKind) (string, bool) {
	name, ok := m.kinds[gvk]
	return name, ok
}

// reference finds the names of schemas in the JSON of a document of either version.
var reference = regexp.MustCompile(`"\$ref":"#/(?:definitions|components/schemas)/([^"]+)"`)

func references(v any) ([]string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, match := range reference.FindAllSubmatch(data, -1) {
		out = append(out, string(match[1]))
	}
	return out, nil
}

// v3 returns the schemas that the paths refer to, directly or not.
func (m *models) v3(paths map[string]spec.PathItem) map[string]*spec.Schema {
	out := map[string]*spec.Schema{}
	var take func(v any)
	take = func(v any) {
		names, err := references(v)
		if err != nil {
			panic(err)
		}
		for _, name := range names {
			if _, done := out[name]; done {
				continue
			}
			s, ok := m.all[name]
			if !ok {
				panic("no schema " + name)
			}
			out[name] = s
			take(s)
		}
	}
	take(paths)
	return out
}

// keepUsed drops definitions that nothing in the document refers to.
func (m *models) keepUsed(doc *spec.Swagger) {
	used := map[string]bool{}
	var take func(v any)
	take = func(v any) {
		names, err := references(v)
		if err != nil {
			panic(err)
		}
		for _, name := range names {
			if !used[name] {
				used[name] = true
				take(doc.Definitions[name])
			}
		}
	}
	take(doc.Paths)
	maps.DeleteFunc(doc.Definitions, func(name string, _ spec.Schema) bool { return !used[name] })
}
