package bootstrap

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
)

type metaSelector = metav1.LabelSelector

// concurrency is how many first objects are written at once: enough to share etcd's syncs, and no flood.
const concurrency = 16

// Run makes what is missing and returns when all of it is there. It may run at any time, again, and on several servers at once.
// The client must be privileged (system:masters).
func Run(ctx context.Context, c client.Interface, cfg Config) error {
	if err := cfg.validate(); err != nil {
		return fmt.Errorf("bootstrapping the cluster: %w", err)
	}
	stages, err := wanted(&cfg)
	if err != nil {
		return fmt.Errorf("bootstrapping the cluster: %w", err)
	}
	for i, stage := range stages {
		if err := ensure(ctx, c, stage); err != nil {
			return fmt.Errorf("bootstrapping the cluster: %w", err)
		}
		if i == 0 { // services may need addresses from the next stage on
			if err := markReady(ctx, c); err != nil {
				return fmt.Errorf("bootstrapping the cluster: %w", err)
			}
		}
	}
	return nil
}

// wanted lists the objects in the order in which they need each other.
func wanted(cfg *Config) ([][]api.Object, error) {
	policy, err := DefaultPolicy()
	if err != nil {
		return nil, err
	}
	authentication, err := authenticationConfigMap(cfg)
	if err != nil {
		return nil, err
	}
	info, err := clusterInfoConfigMap(cfg)
	if err != nil {
		return nil, err
	}
	endpoints, slice := Endpoints(cfg.Servers)
	first := append(objects(namespaces()), serviceCIDR(cfg))
	rest := slices.Concat(
		objects(policy.ClusterRoles), objects(policy.ClusterRoleBindings), objects(policy.Roles), objects(policy.RoleBindings),
		objects(priorityClasses()), objects(priorityLevels()), objects(flowSchemas()),
		[]api.Object{kubernetesService(cfg), authentication, info},
	)
	return [][]api.Object{first, rest, {endpoints, slice}}, nil
}

func objects[T api.Object](list []T) []api.Object {
	all := make([]api.Object, len(list))
	for i, obj := range list {
		all[i] = obj
	}
	return all
}

// ReconcileEndpoints makes the endpoints of the Service "kubernetes" those of the given servers. Call it with all that are
// running whenever that changes.
func ReconcileEndpoints(ctx context.Context, c client.Interface, cfg Config) error {
	endpoints, slice := Endpoints(cfg.Servers)
	return ensure(ctx, c, []api.Object{endpoints, slice})
}

// Ensure creates objects that are missing and adds to roles and bindings that are there what they lack, as Run does for its own.
func Ensure(ctx context.Context, c client.Interface, wanted []api.Object) error {
	if err := ensure(ctx, c, wanted); err != nil {
		return fmt.Errorf("bootstrapping the cluster: %w", err)
	}
	return nil
}

// ensure creates or merges the objects, several at a time. Kinds that the server does not serve are left out.
func ensure(ctx context.Context, c client.Interface, wanted []api.Object) error {
	existing, err := list(ctx, c, wanted)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for _, obj := range wanted {
		r, served := c.Catalogue().ForObject(obj)
		if !served {
			continue
		}
		gr := r.GroupResource()
		have := existing[gr][types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()}]
		group.Go(func() error {
			if err := ensureOne(ctx, c, gr, have, obj); err != nil {
				return fmt.Errorf("ensuring %s %s/%s: %w", gr, obj.GetNamespace(), obj.GetName(), err)
			}
			return nil
		})
	}
	return group.Wait()
}

type byName map[types.NamespacedName]api.Object

// list reads every kind that is wanted once, instead of every object.
func list(ctx context.Context, c client.Interface, wanted []api.Object) (map[schema.GroupResource]byName, error) {
	existing := map[schema.GroupResource]byName{}
	for _, obj := range wanted {
		r, served := c.Catalogue().ForObject(obj)
		if !served || existing[r.GroupResource()] != nil {
			continue
		}
		gr := r.GroupResource()
		existing[gr] = byName{}
		// Kinds that hold more than ours are read in the one namespace that counts, where there is only one.
		found, err := c.List(ctx, gr, client.ListOptions{Namespace: onlyNamespace(gr, c, wanted)})
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", gr, err)
		}
		for _, item := range found.Items {
			existing[gr][types.NamespacedName{Namespace: item.GetNamespace(), Name: item.GetName()}] = item
		}
	}
	return existing, nil
}

// onlyNamespace returns the namespace that all wanted objects of the resource share, empty when they share none.
func onlyNamespace(gr schema.GroupResource, c client.Interface, wanted []api.Object) string {
	common, seen := "", false
	for _, obj := range wanted {
		r, ok := c.Catalogue().ForObject(obj)
		if !ok || r.GroupResource() != gr {
			continue
		}
		if seen && obj.GetNamespace() != common {
			return ""
		}
		common, seen = obj.GetNamespace(), true
	}
	return common
}

// attempts is how often an object is merged again after someone else changed it in between.
const attempts = 5

func ensureOne(ctx context.Context, c client.Interface, gr schema.GroupResource, have, want api.Object) error {
	var err error
	for range attempts {
		if have == nil {
			_, err = c.Write(ctx, client.Write{
				Verb: client.Create, Resource: gr, Namespace: want.GetNamespace(), Name: want.GetName(), Object: want,
			})
			if !apierrors.IsAlreadyExists(err) {
				return err
			}
		} else {
			merged, changed := merge(have, want)
			if !changed {
				return nil
			}
			_, err = c.Write(ctx, client.Write{
				Verb: client.Update, Resource: gr, Namespace: want.GetNamespace(), Name: want.GetName(), Object: merged,
			})
			if !apierrors.IsConflict(err) {
				return err
			}
		}
		if have, err = c.Get(ctx, gr, want.GetNamespace(), want.GetName()); apierrors.IsNotFound(err) {
			have = nil
		} else if err != nil {
			return err
		}
	}
	return fmt.Errorf("it changed during all of %d attempts: %w", attempts, err)
}

// markReady sets the condition by which others know that the default ServiceCIDR can be used.
func markReady(ctx context.Context, c client.Interface) error {
	gr := kinds.ServiceCIDRs()
	if _, served := c.Catalogue().Resource(gr); !served {
		return nil
	}
	obj, err := client.Get[*networkingv1.ServiceCIDR](ctx, c, gr, "", kubernetes)
	if err != nil {
		return fmt.Errorf("reading the default ServiceCIDR: %w", err)
	}
	changed := obj.DeepCopy()
	if !apimeta.SetStatusCondition(&changed.Status.Conditions, metav1.Condition{
		Type: networkingv1.ServiceCIDRConditionReady, Status: metav1.ConditionTrue,
		Reason: "DefaultServiceCIDR", Message: "Kubernetes default Service CIDR is ready",
	}) {
		return nil
	}
	_, err = c.Write(ctx, client.Write{
		Verb: client.Update, Resource: gr, Subresource: "status", Name: kubernetes, Object: changed,
	})
	if err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("marking the default ServiceCIDR ready: %w", err)
	}
	return nil
}
