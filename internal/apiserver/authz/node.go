package authz

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/apiserver/request"
)

// Node allows a node what it needs for itself and for the pods that are bound to it. What it may write there is narrowed by
// admission (NodeRestriction). It never denies: a role may give a node more. Safe for concurrent use.
type Node struct {
	rules     []rbacv1.PolicyRule
	followers followers

	mu    sync.RWMutex
	graph *nodeGraph
}

// Catalogued is a Source that also tells which kinds there are.
type Catalogued interface {
	Source
	Catalogue() *api.Catalogue
}

// NewNode returns an authorizer for nodes over the source's pods and volumes. rules are what every node may do with kinds that
// are not tied to one node (the role system:node). It knows its objects after Sync, and follows them in Run.
func NewNode(source Catalogued, rules []rbacv1.PolicyRule) (*Node, error) {
	n := &Node{rules: rules, graph: newNodeGraph()}
	for _, input := range []struct {
		gr  schema.GroupResource
		set func(types.NamespacedName, api.Object)
	}{
		{kinds.Pods(), n.graph.setPod},
		{kinds.PersistentVolumes(), n.graph.setVolume},
		{schema.GroupResource{Group: "storage.k8s.io", Resource: "volumeattachments"}, n.graph.setAttachment},
		{schema.GroupResource{Group: "resource.k8s.io", Resource: "resourceslices"}, n.graph.setSlice},
		{schema.GroupResource{Group: "certificates.k8s.io", Resource: "podcertificaterequests"}, n.graph.setCertificateRequest},
	} {
		if _, served := source.Catalogue().Resource(input.gr); !served {
			continue
		}
		f, err := newFollower(source, input.gr, &n.mu, input.set)
		if err != nil {
			return nil, err
		}
		n.followers = append(n.followers, f)
	}
	return n, nil
}

// Run follows pods and volumes until ctx ends.
func (n *Node) Run(ctx context.Context) error { return n.followers.run(ctx) }

// Sync waits until every pod and volume acknowledged before the call counts.
func (n *Node) Sync(ctx context.Context) error { return n.followers.sync(ctx) }

// NodeName returns the node that a user is. isNode is true, with an empty name, for a member of system:nodes whose name tells
// no node.
func NodeName(u *request.User) (name string, isNode bool) {
	name, ok := strings.CutPrefix(u.Name, request.NodeUserPrefix)
	if !ok || !u.InGroup(request.GroupNodes) {
		return "", false
	}
	return name, true
}

// Authorize implements Authorizer.
func (n *Node) Authorize(_ context.Context, a *request.Attributes) (Decision, string, error) {
	node, isNode := NodeName(&a.User)
	switch {
	case !isNode:
		return NoOpinion, "", nil
	case node == "":
		return NoOpinion, fmt.Sprintf("unknown node for user %q", a.User.Name), nil
	}
	reason, ok := n.judge(node, a)
	if ok {
		return Allow, "", nil
	}
	return NoOpinion, reason, nil
}

// judge returns why not, or true.
func (n *Node) judge(node string, a *request.Attributes) (reason string, ok bool) {
	if a.IsResource {
		switch (schema.GroupResource{Group: a.Group, Resource: a.Resource}).String() {
		case "secrets":
			return n.readNamed(node, aSecret, a)
		case "configmaps":
			return n.readNamed(node, aConfigMap, a)
		case "persistentvolumeclaims":
			if a.Subresource == "status" {
				return n.writeClaimStatus(node, a)
			}
			return n.getOne(node, aClaim, a)
		case "persistentvolumes":
			return n.getVolume(node, a)
		case "resourceclaims.resource.k8s.io":
			return n.getOne(node, aResourceClaim, a)
		case "volumeattachments.storage.k8s.io":
			return n.getOne(node, aVolumeAttachment, a)
		case "serviceaccounts":
			return n.serviceAccount(node, a)
		case "leases.coordination.k8s.io":
			return lease(node, a)
		case "csinodes.storage.k8s.io":
			return csiNode(node, a)
		case "resourceslices.resource.k8s.io":
			return n.resourceSlice(node, a)
		case "nodes":
			return nodeObject(node, a)
		case "pods":
			return n.pod(node, a)
		case "podcertificaterequests.certificates.k8s.io":
			return n.certificateRequest(node, a)
		}
	}
	return "", RulesAllow(a, n.rules)
}

func unrelated(node string) string {
	return fmt.Sprintf("no relationship found between node '%s' and this object", node)
}

