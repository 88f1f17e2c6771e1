package document

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"coracle.dev/coracle/internal/api"
)

// Models names the schemas that documents refer to.
type Models struct {
	// Of returns the name of a kind's schema, such as io.k8s.api.core.v1.Pod.
	Of func(gvk schema.GroupVersionKind) (string, bool)
}

// Names of shared schemas.
const (
	metaPackage  = "io.k8s.apimachinery.pkg.apis.meta.v1."
	statusModel  = metaPackage + "Status"
	optionsModel = metaPackage + "DeleteOptions"
	patchModel   = metaPackage + "Patch"
	watchModel   = metaPackage + "WatchEvent"
)

// SharedModels are the schemas that every document with paths refers to.
func SharedModels() []string {
	return []string{statusModel, optionsModel, patchModel, watchModel, metaPackage + "APIResourceList"}
}

// Root returns the path under which a group-version is served, without a slash at either end.
func Root(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "api/" + gv.Version
	}
	return "apis/" + gv.Group + "/" + gv.Version
}

// Paths writes the paths of those of the resources that the group-version serves.
func Paths(gv schema.GroupVersion, resources []*api.Resource, models Models) map[string]spec.PathItem {
	b := builder{gv: gv, models: models, paths: map[string]spec.PathItem{}}
	root := "/" + Root(gv)
	b.add(root+"/", spec.PathItem{PathItemProps: spec.PathItemProps{Get: b.operation(opSpec{
		id: "get" + b.name() + "APIResources", description: "get available resources",
		produces: objectTypes(), result: metaPackage + "APIResourceList", ok: []int{200},
	})}})
	for _, r := range resources {
		if _, served := r.Version(gv.Version); served && r.Group == gv.Group {
			b.resource(root, r)
		}
	}
	return b.paths
}

type builder struct {
	gv     schema.GroupVersion
	models Models
	paths  map[string]spec.PathItem
}

func (b *builder) add(path string, item spec.PathItem) { b.paths[path] = item }

// name is the group-version as it stands in operation IDs: CoreV1, RbacAuthorizationV1.
func (b *builder) name() string {
	return identifier(strings.TrimSuffix(cmp.Or(b.gv.Group, "core"), ".k8s.io"), true) + identifier(b.gv.Version, true)
}

func (b *builder) tag() string {
	return identifier(strings.TrimSuffix(cmp.Or(b.gv.Group, "core"), ".k8s.io"), false) + "_" + b.gv.Version
}

// identifier makes a camel-case word of s.
func identifier(s string, upper bool) string {
	var out strings.Builder
	for _, r := range s {
		if r == '.' || r == '-' || r == '/' {
			upper = true
			continue
		}
		if upper {
			out.WriteString(strings.ToUpper(string(r)))
		} else {
			out.WriteRune(r)
		}
		upper = false
	}
	return out.String()
}

// target is one resource at one path.
type target struct {
	r     *api.Resource
	gvk   schema.GroupVersionKind
	model string
	list  string
	// scope is "Namespaced" in operation IDs of namespaced paths.
	scope string
}

func (b *builder) resource(root string, r *api.Resource) {
	t := target{r: r, gvk: r.GVK(b.gv.Version)}
	t.model, _ = b.models.Of(t.gvk)
	t.list, _ = b.models.Of(b.gv.WithKind(r.ListKind))
	collection := root + "/" + r.Plural
	if r.Namespaced {
		b.allNamespaces(root, t)
		collection = root + "/namespaces/{namespace}/" + r.Plural
		t.scope = "Namespaced"
	}
	b.collection(collection, t)
	if slices.Contains(r.Verbs, "get") {
		b.item(collection+"/{name}", t)
	}
	if slices.Contains(r.Verbs, "watch") {
		prefix := strings.Replace(collection, root, root+"/watch", 1)
		b.watch(prefix, t, t.scope+t.gvk.Kind+"List", "watchlist", false)
		b.watch(prefix+"/{name}", t, t.scope+t.gvk.Kind, "watch", true)
	}
	for i := range r.Subresources {
		b.subresource(collection+"/{name}/"+r.Subresources[i].Name, t, &r.Subresources[i])
	}
}

func (b *builder) allNamespaces(root string, t target) {
	if !slices.Contains(t.r.Verbs, "list") {
		return
	}
	b.add(root+"/"+t.r.Plural, spec.PathItem{PathItemProps: spec.PathItemProps{
		Get: b.operation(opSpec{
			id: "list" + b.name() + t.gvk.Kind + "ForAllNamespaces", description: "list or watch objects of kind " + t.gvk.Kind,
			action: "list", gvk: &t.gvk, produces: listTypes(), result: t.list, ok: []int{200},
		}),
		Parameters: append(listParameters(), pretty()),
	}})
	if slices.Contains(t.r.Verbs, "watch") {
		b.watch(root+"/watch/"+t.r.Plural, t, t.gvk.Kind+"ListForAllNamespaces", "watchlist", false)
	}
}

