package wire

import (
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/request"
)

// checkRoute refuses what upstream has no route for: a verb that the target lacks, or one on a path of another verb's shape,
// such as a create that names an object. The answers are those of upstream's router.
func checkRoute(t chain.Target, a *request.Attributes) error {
	verbs := t.Resource.Verbs
	if t.Sub != nil {
		verbs = t.Sub.Verbs
	}
	if !slices.Contains(verbs, a.Verb) {
		return NewNotRouted(http.StatusMethodNotAllowed)
	}
	if t.Sub != nil {
		return nil
	}
	// A namespace is named by its own place in the path.
	inNamespace := a.Namespace != "" && a.Resource != "namespaces"
	if inNamespace && !t.Resource.Namespaced {
		return NewNotRouted(http.StatusNotFound)
	}
	everywhere := t.Resource.Namespaced && !inNamespace
	switch a.Verb {
	case "list", "watch":
		return nil // A selector may have filled in the name.
	case "create":
		if a.Name != "" || everywhere {
			return NewNotRouted(http.StatusMethodNotAllowed)
		}
	case "deletecollection":
		if everywhere {
			return NewNotRouted(http.StatusMethodNotAllowed)
		}
	case "get":
		if everywhere {
			return NewNotRouted(http.StatusNotFound)
		}
	default:
		if a.Name == "" {
			return NewNotRouted(http.StatusMethodNotAllowed)
		}
		if everywhere {
			return NewNotRouted(http.StatusNotFound)
		}
	}
	return nil
}

// NewNotRouted is upstream's refusal of a path or a method that no resource of a served group version has.
func NewNotRouted(code int) error {
	return apierrors.NewGenericServerResponse(code, "", schema.GroupResource{}, "", http.StatusText(code), 0, false)
}
