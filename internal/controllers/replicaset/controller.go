package replicaset

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/owner"
)

// Controller is the replica set controller.
type Controller struct{ kind kind }

// New returns the controller of ReplicaSets.
func New() *Controller { return &Controller{kind: replicaSets()} }

// NewReplicationController returns the controller of ReplicationControllers.
func NewReplicationController() *Controller { return &Controller{kind: replicationControllers()} }

// kind is what differs between the two.
type kind struct {
	name     string
	resource schema.GroupResource
	gvk      schema.GroupVersionKind
	// asSet returns the object as a ReplicaSet, which may share parts with it.
	asSet func(api.Object) (*appsv1.ReplicaSet, bool)
	// withStatus returns a copy of the object with this status.
	withStatus func(api.Object, appsv1.ReplicaSetStatus) api.Object
	// terminating tells whether the status counts terminating pods.
	terminating bool
}

func replicaSets() kind {
	return kind{
		name:     "replicaset-controller",
		resource: kinds.ReplicaSets(),
		gvk:      appsv1.SchemeGroupVersion.WithKind("ReplicaSet"),
		asSet: func(obj api.Object) (*appsv1.ReplicaSet, bool) {
			rs, ok := obj.(*appsv1.ReplicaSet)
			return rs, ok
		},
		withStatus: func(obj api.Object, status appsv1.ReplicaSetStatus) api.Object {
			rs, _ := obj.DeepCopyObject().(*appsv1.ReplicaSet)
			rs.Status = status
			return rs
		},
		terminating: true,
	}
}

// Name implements reconcile.Controller.
func (c *Controller) Name() string { return c.kind.name }

// Inputs implements reconcile.Controller.
func (c *Controller) Inputs() []reconcile.Input {
	return []reconcile.Input{
		{Resource: c.kind.resource, Keys: reconcile.Self},
		{Resource: kinds.Pods(), Keys: c.keysOfPod},
	}
}

// Outputs implements reconcile.Controller.
func (c *Controller) Outputs() []reconcile.Output {
	return []reconcile.Output{
		{Resource: kinds.Pods(), Verbs: []client.Verb{client.Create, client.Delete, client.Patch}},
		{Resource: c.kind.resource, Subresource: "status", Verbs: []client.Verb{client.Update}},
	}
}

// keysOfPod returns the set that controls the pod, or for an orphan every set that may adopt it.
func (c *Controller) keysOfPod(v reconcile.View, obj api.Object) []reconcile.Key {
	if keys := owner.Keys(c.kind.gvk.GroupKind(), obj); keys != nil {
		return keys
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok || len(pod.Labels) == 0 || hasController(pod) {
		return nil
	}
	var keys []reconcile.Key
	for set := range v.All(c.kind.resource, pod.Namespace) {
		if rs, ok := c.kind.asSet(set); ok && matches(rs, pod) {
			keys = append(keys, reconcile.KeyOf(rs))
		}
	}
	return keys
}
