package admission

import (
	"context"
	"errors"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/lookup"
	"coracle.dev/coracle/internal/apiserver/podref"
	"coracle.dev/coracle/internal/apiserver/request"
)

// NodeRestriction holds a node to its own Node, its own pods and what belongs to those. The Node authorizer looks at names, this
// plugin at contents.
type NodeRestriction struct {
	validateNothing
	objects    *lookup.Reader
	authorizer authz.Authorizer
}

// NewNodeRestriction returns the plugin. The authorizer is asked for audiences and signers that no volume of a pod names.
func NewNodeRestriction(objects *lookup.Reader, a authz.Authorizer) *NodeRestriction {
	return &NodeRestriction{objects: objects, authorizer: a}
}

// Name implements Plugin.
func (*NodeRestriction) Name() string { return "NodeRestriction" }

// Admit implements Plugin. It runs among the mutating plugins, as upstream's, so that none after it shows a node's forbidden
// write more than it needs.
func (p *NodeRestriction) Admit(ctx context.Context, op *Operation) error {
	node, isNode := authz.NodeName(&op.User)
	if !isNode || op.Verb != opCreate && op.Verb != opUpdate && op.Verb != opDelete {
		return nil
	}
	if node == "" {
		return op.forbid("could not determine node from user %q", op.User.Name)
	}
	switch op.groupResource() {
	case resource("", "pods"):
		return p.pod(ctx, node, op)
	case resource("", "nodes"):
		return restrictNode(node, op)
	case resource("", "persistentvolumeclaims"):
		return restrictClaim(node, op)
	case resource("", "serviceaccounts"):
		return p.token(ctx, node, op)
	case resource("coordination.k8s.io", "leases"):
		return restrictLease(node, op)
	case resource("storage.k8s.io", "csinodes"):
		if op.name() != node {
			return op.forbid("can only access CSINode with the same name as the requesting node")
		}
	case resource(resourcev1.GroupName, "resourceslices"):
		return restrictSlice(node, op)
	case resource(certificatesv1.GroupName, signingRequests):
		return restrictSigningRequest(node, op)
	case resource(certificatesv1.GroupName, "podcertificaterequests"):
		return p.podCertificate(ctx, node, op)
	}
	return nil
}

func (p *NodeRestriction) pod(ctx context.Context, node string, op *Operation) error {
	switch op.Subresource {
	case "":
		switch op.Verb {
		case opCreate:
			return p.createPod(ctx, node, op)
		case opDelete:
			return p.ownPod(ctx, node, op, "node %q can only delete pods with spec.nodeName set to itself")
		}
		return op.forbid("unexpected operation %q, node %q can only create and delete mirror pods", op.Verb, node)
	case "status":
		return restrictPodStatus(node, op)
	case "eviction":
		if op.Verb != opCreate {
			return op.forbid("unexpected operation %s", op.Verb)
		}
		if op.name() == "" {
			return op.forbid("could not determine pod from request data")
		}
		return p.ownPod(ctx, node, op, "node %s can only evict pods with spec.nodeName set to itself")
	}
	return op.forbid("unexpected pod subresource %q, only 'status' and 'eviction' are allowed", op.Subresource)
}

// ownPod refuses, with the message, a pod that is not bound to the node.
func (p *NodeRestriction) ownPod(ctx context.Context, node string, op *Operation, message string) error {
	pod, err := lookup.Get[*corev1.Pod](ctx, p.objects, resource("", "pods"), op.Namespace, op.name())
	switch {
	case apierrors.IsNotFound(err):
		return err
	case err != nil:
		return op.forbid("%w", err)
	case pod.Spec.NodeName != node:
		return op.forbid(message, node)
	}
	return nil
}

func (p *NodeRestriction) createPod(ctx context.Context, node string, op *Operation) error {
	pod, ok := op.Object.(*corev1.Pod)
	switch {
	case !ok:
		return op.unexpected(op.Object)
	case !podref.IsMirror(pod):
		return op.forbid("pod does not have %q annotation, node %q can only create mirror pods",
			corev1.MirrorPodAnnotationKey, node)
	case pod.Spec.NodeName != node:
		return op.forbid("node %q can only create pods with spec.nodeName set to itself", node)
	case len(pod.OwnerReferences) > 1:
		return op.forbid("node %q can only create pods with a single owner reference set to itself", node)
	case len(pod.OwnerReferences) == 0:
		return op.forbid("node %q can only create pods with an owner reference set to itself", node)
	}
	if err := p.ownerIsNode(ctx, node, op, pod); err != nil {
		return err
	}
	kind, err := podref.APIObject(pod)
	if err != nil {
		return op.forbid("error checking mirror pod for API references: %w", err)
	}
	if kind != "" {
		return op.forbid("node %q can not create pods that reference %s", node, kind)
	}
	return nil
}