func (b *builder) collection(path string, t target) {
	props := spec.PathItemProps{Parameters: append(t.pathParameters(false), pretty())}
	kind := t.gvk.Kind
	for _, verb := range t.r.Verbs {
		switch verb {
		case "list":
			props.Get = b.operation(opSpec{
				id: "list" + b.name() + t.scope + kind, description: "list or watch objects of kind " + kind,
				action: "list", gvk: &t.gvk, parameters: listParameters(), produces: listTypes(), result: t.list, ok: []int{200},
			})
		case "create":
			props.Post = b.operation(opSpec{
				id: "create" + b.name() + t.scope + kind, description: "create a " + kind, action: "post", gvk: &t.gvk,
				parameters: writeParameters(), body: t.model, bodyRequired: true, produces: objectTypes(), result: t.model,
				ok: []int{200, 201, 202},
			})
		case "deletecollection":
			props.Delete = b.operation(opSpec{
				id: "delete" + b.name() + "Collection" + t.scope + kind, description: "delete collection of " + kind,
				action: "deletecollection", gvk: &t.gvk, parameters: deleteCollectionParameters(), body: optionsModel,
				produces: objectTypes(), result: statusModel, ok: []int{200},
			})
		}
	}
	b.add(path, spec.PathItem{PathItemProps: props})
}

func (b *builder) item(path string, t target) {
	kind, id := t.gvk.Kind, b.name()+t.scope+t.gvk.Kind
	props := b.object(t.r.Verbs, t.gvk, t.model, id, "the specified "+kind)
	props.Parameters = append(t.pathParameters(true), pretty())
	if slices.Contains(t.r.Verbs, "delete") {
		result := statusModel
		if t.r.Strategy.ReturnDeleted {
			result = t.model
		}
		props.Delete = b.operation(opSpec{
			id: "delete" + id, description: "delete a " + kind, action: "delete", gvk: &t.gvk,
			parameters: deleteParameters(), body: optionsModel, produces: objectTypes(), result: result, ok: []int{200, 202},
		})
	}
	b.add(path, spec.PathItem{PathItemProps: props})
}

// object writes get, put and patch of an object at its own path or at a subresource.
func (b *builder) object(verbs []string, gvk schema.GroupVersionKind, model, id, what string) spec.PathItemProps {
	var props spec.PathItemProps
	if slices.Contains(verbs, "get") {
		props.Get = b.operation(opSpec{
			id: "read" + id, description: "read " + what, action: "get", gvk: &gvk, produces: objectTypes(), result: model,
			ok: []int{200},
		})
	}
	if slices.Contains(verbs, "update") {
		props.Put = b.operation(opSpec{
			id: "replace" + id, description: "replace " + what, action: "put", gvk: &gvk, parameters: writeParameters(),
			body: model, bodyRequired: true, produces: objectTypes(), result: model, ok: []int{200, 201},
		})
	}
	if slices.Contains(verbs, "patch") {
		props.Patch = b.operation(opSpec{
			id: "patch" + id, description: "partially update " + what, action: "patch", gvk: &gvk, parameters: patchParameters(),
			body: patchModel, bodyRequired: true, consumes: patchTypes(gvk), produces: objectTypes(), result: model,
			ok: []int{200, 201},
		})
	}
	return props
}

func (b *builder) watch(path string, t target, id, action string, named bool) {
	parameters := append(listParameters(), pretty())
	if t.scope != "" || named {
		parameters = append(parameters, t.pathParameters(named)...)
	}
	if !strings.Contains(path, "{namespace}") {
		parameters = slices.DeleteFunc(parameters, func(p spec.Parameter) bool { return p.Name == "namespace" })
	}
	what := "watch changes to an object of kind " + t.gvk.Kind + ". deprecated: use the 'watch' parameter with a list " +
		"operation instead, filtered to a single item with the 'fieldSelector' parameter."
	if !named {
		what = "watch individual changes to a list of " + t.gvk.Kind + ". deprecated: use the 'watch' parameter with a list " +
			"operation instead."
	}
	b.add(path, spec.PathItem{PathItemProps: spec.PathItemProps{
		Get: b.operation(opSpec{
			id: "watch" + b.name() + id, description: what, action: action, gvk: &t.gvk, produces: listTypes(),
			result: watchModel, ok: []int{200},
		}),
		Parameters: parameters,
	}})
}

func (t target) pathParameters(named bool) []spec.Parameter {
	var out []spec.Parameter
	if named {
		out = append(out, pathParameter("name", "name of the "+t.gvk.Kind))
	}
	if t.scope != "" {
		out = append(out, pathParameter("namespace", "object name and auth scope, such as for teams and projects"))
	}
	return out
}

// DefinitionGVK returns the extension that ties a schema to the kinds it describes.
func DefinitionGVK(kinds ...schema.GroupVersionKind) (string, []any) {
	out := make([]any, len(kinds))
	for i, k := range kinds {
		out[i] = gvkExtension(k)
	}
	return "x-kubernetes-group-version-kind", out
}

func gvkExtension(gvk schema.GroupVersionKind) map[string]any {
	return map[string]any{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind}
}
