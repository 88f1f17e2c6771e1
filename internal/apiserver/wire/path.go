package wire

import (
	"net/http"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/fields"

	"coracle.dev/coracle/internal/apiserver/request"
)

// Parse says what a request is about, from its method, path and query, as upstream reads them. Rest is what follows a
// subresource in the path (proxied paths), without its leading slash.
func Parse(method, path string, query url.Values) (a request.Attributes, rest string) {
	a = request.Attributes{Verb: strings.ToLower(method), Path: path}
	parts := splitPath(path)
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		a.Version = parts[1]
		parts = parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		a.Group, a.Version = parts[1], parts[2]
		parts = parts[3:]
	default:
		return a, ""
	}
	a.IsResource = true
	a.Verb = methodVerb(method)
	if parts[0] == "watch" && len(parts) > 1 {
		a.Verb = "watch"
		parts = parts[1:]
	}
	parts = takeNamespace(&a, parts)
	a.Resource = parts[0]
	if len(parts) > 1 {
		a.Name = parts[1]
	}
	if len(parts) > 2 {
		a.Subresource = parts[2]
		rest = restOf(path, parts[3:])
	}
	withoutName(&a, query)
	return a, rest
}

// splitPath cuts a path at its slashes, leaving out empty ends.
func splitPath(path string) []string {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// takeNamespace reads "namespaces/NAME" from the front; what is left names a resource. A namespace itself, with its status
// and finalize, is a resource too.
func takeNamespace(a *request.Attributes, parts []string) []string {
	if parts[0] != "namespaces" || len(parts) < 2 {
		return parts
	}
	a.Namespace = parts[1]
	if len(parts) > 2 && parts[2] != "status" && parts[2] != "finalize" {
		return parts[2:]
	}
	return parts
}

// restOf is the end of the path that the last parts name, trailing slash and all.
func restOf(path string, parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	rest := strings.Join(parts, "/")
	if strings.HasSuffix(path, "/") {
		rest += "/"
	}
	return rest
}

func methodVerb(method string) string {
	switch method {
	case http.MethodPost:
		return "create"
	case http.MethodGet, http.MethodHead:
		return "get"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		return "delete"
	default:
		return strings.ToLower(method)
	}
}

// withoutName turns a get or delete that names nothing into list, watch or deletecollection, with their selectors.
func withoutName(a *request.Attributes, query url.Values) {
	if a.Name != "" && a.Verb != "watch" {
		return
	}
	switch a.Verb {
	case "get":
		a.Verb = "list"
		if boolParam(query, "watch") {
			a.Verb = "watch"
		}
	case "delete":
		a.Verb = "deletecollection"
	case "watch":
	default:
		return
	}
	a.FieldSelector = query.Get("fieldSelector")
	a.LabelSelector = query.Get("labelSelector")
	if a.Name == "" && a.FieldSelector != "" {
		if sel, err := fields.ParseSelector(a.FieldSelector); err == nil {
			if name, ok := sel.RequiresExactMatch("metadata.name"); ok && validSegment(name) {
				a.Name = name
			}
		}
	}
}

func validSegment(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/%")
}