// related allows what the graph knows the node to use.
func (n *Node) related(node string, kind objectKind, a *request.Attributes) (string, bool) {
	name := nameOf(a)
	if name == "" {
		return "No Object name found", false
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.graph.uses(node, thing{kind, types.NamespacedName{Namespace: a.Namespace, Name: name}}) {
		return "", true
	}
	return unrelated(node), false
}

func (n *Node) getVolume(node string, a *request.Attributes) (string, bool) {
	if reason, ok := onlyGet(a); !ok {
		return reason, false
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.graph.usesVolume(node, a.Name) {
		return "", true
	}
	return unrelated(node), false
}

func onlyGet(a *request.Attributes) (string, bool) {
	switch {
	case a.Verb != "get":
		return "can only get individual resources of this type", false
	case a.Subresource != "":
		return "cannot get subresource", false
	}
	return "", true
}

func (n *Node) getOne(node string, kind objectKind, a *request.Attributes) (string, bool) {
	if reason, ok := onlyGet(a); !ok {
		return reason, false
	}
	return n.related(node, kind, a)
}

// readNamed also allows to list and watch one object by its name.
func (n *Node) readNamed(node string, kind objectKind, a *request.Attributes) (string, bool) {
	switch {
	case !slices.Contains([]string{"get", "list", "watch"}, a.Verb):
		return "can only read resources of this type", false
	case a.Subresource != "":
		return "cannot read subresource", false
	case a.Namespace == "":
		return "can only read namespaced object of this type", false
	}
	return n.related(node, kind, a)
}

func (n *Node) writeClaimStatus(node string, a *request.Attributes) (string, bool) {
	if a.Verb != "update" && a.Verb != "patch" {
		return "can only get/update/patch this type", false
	}
	return n.related(node, aClaim, a)
}

func (n *Node) serviceAccount(node string, a *request.Attributes) (string, bool) {
	switch {
	case a.Verb == "get" && a.Subresource == "":
		return n.readNamed(node, aServiceAccount, a)
	case a.Verb != "create" || a.Name == "":
		return "can only create tokens for individual service accounts", false
	case a.Subresource != "token":
		return "can only create token subresource of serviceaccount", false
	}
	return n.related(node, aServiceAccount, a)
}

func (n *Node) resourceSlice(node string, a *request.Attributes) (string, bool) {
	if a.Subresource != "" {
		return "cannot authorize ResourceSlice subresources", false
	}
	switch a.Verb {
	case "create": // admission looks at the node it names
		return "", true
	case "get", "update", "patch", "delete":
		return n.related(node, aResourceSlice, a)
	case "watch", "list", "deletecollection":
		if selects(a, "spec.nodeName", node) {
			return "", true
		}
		return "can only list/watch/deletecollection resourceslices with nodeName field selector", false
	}
	return "only the following verbs are allowed for a ResourceSlice: " +
		"get, watch, list, create, update, patch, delete, deletecollection", false
}

func (n *Node) certificateRequest(node string, a *request.Attributes) (string, bool) {
	if a.Subresource != "" {
		return "nodes may not access the status subresource of PodCertificateRequests", false
	}
	switch a.Verb {
	case "create":
		return "", true
	case "get":
		return n.related(node, aCertificateRequest, a)
	case "list", "watch":
		if selects(a, "spec.nodeName", node) {
			return "", true
		}
		return "can only list/watch podcertificaterequests with nodeName field selector", false
	}
	return fmt.Sprintf("nodes may not %s podcertificaterequests", a.Verb), false
}

func (n *Node) pod(node string, a *request.Attributes) (string, bool) {
	switch a.Subresource {
	case "":
		switch a.Verb {
		case "get":
			return n.getOne(node, aPod, a)
		case "list", "watch":
			if selects(a, "spec.nodeName", node) {
				return "", true
			}
			if nameOf(a) != "" {
				return n.related(node, aPod, a)
			}
			return "can only list/watch pods with spec.nodeName field selector", false
		case "create", "delete": // mirror pods; admission looks at them
			return "", true
		}
	case "status":
		return "", a.Verb == "update" || a.Verb == "patch"
	case "eviction":
		return "", a.Verb == "create"
	}
	return "", false
}

func nodeObject(node string, a *request.Attributes) (string, bool) {
	switch a.Subresource {
	case "":
		switch a.Verb {
		case "create", "update", "patch": // admission sees to it that it is the node's own
			return "", true
		case "get", "list", "watch":
			switch name := nameOf(a); name {
			case node:
				return "", true
			case "":
				return fmt.Sprintf("node '%s' cannot read all nodes, only its own Node object", node), false
			default:
				return fmt.Sprintf("node '%s' cannot read '%s', only its own Node object", node, name), false
			}
		}
	case "status":
		return "", a.Verb == "update" || a.Verb == "patch"
	}
	return "", false
}

func lease(node string, a *request.Attributes) (string, bool) {
	switch {
	case !slices.Contains([]string{"get", "create", "update", "patch", "delete"}, a.Verb):
		return "can only get, create, update, patch, or delete a node lease", false
	case a.Namespace != "kube-node-lease":
		return fmt.Sprintf("can only access leases in the %q system namespace", "kube-node-lease"), false
	case a.Verb != "create" && a.Name != node: // a create names it in its body, which admission sees
		return "can only access node lease with the same name as the requesting node", false
	}
	return "", true
}

func csiNode(node string, a *request.Attributes) (string, bool) {
	switch {
	case a.Subresource != "":
		return "cannot authorize CSINode subresources", false
	case !slices.Contains([]string{"get", "create", "update", "patch", "delete"}, a.Verb):
		return "can only get, create, update, patch, or delete a CSINode", false
	case a.Verb != "create" && a.Name != node:
		return "can only access CSINode with the same name as the requesting node", false
	}
	return "", true
}

// selects tells whether a field selector asks for exactly that value of the field, whatever else it asks for.
func selects(a *request.Attributes, field, value string) bool {
	got, ok := required(a, field)
	return ok && got == value
}

func required(a *request.Attributes, field string) (string, bool) {
	if a.FieldSelector == "" {
		return "", false
	}
	selector, err := fields.ParseSelector(a.FieldSelector)
	if err != nil {
		return "", false
	}
	for _, r := range selector.Requirements() {
		if r.Field == field && (r.Operator == selection.Equals || r.Operator == selection.DoubleEquals) {
			return r.Value, true
		}
	}
	return "", false
}

// nameOf returns the one name that a call is about: that of its path, or that of a list's or watch's selector.
func nameOf(a *request.Attributes) string {
	if a.Name != "" || a.Verb != "list" && a.Verb != "watch" {
		return a.Name
	}
	name, _ := required(a, "metadata.name")
	return name
}
