package reconcile

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
)

// Edges is what one controller reads and writes, as text: resources as "deployments.apps", writes as "create pods".
type Edges struct {
	Controller string
	Reads      []string
	Writes     []string
	Ports      []string
}

// Graph tells who reads and writes what, from the declarations, in the order given.
func Graph(controllers ...Controller) []Edges {
	var all []Edges
	for _, c := range controllers {
		e := Edges{Controller: c.Name()}
		for _, in := range c.Inputs() {
			e.Reads = append(e.Reads, inputName(in))
		}
		for _, out := range c.Outputs() {
			for _, verb := range out.Verbs {
				e.Writes = append(e.Writes, string(verb)+" "+outputName(out))
			}
		}
		if p, ok := c.(PortUser); ok {
			for name := range p.Ports() {
				e.Ports = append(e.Ports, name)
			}
			slices.Sort(e.Ports)
		}
		all = append(all, e)
	}
	return all
}

func inputName(in Input) string {
	if in.Every {
		return "* (metadata)"
	}
	return in.Resource.String()
}

func outputName(out Output) string {
	switch {
	case out.Every:
		return "*"
	case out.Subresource != "":
		return strings.Replace(out.Resource.String(), out.Resource.Resource, out.Resource.Resource+"/"+out.Subresource, 1)
	}
	return out.Resource.String()
}

// Dot draws the graph in Graphviz's language: boxes are kinds, ovals are controllers.
func Dot(edges []Edges) string {
	var b strings.Builder
	b.WriteString("digraph controllers {\n  rankdir=LR;\n  node [shape=box];\n")
	for _, e := range edges {
		fmt.Fprintf(&b, "  %q [shape=oval];\n", e.Controller)
		for _, r := range e.Reads {
			fmt.Fprintf(&b, "  %q -> %q;\n", r, e.Controller)
		}
		verbs := map[string][]string{}
		var order []string
		for _, w := range e.Writes {
			verb, kind, _ := strings.Cut(w, " ")
			if verbs[kind] == nil {
				order = append(order, kind)
			}
			verbs[kind] = append(verbs[kind], verb)
		}
		for _, kind := range order {
			fmt.Fprintf(&b, "  %q -> %q [label=%q];\n", e.Controller, kind, strings.Join(verbs[kind], ","))
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// Role is the RBAC that a controller needs: a ClusterRole and its binding, both called "system:controller:NAME", for the
// service account kube-system/NAME.
type Role struct {
	Role    *rbacv1.ClusterRole
	Binding *rbacv1.ClusterRoleBinding
}

// ExtraRules is a controller that needs more than its declarations tell, for what its ports do.
type ExtraRules interface {
	Controller
	ExtraRules() []rbacv1.PolicyRule
}

// Roles generates the roles of the controllers from their declarations.
func Roles(controllers ...Controller) []Role {
	var all []Role
	for _, c := range controllers {
		name := "system:controller:" + c.Name()
		meta := metav1.ObjectMeta{
			Name:        name,
			Labels:      map[string]string{"kubernetes.io/bootstrapping": "rbac-defaults"},
			Annotations: map[string]string{"rbac.authorization.kubernetes.io/autoupdate": "true"},
		}
		all = append(all, Role{
			Role: &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules(c)},
			Binding: &rbacv1.ClusterRoleBinding{
				ObjectMeta: *meta.DeepCopy(),
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
				Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: metav1.NamespaceSystem, Name: c.Name()}},
			},
		})
	}
	return all
}

func rules(c Controller) []rbacv1.PolicyRule {
	type resource struct {
		schema.GroupResource
		sub string
	}
	verbs := map[resource][]string{}
	var order []resource
	add := func(gr schema.GroupResource, sub string, more ...string) {
		r := resource{gr, sub}
		if verbs[r] == nil {
			order = append(order, r)
		}
		for _, v := range more {
			if !slices.Contains(verbs[r], v) {
				verbs[r] = append(verbs[r], v)
			}
		}
	}
	every := schema.GroupResource{Group: "*", Resource: "*"}
	for _, in := range c.Inputs() {
		gr := in.Resource
		if in.Every {
			gr = every
		}
		add(gr, "", "get", "list", "watch")
	}
	for _, out := range c.Outputs() {
		gr := out.Resource
		if out.Every {
			gr = every
		}
		for _, v := range out.Verbs {
			add(gr, out.Subresource, string(v))
		}
	}
	events := []string{string(client.Create), string(client.Patch), string(client.Update)}
	add(kinds.Events(), "", events...)
	add(schema.GroupResource{Group: "events.k8s.io", Resource: "events"}, "", events...)
	list := make([]rbacv1.PolicyRule, 0, len(order))
	for _, r := range order {
		name := r.Resource
		if r.sub != "" {
			name += "/" + r.sub
		}
		slices.Sort(verbs[r])
		list = append(list, rbacv1.PolicyRule{APIGroups: []string{r.Group}, Resources: []string{name}, Verbs: verbs[r]})
	}
	if x, ok := c.(ExtraRules); ok {
		list = append(list, x.ExtraRules()...)
	}
	return list
}
