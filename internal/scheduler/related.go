package scheduler

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/scheduler/core"
)

// related is what is read about pods from other objects at the time of a decision; it wakes no pod.
type related struct {
	services client.Cache
	pdbs     client.Cache
	// controllers maps the kinds whose selectors say which pods belong together.
	controllers map[schema.GroupKind]client.Cache
}

func readRelated(ctx context.Context, c client.Interface) (related, error) {
	r := related{controllers: map[schema.GroupKind]client.Cache{}}
	var err error
	if r.services, err = synced(ctx, c, schema.GroupResource{Resource: "services"}); err != nil {
		return r, err
	}
	pdbs := schema.GroupResource{Group: policyv1.GroupName, Resource: "poddisruptionbudgets"}
	if r.pdbs, err = synced(ctx, c, pdbs); err != nil {
		return r, err
	}
	for kind, gr := range map[schema.GroupKind]schema.GroupResource{
		{Kind: "ReplicationController"}:                {Resource: "replicationcontrollers"},
		{Group: appsv1.GroupName, Kind: "ReplicaSet"}:  {Group: appsv1.GroupName, Resource: "replicasets"},
		{Group: appsv1.GroupName, Kind: "StatefulSet"}: {Group: appsv1.GroupName, Resource: "statefulsets"},
	} {
		if r.controllers[kind], err = synced(ctx, c, gr); err != nil {
			return r, err
		}
	}
	return r, nil
}

// siblings returns what selects the pods that serve together with this one, nil when nothing does.
func (r *related) siblings(pod *corev1.Pod) labels.Selector {
	services := func(yield func(*corev1.Service) bool) {
		for obj := range r.services.Snapshot().All(pod.Namespace) {
			if s, ok := obj.(*corev1.Service); ok && !yield(s) {
				return
			}
		}
	}
	var controller api.Object
	if ref := metav1.GetControllerOfNoCopy(pod); ref != nil {
		kind := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).GroupKind()
		if cache, ok := r.controllers[kind]; ok {
			controller, _ = cache.Snapshot().Get(pod.Namespace, ref.Name)
		}
	}
	return core.Siblings(pod, services, controller)
}

// budgets returns the disruption budgets that protect something.
func (r *related) budgets() []*core.Budget {
	var list []*core.Budget
	for obj := range r.pdbs.Snapshot().All("") {
		if pdb, ok := obj.(*policyv1.PodDisruptionBudget); ok {
			if b, protects := core.NewBudget(pdb); protects {
				list = append(list, b)
			}
		}
	}
	return list
}
