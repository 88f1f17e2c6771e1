package document

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"coracle.dev/coracle/internal/api"
)

// documented is an options type of the API with the texts on its fields.
type documented interface{ SwaggerDoc() map[string]string }

// query makes query parameters of an options type: every field of a simple type, by its JSON name, except those left out.
func query(options documented, except ...string) []spec.Parameter {
	docs, t := options.SwaggerDoc(), reflect.TypeOf(options)
	var out []spec.Parameter
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		kind := simpleType(t.Field(i).Type)
		if name == "" || kind == "" || slices.Contains(except, name) {
			continue
		}
		out = append(out, parameter(name, "query", kind, docs[name]))
	}
	slices.SortFunc(out, func(a, b spec.Parameter) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// simpleType is the JSON type of a query parameter. Lists of texts or numbers are given by repeating it.
func simpleType(t reflect.Type) string {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.Int32, reflect.Int64:
		return "integer"
	case reflect.String:
		return "string"
	default:
		return ""
	}
}

func parameter(name, in, kind, description string) spec.Parameter {
	return spec.Parameter{
		SimpleSchema:      spec.SimpleSchema{Type: kind},
		CommonValidations: spec.CommonValidations{UniqueItems: true},
		ParamProps:        spec.ParamProps{Name: name, In: in, Required: in == "path", Description: description},
	}
}

func pathParameter(name, description string) spec.Parameter {
	return parameter(name, "path", "string", description)
}

func pretty() spec.Parameter {
	return parameter("pretty", "query", "string",
		"If 'true', then the output is pretty printed. Defaults to 'false' unless the user-agent indicates a browser or "+
			"command-line HTTP tool (curl and wget).")
}

func listParameters() []spec.Parameter { return query(metav1.ListOptions{}) }

func deleteParameters() []spec.Parameter { return query(metav1.DeleteOptions{}, "kind", "apiVersion") }

func writeParameters() []spec.Parameter { return query(metav1.CreateOptions{}) }

func patchParameters() []spec.Parameter { return query(metav1.PatchOptions{}) }

// deleteCollectionParameters are those of the delete and those that select.
func deleteCollectionParameters() []spec.Parameter {
	out := append(query(metav1.ListOptions{}, "watch", "allowWatchBookmarks"), deleteParameters()...)
	slices.SortFunc(out, func(a, b spec.Parameter) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b spec.Parameter) bool { return a.Name == b.Name })
}

// streamParameters are the options of a stream, which come in the query.
func streamParameters(s *api.Subresource) []spec.Parameter {
	switch s.Name {
	case "log":
		return query(corev1.PodLogOptions{}, "sinceTime")
	case "exec":
		return query(corev1.PodExecOptions{})
	case "attach":
		return query(corev1.PodAttachOptions{})
	case "portforward":
		return query(corev1.PodPortForwardOptions{})
	case "proxy":
		return query(corev1.PodProxyOptions{})
	}
	return nil
}
