package document

import (
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// opSpec is what differs between operations.
type opSpec struct {
	id, description string
	// action and gvk are Kubernetes' extensions; operations on no kind have neither.
	action     string
	gvk        *schema.GroupVersionKind
	parameters []spec.Parameter
	// body and result name schemas; empty for none. text says that the result is plain text.
	body         string
	bodyRequired bool
	consumes     []string
	produces     []string
	result       string
	text         bool
	ok           []int
}

func (b *builder) operation(o opSpec) *spec.Operation {
	op := &spec.Operation{OperationProps: spec.OperationProps{
		ID:          o.id,
		Description: o.description,
		Tags:        []string{b.tag()},
		Schemes:     []string{"https"},
		Consumes:    o.consumes,
		Produces:    o.produces,
		Parameters:  o.parameters,
		Responses: &spec.Responses{ResponsesProps: spec.ResponsesProps{StatusCodeResponses: map[int]spec.Response{
			http.StatusUnauthorized: {ResponseProps: spec.ResponseProps{Description: "Unauthorized"}},
		}}},
	}}
	if o.consumes == nil {
		op.Consumes = []string{"*/*"}
	}
	if o.body != "" {
		op.Parameters = append([]spec.Parameter{{ParamProps: spec.ParamProps{
			Name: "body", In: "body", Required: o.bodyRequired, Schema: ref(o.body),
		}}}, op.Parameters...)
	}
	for _, code := range o.ok {
		r := spec.Response{ResponseProps: spec.ResponseProps{Description: http.StatusText(code)}}
		switch {
		case o.result != "":
			r.Schema = ref(o.result)
		case o.text:
			r.Schema = spec.StringProperty()
		}
		op.Responses.StatusCodeResponses[code] = r
	}
	if o.action != "" {
		op.AddExtension("x-kubernetes-action", o.action)
	}
	if o.gvk != nil {
		op.AddExtension("x-kubernetes-group-version-kind", gvkExtension(*o.gvk))
	}
	return op
}

func ref(model string) *spec.Schema { return spec.RefSchema("#/definitions/" + model) }

func objectTypes() []string {
	return []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"}
}

func listTypes() []string {
	return append(objectTypes(), "application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
}

// patchTypes: strategic merge patches need Go types, so that custom resources do not take them.
func patchTypes(gvk schema.GroupVersionKind) []string {
	types := []string{"application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"}
	if builtIn(gvk.Group) {
		types = append(types, "application/strategic-merge-patch+json")
	}
	return types
}

// builtIn tells whether a group belongs to Kubernetes itself: no dot at all, or the suffix k8s.io.
func builtIn(group string) bool {
	return group == "" || strings.HasSuffix(group, ".k8s.io") ||
		slices.Contains([]string{"apps", "autoscaling", "batch", "policy"}, group)
}
