package document

import (
	"slices"
	"strings"

	"k8s.io/kube-openapi/pkg/validation/spec"

	"coracle.dev/coracle/internal/api"
)

func (b *builder) subresource(path string, t target, s *api.Subresource) {
	suffix := identifier(s.Name, true)
	id := b.name() + t.scope + t.gvk.Kind + suffix
	if s.New == nil {
		b.stream(path, t, s, suffix)
		return
	}
	gvk := s.GVK
	model := t.model
	if gvk.Kind == t.gvk.Kind && gvk.Group == t.gvk.Group {
		// The subresource carries the whole object, in the version of the path.
		gvk = t.gvk
	} else {
		model, _ = b.models.Of(gvk)
	}
	props := b.object(s.Verbs, gvk, model, id, s.Name+" of the specified "+t.gvk.Kind)
	if slices.Contains(s.Verbs, "create") {
		props.Post = b.operation(opSpec{
			id: "create" + id, description: "create " + s.Name + " of a " + t.gvk.Kind, action: "post", gvk: &gvk,
			parameters: writeParameters(), body: model, bodyRequired: true, produces: objectTypes(), result: model,
			ok: []int{200, 201, 202},
		})
	}
	props.Parameters = append(subresourceParameters(t, gvk.Kind), pretty())
	b.add(path, spec.PathItem{PathItemProps: props})
}

func subresourceParameters(t target, kind string) []spec.Parameter {
	out := t.pathParameters(true)
	out[0].Description = "name of the " + kind
	return out
}

// stream writes log, exec, attach, portforward and proxy: connections rather than objects.
func (b *builder) stream(path string, t target, s *api.Subresource, suffix string) {
	shared := append(subresourceParameters(t, s.GVK.Kind), streamParameters(s)...)
	if s.Name == "log" {
		b.add(path, spec.PathItem{PathItemProps: spec.PathItemProps{
			Get: b.operation(opSpec{
				id: "read" + b.name() + t.scope + t.gvk.Kind + suffix, description: "read log of the specified " + t.gvk.Kind,
				action: "get", gvk: &t.gvk, produces: append([]string{"text/plain"}, objectTypes()...), text: true,
				ok: []int{200},
			}),
			Parameters: append(shared, pretty()),
		}})
		return
	}
	methods := []string{"Get", "Post"}
	if s.Name == "proxy" {
		methods = []string{"Get", "Put", "Post", "Delete", "Options", "Head", "Patch"}
	}
	connect := func(withPath string) spec.PathItemProps {
		var props spec.PathItemProps
		for _, method := range methods {
			op := b.operation(opSpec{
				id:          "connect" + b.name() + method + t.scope + t.gvk.Kind + suffix + withPath,
				description: "connect " + strings.ToUpper(method) + " requests to " + s.Name + " of " + t.gvk.Kind,
				action:      "connect", gvk: &s.GVK, consumes: []string{"*/*"}, produces: []string{"*/*"}, text: true,
				ok: []int{200},
			})
			*methodOf(&props, method) = op
		}
		return props
	}
	props := connect("")
	props.Parameters = shared
	b.add(path, spec.PathItem{PathItemProps: props})
	if s.Name == "proxy" {
		props := connect("WithPath")
		props.Parameters = append(slices.Clone(shared), pathParameter("path", "path to the resource"))
		b.add(path+"/{path}", spec.PathItem{PathItemProps: props})
	}
}

func methodOf(props *spec.PathItemProps, method string) **spec.Operation {
	switch method {
	case "Get":
		return &props.Get
	case "Put":
		return &props.Put
	case "Post":
		return &props.Post
	case "Delete":
		return &props.Delete
	case "Options":
		return &props.Options
	case "Head":
		return &props.Head
	}
	return &props.Patch
}