func (p *NodeRestriction) ownerIsNode(ctx context.Context, node string, op *Operation, pod *corev1.Pod) error {
	owner := pod.OwnerReferences[0]
	switch {
	case owner.APIVersion != "v1" || owner.Kind != "Node" || owner.Name != node:
		return op.forbid("node %q can only create pods with an owner reference set to itself", node)
	case owner.Controller == nil || !*owner.Controller:
		return op.forbid("node %q can only create pods with a controller owner reference set to itself", node)
	case owner.BlockOwnerDeletion != nil && *owner.BlockOwnerDeletion:
		return op.forbid("node %q must not set blockOwnerDeletion on an owner reference", node)
	}
	object, err := lookup.Get[*corev1.Node](ctx, p.objects, resource("", "nodes"), "", node)
	switch {
	case apierrors.IsNotFound(err):
		return err
	case err != nil:
		return op.forbid("error looking up node %s to verify uid: %w", node, err)
	case object.UID != owner.UID:
		return op.forbid("node %s UID mismatch: expected %s got %s", node, owner.UID, object.UID)
	}
	return nil
}

func restrictPodStatus(node string, op *Operation) error {
	if op.Verb != opUpdate {
		return op.forbid("unexpected operation %q", op.Verb)
	}
	old, wasPod := op.Old.(*corev1.Pod)
	pod, isPod := op.Object.(*corev1.Pod)
	switch {
	case !wasPod || !isPod:
		return op.unexpected(op.Object)
	case old.Spec.NodeName != node:
		return op.forbid("node %q can only update pod status for pods with spec.nodeName set to itself", node)
	case !sameLabels(old.Labels, pod.Labels):
		return op.forbid("node %q cannot update labels through pod status", node)
	case !equality.Semantic.DeepEqual(old.Status.ResourceClaimStatuses, pod.Status.ResourceClaimStatuses):
		return op.forbid("node %q cannot update resource claim statues", node)
	case !equality.Semantic.DeepEqual(old.Status.ExtendedResourceClaimStatus, pod.Status.ExtendedResourceClaimStatus):
		return op.forbid("node %q cannot update extended resource claim status", node)
	case !equality.Semantic.DeepEqual(old.Status.NodeAllocatableResourceClaimStatuses,
		pod.Status.NodeAllocatableResourceClaimStatuses):
		return op.forbid("node %q cannot update node allocatable resource claim statuses", node)
	}
	return nil
}

func restrictClaim(node string, op *Operation) error {
	if op.Subresource != "status" {
		return op.forbid("may only update PVC status")
	}
	if op.Verb != opUpdate {
		return op.forbid("unexpected operation %q", op.Verb)
	}
	old, wasClaim := op.Old.(*corev1.PersistentVolumeClaim)
	claim, isClaim := op.Object.(*corev1.PersistentVolumeClaim)
	if !wasClaim || !isClaim {
		return op.unexpected(op.Object)
	}
	if !equality.Semantic.DeepEqual(withoutReport(old), withoutReport(claim)) {
		return op.forbid("node %q is not allowed to update fields other than status.quantity and status.conditions", node)
	}
	return nil
}

// withoutReport takes out what a node reports of a claim, and what changes by itself.
func withoutReport(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
	rest := claim.DeepCopy()
	rest.ResourceVersion, rest.ManagedFields = "", nil
	rest.Status.Capacity, rest.Status.Conditions = nil, nil
	rest.Status.AllocatedResources, rest.Status.AllocatedResourceStatuses = nil, nil
	return rest
}

func restrictLease(node string, op *Operation) error {
	if op.Namespace != corev1.NamespaceNodeLease {
		return op.forbid("can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
	}
	if op.name() != node {
		return op.forbid("can only access node lease with the same name as the requesting node")
	}
	return nil
}

func restrictSlice(node string, op *Operation) error {
	own := func(obj any) bool {
		slice, ok := obj.(*resourcev1.ResourceSlice)
		return ok && slice.Spec.NodeName != nil && *slice.Spec.NodeName == node
	}
	switch {
	case op.Verb == opCreate && !own(op.Object):
		return op.forbid("%w", errors.New("can only create ResourceSlice with the same NodeName as the requesting node"))
	case op.Verb == opDelete && !own(op.Old):
		return op.forbid("%w", errors.New("can only delete ResourceSlice with the same NodeName as the requesting node"))
	}
	return nil
}

func restrictSigningRequest(node string, op *Operation) error {
	if op.Verb != opCreate || op.Subresource != "" {
		return nil
	}
	csr, ok := op.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return op.unexpected(op.Object)
	}
	switch csr.Spec.SignerName {
	case certificatesv1.KubeletServingSignerName, certificatesv1.KubeAPIServerClientKubeletSignerName:
	default:
		return nil
	}
	parsed, err := parseRequest(csr.Spec.Request)
	if err != nil {
		return op.forbid("unable to parse csr: %w", err)
	}
	if parsed.Subject.CommonName != request.NodeUserPrefix+node {
		return op.forbid("can only create a node CSR with CN=system:node:%s", node)
	}
	return nil
}
